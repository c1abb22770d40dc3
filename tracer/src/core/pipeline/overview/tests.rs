//! Which connections an overview has, in which order, and what is known of them.

use tracer_ebpf::record::{self, LIMITS, StateChange, sender, state};
use upload_protocol::{End, State};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::Pipeline;
use crate::core::{
    input::{Input, Reading, Readings, Tick},
    output::Output,
    overview::{Asked, LimitKind, OrderBy, Overview},
};

const SECOND: u64 = 1_000_000_000;

/// A client's change of state.
fn change(cookie: u64, mono_ns: u64, (old, new): (u8, u8)) -> Input<'static> {
    let mut change = StateChange::new_zeroed();
    change.header.kind = record::STATE_CHANGE;
    (change.header.mono_ns, change.header.cookie) = (mono_ns, cookie);
    (change.old, change.new) = (old, new);
    let loopback = std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
    (change.addresses.local, change.addresses.remote) = (loopback, loopback);
    change.addresses.local_port = 40_000 + u16::try_from(cookie).unwrap();
    change.addresses.remote_port = 5000;
    if new == state::SYN_SENT {
        change.task.pid = 7;
        change.task.comm[..8].copy_from_slice(b"Sen\x1bd\xc2\x9bX");
    }
    Input::Kernel(change.as_bytes().to_vec().into())
}

fn tick(mono_ns: u64) -> Input<'static> {
    Input::Tick(Tick {
        mono_ns,
        ..Tick::default()
    })
}

fn reading(cookie: u64, bytes_acked: u64) -> Reading {
    Reading {
        cookie,
        bytes_acked,
        total_retrans: u32::try_from(cookie).unwrap(),
        rtt_us: u32::try_from(10 * cookie).unwrap(),
        ..Reading::default()
    }
}

/// Connections with these cookies, open since the first second; each has sent ten times as many bytes as its cookie
/// in the second second.
fn pipeline(cookies: &[u64]) -> Pipeline {
    let mut pipeline = Pipeline::new(false);
    let mut outputs = Vec::new();
    pipeline.advance(tick(1), &mut outputs);
    for cookie in cookies {
        let opens = [
            (state::CLOSE, state::SYN_SENT),
            (state::SYN_SENT, state::ESTABLISHED),
        ];
        for states in opens {
            pipeline.advance(change(*cookie, SECOND + *cookie, states), &mut outputs);
        }
    }
    for seconds in [2, 3] {
        let sockets = cookies.iter();
        let sockets = sockets.map(|cookie| reading(*cookie, 1 + (seconds - 1) * 10 * cookie));
        let readings = Readings {
            at_ns: seconds * SECOND,
            sockets: sockets.collect(),
        };
        pipeline.advance(Input::Readings(Box::new(readings)), &mut outputs);
    }
    pipeline.advance(tick(3 * SECOND), &mut outputs);
    pipeline
}

fn ports(overview: &Overview) -> Vec<u16> {
    overview.rows.iter().map(|row| row.client.port).collect()
}

#[test]
fn the_first_rows_of_each_order() {
    let mut pipeline = pipeline(&[1, 2, 3, 4]);
    let mut check = |order, is_reversed, expected: [u16; 2]| {
        let overview = pipeline.overview(&Asked {
            rows: 2,
            order,
            is_reversed,
            ..Asked::default()
        });
        assert_eq!(
            ports(&overview),
            expected.map(|port| 40_000 + port),
            "{order:?}"
        );
        assert_eq!((overview.open, overview.chosen), (4, 4));
    };
    for order in [
        OrderBy::Rate,
        OrderBy::Bytes,
        OrderBy::Rtt,
        OrderBy::Retransmits,
    ] {
        check(order, false, [4, 3]);
        check(order, true, [1, 2]);
    }
    check(OrderBy::Age, false, [1, 2]);
    check(OrderBy::Age, true, [4, 3]);
}

#[test]
fn what_is_known_of_a_connection_under_way() {
    let mut pipeline = pipeline(&[3]);
    let overview = pipeline.overview(&Asked {
        rows: 9,
        ..Asked::default()
    });
    let row = &overview.rows[0];
    assert_eq!(row.state, Some(State::Established));
    assert_eq!((row.sent, row.received), (Some(60), Some(0)));
    assert_eq!(row.rate, Some(30));
    assert_eq!(row.rtt_ns, Some(30_000));
    assert_eq!(row.retransmits, 3);
    assert_eq!(row.age_ns, 2 * SECOND - 3);
    assert!(!row.began_before && !row.is_upload);
    assert_eq!(row.limit, None);
}

/// A socket that was not counted, as one of another network namespace, has no rate, and comes last. One that a reading
/// misses keeps its own for a while.
#[test]
fn what_is_not_known() {
    let mut pipeline = pipeline(&[1, 2]);
    let mut outputs = Vec::new();
    for (at, of_the_second) in [(4, (Some(40), Some(20))), (7, (None, None))] {
        let readings = Readings {
            at_ns: at * SECOND,
            sockets: vec![reading(1, 500 + at * 100), reading(77, 1)],
        };
        pipeline.advance(Input::Readings(Box::new(readings)), &mut outputs);
        let overview = pipeline.overview(&Asked {
            rows: 9,
            ..Asked::default()
        });
        assert_eq!(ports(&overview), [40_001, 40_002]);
        let row = &overview.rows[1];
        assert_eq!((row.sent, row.rate), of_the_second, "at {at} s");
    }
}

#[test]
fn a_filter_of_any_case() {
    let mut pipeline = pipeline(&[1, 2, 3]);
    let mut check = |filter: &str, expected: &[u16]| {
        let overview = pipeline.overview(&Asked {
            rows: 9,
            filter: filter.to_owned(),
            is_reversed: true,
            ..Asked::default()
        });
        assert_eq!(ports(&overview), expected, "{filter}");
        assert_eq!((overview.open, overview.chosen), (3, expected.len()));
    };
    check("", &[40_001, 40_002, 40_003]);
    check("40002", &[40_002]);
    check("SEN", &[40_001, 40_002, 40_003]);
    check("[7]", &[40_001, 40_002, 40_003]);
    check("127.0.0.1:5000", &[40_001, 40_002, 40_003]);
    check("nobody", &[]);
}

#[test]
fn one_that_has_ended_is_not_under_way() {
    let mut pipeline = pipeline(&[1, 2]);
    let mut outputs = Vec::new();
    let asked = Asked {
        rows: 9,
        ..Asked::default()
    };
    let row = pipeline.overview(&asked).rows.remove(0);
    let asked = Asked {
        opened: Some((row.key, row.connection)),
        ..asked
    };
    let so_far = pipeline.overview(&asked).opened.unwrap();
    assert_eq!((so_far.connection, so_far.open), (row.connection, true));
    let closes = (state::ESTABLISHED, state::CLOSE);
    pipeline.advance(change(2, 3 * SECOND, closes), &mut outputs);
    let overview = pipeline.overview(&asked);
    assert_eq!((ports(&overview), overview.open), (vec![40_001], 1));
    assert_eq!(overview.opened, None);
    pipeline.advance(tick(9 * SECOND), &mut outputs);
    let ended = outputs
        .iter()
        .filter(|output| matches!(output, Output::Timeline(_)));
    assert_eq!(ended.count(), 1);
    assert_eq!(pipeline.overview(&asked).totals.connections, 1);
}

/// The limit that ruled for most of the last second; not once that is long ago.
#[test]
fn what_limits_it_now() {
    let mut pipeline = pipeline(&[5]);
    let mut outputs = Vec::new();
    let mut limits = |mono_ns: u64, process_ns: u64, window_ns: u64| {
        let mut limits = record::Limits::new_zeroed();
        limits.header.kind = LIMITS;
        (limits.header.mono_ns, limits.header.cookie) = (mono_ns, 5);
        limits.times.sender[sender::APPLICATION] = process_ns;
        limits.times.sender[sender::WINDOW] = window_ns;
        pipeline.advance(
            Input::Kernel(limits.as_bytes().to_vec().into()),
            &mut outputs,
        );
        pipeline.advance(tick(mono_ns + 1), &mut outputs);
        let overview = pipeline.overview(&Asked {
            rows: 1,
            ..Asked::default()
        });
        overview.rows[0].limit
    };
    let first = limits(4 * SECOND, 900, 100).unwrap();
    assert_eq!((first.by, first.hundredths), (End::Client, 90));
    assert_eq!(first.kind, LimitKind::Sender(sender::APPLICATION));
    let later = limits(6 * SECOND, 960, 250).unwrap();
    assert_eq!(later.kind, LimitKind::Sender(sender::WINDOW));
    pipeline.advance(tick(60 * SECOND), &mut outputs);
    let overview = pipeline.overview(&Asked {
        rows: 1,
        ..Asked::default()
    });
    assert_eq!(overview.rows[0].limit, None);
}
