//! Requests that are encrypted.

use std::sync::Arc;

use upload_protocol::timeline::{HopEvidence, PassedOn, Phase, TlsHandshake};

use super::{
    super::{Excess, IN, Leg, OUT, Sizes, way},
    BACK, FRONT, Known, PROXY, SENT, SERVER, endpoint, exchange, hops_of, leg, relays, way_of,
};
use crate::core::payload::{Turn, Turns};

/// Of an encrypted connection, only the direction of its payload is known.
#[test]
fn a_front_with_tls() {
    let mut front = leg(FRONT.0, Vec::new());
    let turn = |mono_ns, from, offset, before_ns| Turn {
        mono_ns,
        from,
        offset,
        before_ns: Some(before_ns),
    };
    front.turns = Turns::from_iter([
        turn(1_000, OUT, 2_000, 120),
        turn(1_900, IN, 300, 1_800),
        turn(2_500, OUT, 9_000, 1_950),
    ]);
    front.relays[1] = relays(&[(120, 7, SENT), (1_901, BACK.0, SENT)]);
    front.sent = [20_000, 2_000];
    let mut back = leg(BACK.0, vec![exchange(1, "a", [1_850, 1_860, 1_880], 6_500)]);
    back.relays[0] = relays(&[(1_851, FRONT.1, SENT)]);

    let found = hops_of(&back, "a", &[&front]);

    let first = found.first().unwrap();
    assert_eq!(
        (first.request_mono_ns, first.request_ns),
        (Some(1_000), Some(800))
    );
    assert_eq!((first.wait_ns, first.bytes), (Some(100), Some(7_000)));
    assert_eq!(
        (first.passed_on, first.held_ns),
        (Some(PassedOn::Buffered), Some(850))
    );
    assert_eq!(
        first.evidence,
        [
            HopEvidence::Request,
            HopEvidence::Response,
            HopEvidence::Bytes,
            HopEvidence::Time,
        ]
    );
}

/// A front with TLS, whose client sent so many bytes for its request from 100 to 190.
fn hidden_front(client: u64, bytes: u64) -> Leg {
    let mut front = leg(client, Vec::new());
    let turn = |mono_ns, from, offset| Turn {
        mono_ns,
        from,
        offset,
        before_ns: Some(mono_ns - 10),
    };
    front.turns = Turns::from_iter([turn(100, OUT, 600), turn(230 + client, IN, 300)]);
    front.sent = [600 + bytes, 500];
    front
}

/// Heads of the same kind of client have about as many bytes.
#[test]
fn heads_decide_where_they_are_encrypted() {
    let back = leg(BACK.0, vec![exchange(1, "a", [200, 210, 220], 5_000)]);
    let other = |bytes| leg(22, vec![exchange(1, "b", [201, 210, 220], bytes)]);
    let check = |usual, hidden: [u64; 2], other: &Leg, expected: Result<usize, u32>| {
        let fronts = [hidden_front(10, hidden[0]), hidden_front(12, hidden[1])];
        let known = Known {
            legs: &[&fronts[0], &fronts[1], &back, other],
            taken: None,
            usual,
        };
        let way = way(&Arc::new(back.clone()), "a", &known);
        let expected = expected.map(|place| fronts[place].timeline.connection);
        let found = way.hops.first().map(|hop| hop.connection);
        assert_eq!(
            found.ok_or(way.ambiguous),
            expected.map_err(Some),
            "{hidden:?}"
        );
    };
    let mut none = other(1);
    none.timeline.client = endpoint(SERVER);
    let usual = |heads: [u64; 3]| {
        let sizes = heads.map(|head| Sizes {
            body: 10_000,
            hidden: 10_013 + head,
        });
        Excess::of(&sizes)
    };
    check(None, [5_800, 6_300], &none, Err(2));
    check(usual([780, 790, 820]), [5_800, 6_300], &none, Ok(0));
    check(usual([780, 790, 820]), [6_300, 5_800], &none, Ok(1));
    check(usual([780, 790, 820]), [5_800, 5_830], &none, Err(2));
    check(usual([2_000, 2_050, 2_100]), [5_800, 6_300], &none, Err(2));
    // Another request of the proxy may be that one.
    let mut rival = other(5_010);
    rival.timeline.client = endpoint(PROXY);
    check(usual([780, 790, 820]), [5_800, 6_300], &rival, Err(2));
    let mut rival = other(5_500);
    rival.timeline.client = endpoint(PROXY);
    check(usual([780, 790, 820]), [5_800, 6_300], &rival, Ok(0));
}

/// One whose head is not usual is none, if it looks like another request's.
#[test]
fn an_only_one_that_is_unusual() {
    let back = leg(BACK.0, vec![exchange(1, "a", [200, 210, 220], 5_000)]);
    let front = hidden_front(10, 8_000);
    let mut rival = leg(22, vec![exchange(1, "b", [201, 210, 220], 7_200)]);
    rival.timeline.client = endpoint(PROXY);
    let check = |legs: &[&Leg], expected: usize| {
        let sizes = [1, 2, 3].map(|body| Sizes {
            body,
            hidden: body + 800,
        });
        let known = Known {
            legs,
            taken: None,
            usual: Excess::of(&sizes),
        };
        let way = way(&Arc::new(back.clone()), "a", &known);
        assert_eq!(way.hops.len(), expected);
    };
    check(&[&front, &back], 2);
    check(&[&front, &back, &rival], 0);
}

/// A body of HTTP/2 goes on after each update of its window: a part of a longer one is no request.
#[test]
fn a_part_of_a_longer_body() {
    let back = leg(BACK.0, vec![exchange(1, "a", [200, 210, 220], 4_000)]);
    let mut longer = leg(10, Vec::new());
    if let Some(Phase::Maintenance(phase)) = longer.timeline.phases.first_mut() {
        phase.tls = Some(TlsHandshake {
            end_ns: Some(90),
            alpn_offered: vec!["h2".to_owned()],
            ..TlsHandshake::default()
        });
    }
    let turn = |mono_ns, from, offset| Turn {
        mono_ns,
        from,
        offset,
        before_ns: Some(mono_ns - 10),
    };
    longer.turns = Turns::from_iter([
        turn(100, OUT, 600),
        turn(150, IN, 300),
        turn(160, OUT, 5_000),
        turn(230, IN, 400),
    ]);
    longer.sent = [9_600, 500];
    let idle = leg(14, vec![exchange(1, "b", [1, 2, 3], 9_000)]);
    let found = |fronts: &[&Leg]| {
        let way = way_of(&back, "a", fronts);
        (way.hops.len(), way.ambiguous)
    };
    assert_eq!(found(&[&longer, &idle]), (0, Some(2)));
    let right = hidden_front(12, 4_500);
    let usual = [1, 2, 3].map(|body| Sizes {
        body,
        hidden: body + 500,
    });
    let known = Known {
        legs: &[&longer, &right, &back],
        taken: None,
        usual: Excess::of(&usual),
    };
    let way = way(&Arc::new(back.clone()), "a", &known);
    assert_eq!(way.hops[0].connection, right.timeline.connection);
    // It is the only one that the proxy has.
    assert_eq!(found(&[&longer]), (2, None));
}

/// Frames of HTTP/2 take as much again as the records of TLS.
#[test]
fn framing_is_learned() {
    let sizes = |body: u64| Sizes {
        body,
        hidden: body + 400 + body / 300,
    };
    let mut known: Vec<Sizes> = [1_000, 2_000, 3_000, 50_000, 700_000, 2_000_000, 9_000_000]
        .map(sizes)
        .to_vec();
    // One of them was another's.
    known.push(Sizes {
        body: 2_500,
        hidden: 6_000,
    });
    let learned = Excess::of(&known).unwrap();
    for body in [2_000, 400_000, 4_000_000] {
        assert!(learned.has(sizes(body)), "{body}");
        let mut longer = sizes(body);
        longer.hidden += 100 + body / 1_000;
        assert!(!learned.has(longer), "{body}");
    }
}
