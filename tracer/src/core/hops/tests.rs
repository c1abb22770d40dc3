use std::collections::BTreeMap;

use upload_protocol::{
    ConnectionId, Moment,
    timeline::{
        Body, Certainty, Exchange, HopEvidence, Maintenance, PassedOn, Phase, Request, Response,
        Span, Timeline, UploadHop,
    },
};

use super::{Leg, hops};
use crate::core::{
    connection::Relays,
    event::Relay,
    payload::{Turn, Turns},
};

/// The sockets: of each connection the client's and the server's.
const FRONT: (u64, u64) = (10, 11);
const BACK: (u64, u64) = (20, 21);
/// A process that accepts connections.
const PROXY: u32 = 7;

const fn span(start: u64, end: u64) -> Span {
    Span {
        start_ns: Some(start),
        end_ns: Some(end),
        certainty: Certainty::Observed,
    }
}

/// A request: its upload, when it began and ended, when the response began, and the size of its body.
fn exchange(sequence: u32, upload: &str, [start, end, response]: [u64; 3], bytes: u64) -> Exchange {
    Exchange {
        request: Request {
            span: span(start, start),
            method: "PUT".into(),
            target: format!("/{upload}"),
            ..Request::default()
        },
        body: Body {
            span: span(start, end),
            bytes: Some(bytes),
            ..Body::default()
        },
        response: Response {
            span: span(response, response),
            ..Response::default()
        },
        upload: Some(upload.to_owned()),
        sequence,
        ..Exchange::default()
    }
}

fn leg(client: u64, exchanges: Vec<Exchange>) -> Leg {
    Leg {
        timeline: Timeline {
            at: Moment::default(),
            connection: ConnectionId::new(client, None),
            phases: vec![Phase::Maintenance(Box::new(Maintenance {
                exchanges,
                ..Maintenance::default()
            }))],
            ..Timeline::default()
        },
        turns: Turns::default(),
        relays: [Relays::default(), Relays::default()],
        relayed: [Relays::default(), Relays::default()],
        sockets: [Some(client), Some(client + 1)],
        sent: 0,
    }
}

const SENT: bool = false;
const CONNECTED: bool = true;

fn relays(of: &[(u64, u64, bool)]) -> Relays {
    let mut relays = Relays::default();
    for (at, read, connects) in of.iter().copied() {
        relays.record(at, Relay { read, connects });
    }
    relays
}

fn hops_of(last: &Leg, upload: &str, fronts: &[(u64, &Leg)]) -> Vec<UploadHop> {
    let fronts: BTreeMap<u64, &Leg> = fronts.iter().copied().collect();
    let find = |cookie| fronts.get(&cookie).map(|leg| (*leg).clone());
    hops(last, upload, find, |pid| pid == PROXY)
}

#[test]
fn a_proxy_that_streams() {
    let mut front = leg(FRONT.0, vec![exchange(1, "a", [100, 900, 1_000], 500)]);
    let mut back = leg(BACK.0, vec![exchange(1, "a", [200, 910, 950], 500)]);
    // Until it was connected, the thread had read elsewhere.
    back.relays[0] = relays(&[(190, FRONT.1, CONNECTED), (210, 99, SENT)]);
    front.relays[1] = relays(&[(1_001, BACK.0, SENT)]);

    let found = hops_of(&back, "a", &[(FRONT.1, &front)]);

    let [first, last] = found.as_slice() else {
        panic!("{found:#?}");
    };
    assert_eq!(first.connection, front.timeline.connection);
    assert_eq!(
        (first.request_mono_ns, first.request_ns),
        (Some(100), Some(800))
    );
    assert_eq!((first.wait_ns, first.share), (Some(100), Some(1.0)));
    assert_eq!(
        (first.passed_on, first.held_ns),
        (Some(PassedOn::Streamed), Some(100))
    );
    assert_eq!(
        first.evidence,
        [
            HopEvidence::Connect,
            HopEvidence::Response,
            HopEvidence::Target
        ]
    );
    assert_eq!(first.certainty, Certainty::Observed);
    assert_eq!(last.share, Some(750.0 / 900.0));
    assert_eq!((last.passed_on, last.held_ns), (None, None));
    assert!(last.evidence.is_empty());

    // Behind another proxy, this is not all.
    front.timeline.client.owner.pid = Some(PROXY);
    assert!(hops_of(&back, "a", &[(FRONT.1, &front)]).is_empty());
}

/// The proxy keeps its connection to the server, and each upload comes over another one.
#[test]
fn a_connection_to_the_server_that_is_kept() {
    let mut back = leg(
        BACK.0,
        vec![
            exchange(1, "a", [200, 210, 220], 5),
            exchange(2, "b", [400, 410, 420], 5),
            // What its thread read before was not seen.
            exchange(3, "c", [600, 610, 620], 5),
        ],
    );
    back.relays[0] = relays(&[(190, 11, CONNECTED), (201, 11, SENT), (401, 13, SENT)]);
    back.relayed[0] = relays(&[(231, 11, SENT), (431, 13, SENT)]);
    let mut a = leg(10, vec![exchange(1, "a", [100, 150, 230], 5)]);
    a.relays[1] = relays(&[(231, BACK.0, SENT)]);
    let mut b = leg(12, vec![exchange(1, "b", [300, 350, 430], 5)]);
    b.relays[1] = relays(&[(431, BACK.0, SENT)]);
    let fronts = [(11, &a), (13, &b)];
    let first = |upload| {
        let found = hops_of(&back, upload, &fronts);
        found.first().map(|hop| (hop.connection, hop.passed_on))
    };
    let expected = |leg: &Leg| {
        let id = leg.timeline.connection;
        Some((id, Some(PassedOn::Buffered)))
    };
    assert_eq!(first("a"), expected(&a));
    assert_eq!(first("b"), expected(&b));
    assert_eq!(first("c"), None);
}

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
        turn(1_000, super::OUT, 2_000, 120),
        turn(1_900, super::IN, 300, 1_800),
        turn(2_500, super::OUT, 9_000, 1_950),
    ]);
    front.relays[1] = relays(&[(120, 7, SENT), (1_901, BACK.0, SENT)]);
    front.sent = 20_000;
    let mut back = leg(BACK.0, vec![exchange(1, "a", [1_850, 1_860, 1_880], 6_500)]);
    back.relays[0] = relays(&[(1_851, FRONT.1, SENT)]);

    let found = hops_of(&back, "a", &[(FRONT.1, &front)]);

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
        [HopEvidence::Request, HopEvidence::Response]
    );
}

#[test]
fn what_cannot_be() {
    let mut back = leg(BACK.0, vec![exchange(1, "a", [200, 210, 220], 500)]);
    back.relays[0] = relays(&[(201, FRONT.1, SENT)]);
    let check = |times, bytes, expected| {
        let mut front = leg(FRONT.0, vec![exchange(1, "a", times, bytes)]);
        front.relays[1] = relays(&[(240, BACK.0, SENT)]);
        let found = hops_of(&back, "a", &[(FRONT.1, &front)]);
        assert_eq!(found.len(), expected, "{times:?} {bytes}");
    };
    check([100, 190, 230], 500, 2);
    // It has fewer bytes than what was passed on.
    check([100, 190, 230], 499, 0);
    // It was answered before.
    check([100, 190, 219], 500, 0);
    // It began later.
    check([202, 203, 230], 500, 0);
}

/// A thread that reads from several connections before it sends is credited with the last one: then it sends on
/// more than one after the same read, and no hop is named.
#[test]
fn a_thread_that_reads_ahead() {
    let check = |relayed_by_front: &[_], sent_on_front: &[_], relayed_by_back: &[_], expected| {
        let mut back = leg(BACK.0, vec![exchange(1, "a", [200, 210, 220], 500)]);
        back.relays[0] = relays(&[(201, FRONT.1, SENT)]);
        back.relayed[0] = relays(relayed_by_back);
        let mut front = leg(FRONT.0, vec![exchange(1, "a", [100, 190, 230], 500)]);
        front.relayed[1] = relays(relayed_by_front);
        front.relays[1] = relays(sent_on_front);
        let found = hops_of(&back, "a", &[(FRONT.1, &front)]);
        assert_eq!(
            found.len(),
            expected,
            "{relayed_by_front:?} {relayed_by_back:?}"
        );
    };
    let (request, response) = ((201, BACK.0, SENT), (231, FRONT.1, SENT));
    let sent = (231, BACK.0, SENT);
    check(&[request], &[sent], &[response], 2);
    // The response was read, and then something else.
    check(&[request], &[(231, 30, SENT)], &[], 0);
    check(&[request], &[], &[], 0);
    // Two requests were sent, or two responses.
    check(&[request, (202, 30, SENT)], &[sent], &[response], 0);
    check(&[request], &[sent], &[response, (232, 31, SENT)], 0);
    // That one belongs to another request.
    check(&[request, (900, 30, SENT)], &[sent], &[response], 2);
}

#[test]
fn a_loop_ends() {
    let mut one = leg(10, vec![exchange(1, "a", [100, 110, 900], 5)]);
    one.relays[0] = relays(&[(101, 11, SENT)]);
    assert!(hops_of(&one, "a", &[(11, &one)]).is_empty());
}
