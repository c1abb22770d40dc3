//! Extreme numbers, which only a damaged recording has; losses; eviction; clocks.

mod captured;
mod conversations;
mod followed;
mod handshakes;
mod opened_before;
mod uploads;

use tracer_ebpf::record::{self, StateChange, state};
use upload_protocol::{
    ConnectionId,
    line::Hop,
    timeline::{Incomplete, Timeline},
    upload::FeedLine,
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::Pipeline;
use crate::core::{
    input::{Feed, Input, Present, Tick},
    output::Output,
};

const LAST: u64 = u64::MAX;

fn change(old: u8, new: u8) -> StateChange {
    let mut change = StateChange::new_zeroed();
    change.header.kind = record::STATE_CHANGE;
    change.header.mono_ns = LAST;
    change.header.cookie = 7;
    (change.old, change.new) = (old, new);
    change.addresses.local_port = 5000;
    change.addresses.remote_port = 40000;
    change.counters.bytes_received = LAST;
    change
}

/// Two files of one request.
fn upload(id: u32, request: u32) -> serde_json::Result<FeedLine> {
    serde_json::from_value(serde_json::json!({
        "type": "upload", "id": id.to_string(), "cookie": "7", "request": request,
        "client": "127.0.0.1:40000", "method": "POST", "target": "/", "version": "HTTP/1.1",
        "name": null, "content_length": null, "bytes": LAST, "status": null,
        "outcome": "aborted", "error": null, "accepted_ns": 0, "first_byte_ns": null,
        "head_ns": LAST, "body_first_ns": null, "body_last_ns": null, "stored_ns": null,
        "response_ns": null, "sent_ns": null,
    }))
}

fn tick(mono_ns: u64, lost_ring: u64) -> Tick {
    Tick {
        mono_ns,
        lost_ring,
        realtime_ns: i64::MAX,
        ..Tick::default()
    }
}

#[test]
fn the_last_moment_and_the_highest_counts() {
    let mut pipeline = Pipeline::new(true);
    let mut outputs = Vec::new();
    pipeline.advance(Input::Tick(tick(0, LAST)), &mut outputs);
    for (old, new) in [
        (state::SYN_RECV, state::ESTABLISHED),
        (state::ESTABLISHED, state::FIN_WAIT1),
        (state::FIN_WAIT1, state::CLOSING),
    ] {
        pipeline.advance(
            Input::Kernel(change(old, new).as_bytes().into()),
            &mut outputs,
        );
    }
    for lost in [0, LAST, 0, LAST, 0] {
        pipeline.advance(Input::Tick(tick(0, lost)), &mut outputs);
    }
    for id in [1, 2] {
        let line = Box::new(upload(id, 1).unwrap());
        pipeline.advance(Input::Feed(Feed::Line(line)), &mut outputs);
    }
    pipeline.advance(Input::Tick(tick(LAST, 0)), &mut outputs);
    let closed = change(state::CLOSING, state::CLOSE);
    pipeline.advance(Input::Kernel(closed.as_bytes().into()), &mut outputs);
    pipeline.advance(Input::Tick(tick(LAST, LAST)), &mut outputs);
    pipeline.advance(Input::Shutdown, &mut outputs);
    let timelines = outputs.iter().filter_map(|output| match output {
        Output::Timeline(timeline) => Some(timeline.uploads.len()),
        _ => None,
    });
    assert_eq!(timelines.collect::<Vec<_>>(), [2]);
}

/// A skipped run of a program may have made no record.
#[test]
fn skipped_runs_are_an_upper_bound() {
    let check = |ring: u64, recursion: u64, at_most: &[bool], whole: bool| {
        let mut pipeline = Pipeline::new(false);
        let mut outputs = Vec::new();
        pipeline.advance(Input::Tick(tick(0, 0)), &mut outputs);
        let opened = change(state::SYN_RECV, state::ESTABLISHED);
        pipeline.advance(Input::Kernel(opened.as_bytes().into()), &mut outputs);
        let lost = Tick {
            lost_recursion: recursion,
            ..tick(1, ring)
        };
        pipeline.advance(Input::Tick(lost), &mut outputs);
        pipeline.advance(Input::Shutdown, &mut outputs);
        let mut found = Vec::new();
        for output in outputs {
            match output {
                Output::Lost(line) => found.push(line.at_most),
                Output::Timeline(timeline) => {
                    assert_eq!(timeline.lost, ring + recursion);
                    assert_eq!(timeline.lost_at_most, whole);
                }
                Output::Summary(summary) => assert_eq!(summary.lost_at_most, recursion > 0),
                _ => {}
            }
        }
        assert_eq!(found, at_most, "{ring} {recursion}");
    };
    check(0, 3, &[true], true);
    check(2, 0, &[false], false);
    check(2, 3, &[false, true], false);
}

/// If the beginning of a connection is missing, it was before the tracer, or it was lost.
#[test]
fn a_beginning_that_may_be_lost() {
    let check = |lost: u64, expected: Incomplete| {
        let mut pipeline = Pipeline::new(false);
        let mut outputs = Vec::new();
        pipeline.advance(Input::Tick(tick(0, 0)), &mut outputs);
        pipeline.advance(Input::Tick(tick(1, lost)), &mut outputs);
        let closing = change(state::ESTABLISHED, state::CLOSE_WAIT);
        pipeline.advance(Input::Kernel(closing.as_bytes().into()), &mut outputs);
        pipeline.advance(Input::Shutdown, &mut outputs);
        let reasons = outputs.into_iter().find_map(|output| match output {
            Output::Timeline(timeline) => Some(timeline.incomplete),
            _ => None,
        });
        assert_eq!(reasons.unwrap(), [expected, Incomplete::StillOpen]);
    };
    check(0, Incomplete::BeganBefore);
    check(1, Incomplete::BeginUnseen);
}

/// Of too many connections, the idlest are emitted unfinished and counted; closed ones are not counted.
#[test]
fn too_many_connections() {
    const ROOM: u16 = 16;
    const MORE: u16 = 5;
    let mut pipeline = Pipeline::new(false);
    let mut outputs = Vec::new();
    pipeline.advance(Input::Room(ROOM.into()), &mut outputs);
    pipeline.advance(Input::Tick(tick(0, 0)), &mut outputs);
    let mut happens = |port: u16, old: u8, new: u8, mono_ns: u64| {
        let mut change = change(old, new);
        change.header.mono_ns = mono_ns;
        change.header.cookie = port.into();
        change.addresses.remote_port = port;
        pipeline.advance(Input::Kernel(change.as_bytes().into()), &mut outputs);
    };
    for port in 1..=ROOM {
        happens(port, state::SYN_RECV, state::ESTABLISHED, port.into());
    }
    // The first is not idle any more, the second is closed.
    happens(1, state::ESTABLISHED, state::CLOSE_WAIT, 100);
    happens(2, state::ESTABLISHED, state::CLOSE, 2);
    for port in ROOM + 1..=ROOM + MORE {
        happens(port, state::SYN_RECV, state::ESTABLISHED, 200);
    }
    pipeline.advance(Input::Shutdown, &mut outputs);
    let mut found = Vec::new();
    let mut dropped = 0;
    for output in outputs {
        match output {
            Output::Lost(line) => {
                assert_eq!(line.hop, Hop::Table);
                dropped += line.count;
            }
            Output::Timeline(timeline) => found.push((timeline.client.port, timeline.incomplete)),
            _ => {}
        }
    }
    let unfinished: Vec<u16> = found
        .iter()
        .filter(|(_, why)| why.contains(&Incomplete::Evicted))
        .map(|(port, _)| *port)
        .collect();
    // Room for one in sixteen more is made with the first, and again when that is used up.
    assert_eq!(unfinished, [3, 4, 5, 6, 7]);
    assert_eq!(found[0], (2, Vec::new()));
    assert_eq!(dropped, 5);
    assert_eq!(found.len(), usize::from(ROOM + MORE));
}

/// The timelines that the pipeline emits once the kernel has listed these sockets.
fn timelines_after(pipeline: &mut Pipeline, present: Present) -> Vec<Timeline> {
    let mut outputs = Vec::new();
    pipeline.advance(Input::Tick(tick(present.asked_ns, 1)), &mut outputs);
    pipeline.advance(Input::Present(Box::new(present)), &mut outputs);
    outputs
        .into_iter()
        .filter_map(|output| match output {
            Output::Timeline(timeline) => Some(*timeline),
            _ => None,
        })
        .collect()
}

/// After a loss, connections without a socket have ended. Not those with one, those that have just
/// begun, or those in a network namespace that was not listed.
#[test]
fn connections_whose_end_was_lost() {
    const GONE: u64 = 1;
    const THERE: u64 = 2;
    const ELSEWHERE: u64 = 3;
    const JUST_BEGAN: u64 = 4;
    const ASKED_NS: u64 = 10_000_000_000;
    let mut pipeline = Pipeline::new(false);
    let mut outputs = Vec::new();
    pipeline.advance(Input::Tick(tick(0, 0)), &mut outputs);
    for cookie in [GONE, THERE, ELSEWHERE, JUST_BEGAN] {
        let mut opened = change(state::SYN_RECV, state::ESTABLISHED);
        opened.header.cookie = cookie;
        opened.header.mono_ns = if cookie == JUST_BEGAN { ASKED_NS } else { 1 };
        opened.addresses.netns = if cookie == ELSEWHERE { 7 } else { 0 };
        opened.addresses.remote_port = u16::try_from(cookie).unwrap();
        pipeline.advance(Input::Kernel(opened.as_bytes().into()), &mut outputs);
    }
    let present = Present {
        asked_ns: ASKED_NS,
        netns: vec![0],
        cookies: vec![THERE],
    };
    let found = timelines_after(&mut pipeline, present);
    let names: Vec<_> = found.iter().map(|one| one.connection).collect();
    assert_eq!(names, [ConnectionId::new(GONE, None)]);
    assert!(!found[0].open);
    let why = [Incomplete::EndUnseen, Incomplete::LostRecords];
    assert_eq!(found[0].incomplete, why);
}

/// A socket that connects again keeps its cookie: after a loss, its previous connection has ended
/// although the socket exists.
#[test]
fn a_cookie_that_is_used_again() {
    let mut pipeline = Pipeline::new(false);
    let mut outputs = Vec::new();
    pipeline.advance(Input::Tick(tick(0, 0)), &mut outputs);
    for remote_port in [1, 2] {
        let mut opened = change(state::CLOSE, state::SYN_SENT);
        opened.header.mono_ns = 1;
        opened.addresses.remote_port = remote_port;
        pipeline.advance(Input::Kernel(opened.as_bytes().into()), &mut outputs);
    }
    let present = Present {
        asked_ns: 10_000_000_000,
        netns: vec![0],
        cookies: vec![7],
    };
    let found = timelines_after(&mut pipeline, present);
    let ports: Vec<u16> = found.iter().map(|one| one.server.port).collect();
    assert_eq!(ports, [1]);
    assert!(pipeline.has_open());
}

/// If the wall clock is set, later events have the new time.
#[test]
fn a_wall_clock_that_is_set() {
    const HOUR_NS: i64 = 3_600_000_000_000;
    let mut pipeline = Pipeline::new(false);
    let mut outputs = Vec::new();
    let mut found = Vec::new();
    for (mono_ns, realtime_ns) in [(1, 1), (2, 2 + HOUR_NS), (3, 3 - HOUR_NS)] {
        let at = Tick {
            realtime_ns,
            ..tick(mono_ns, 0)
        };
        pipeline.advance(Input::Tick(at), &mut outputs);
        let mut changed = change(state::ESTABLISHED, state::FIN_WAIT1);
        changed.header.mono_ns = mono_ns;
        pipeline.advance(Input::Kernel(changed.as_bytes().into()), &mut outputs);
    }
    for output in outputs {
        if let Output::State(line) = output {
            found.push((line.at.mono_ns, line.at.unix_ns));
        }
    }
    let hour = i128::from(HOUR_NS);
    assert_eq!(found, [(1, 1), (2, 2 + hour), (3, 3 - hour)]);
}

/// CLOCK_MONOTONIC stops while the machine is suspended: no duration includes that time.
#[test]
fn a_machine_that_was_suspended() {
    const SLEPT_NS: u64 = 5_000_000_000;
    let mut pipeline = Pipeline::new(false);
    let mut outputs = Vec::new();
    let asleep = |mono_ns, suspended_ns| {
        Input::Tick(Tick {
            suspended_ns,
            ..tick(mono_ns, 0)
        })
    };
    // A suspend before the tracer began affects no timeline.
    pipeline.advance(asleep(1, SLEPT_NS), &mut outputs);
    for (cookie, suspended_ns) in [(1, SLEPT_NS), (2, 2 * SLEPT_NS), (3, 2 * SLEPT_NS)] {
        let mut opened = change(state::SYN_RECV, state::ESTABLISHED);
        opened.header.cookie = cookie;
        opened.addresses.remote_port = u16::try_from(cookie).unwrap();
        pipeline.advance(asleep(cookie, suspended_ns), &mut outputs);
        pipeline.advance(Input::Kernel(opened.as_bytes().into()), &mut outputs);
    }
    pipeline.advance(Input::Shutdown, &mut outputs);
    let touched: Vec<bool> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Timeline(found) => Some(found.incomplete.contains(&Incomplete::Suspended)),
            _ => None,
        })
        .collect();
    assert_eq!(touched, [true, false, false]);
}
