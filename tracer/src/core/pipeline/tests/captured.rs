//! Connections of a capture that have no end, and very many of them.

use std::borrow::Cow;

use upload_protocol::{
    ConnectionId, Flags,
    timeline::{Incomplete, Timeline},
};

use super::tick;
use crate::core::{
    input::Input,
    output::Output,
    packet::Packet,
    pipeline::{EMITTED_AT_ONCE, Pipeline},
};

/// From a client at a port to its server, or back.
#[derive(Clone, Copy)]
enum To {
    Server,
    Client,
}

/// A segment in an IP packet without a link layer's header.
fn segment(port: u16, to: To, flags: u16, numbers: (u32, u32)) -> Vec<u8> {
    let (client, server) = (([10, 0, 0, 1], port), ([10, 0, 0, 2], 80));
    let ends = match to {
        To::Server => [client, server],
        To::Client => [server, client],
    };
    packet(ends, flags, numbers, b"")
}

/// A segment from the first of two ends to the second.
pub(super) fn packet(
    ends: [([u8; 4], u16); 2],
    flags: u16,
    (seq, ack): (u32, u32),
    payload: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(40 + payload.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 1, 0, 0, 64, 6, 0, 0]);
    packet.extend(ends.map(|(address, _)| address).as_flattened());
    packet.extend(ends.map(|(_, port)| port.to_be_bytes()).as_flattened());
    packet.extend(seq.to_be_bytes());
    packet.extend(ack.to_be_bytes());
    packet.extend([0x50, u8::try_from(flags).unwrap(), 0, 0, 0, 0, 0, 0]);
    packet.extend(payload);
    packet
}

pub(super) fn pass(pipeline: &mut Pipeline, mono_ns: u64, bytes: &[u8]) -> Vec<Output> {
    const RAW: u16 = 101;
    let packet = Packet {
        mono_ns,
        capture: 0,
        link_type: RAW,
        length: u32::try_from(bytes.len()).unwrap(),
        bytes: Cow::Borrowed(bytes),
    };
    let mut outputs = Vec::new();
    pipeline.advance(Input::Tick(tick(mono_ns, 0)), &mut outputs);
    pipeline.advance(Input::Packet(packet), &mut outputs);
    outputs
}

pub(super) fn timelines(outputs: Vec<Output>) -> Vec<Timeline> {
    let timelines = outputs.into_iter().filter_map(|output| match output {
        Output::Timeline(timeline) => Some(*timeline),
        _ => None,
    });
    timelines.collect()
}

/// The capture says neither that it ended, nor that it goes on: only since when it is silent.
#[test]
fn a_connection_that_goes_silent() {
    const SYN: u16 = Flags::SYN;
    const ACK: u16 = Flags::ACK;
    const HOUR_NS: u64 = 3_600_000_000_000;
    let mut pipeline = Pipeline::new(false);
    pass(&mut pipeline, 0, &segment(1, To::Server, SYN, (0, 0)));
    let answer = segment(1, To::Client, SYN | ACK, (100, 1));
    pass(&mut pipeline, 20, &answer);
    pass(&mut pipeline, 50, &segment(1, To::Server, ACK, (1, 101)));
    pass(&mut pipeline, HOUR_NS, &segment(2, To::Server, SYN, (0, 0)));
    let mut outputs = Vec::new();
    pipeline.advance(Input::Shutdown, &mut outputs);
    let timelines = timelines(outputs);
    let found = timelines.iter().map(|timeline| {
        let rtt_ns = timeline.initiation().and_then(|phase| phase.rtt_ns);
        (timeline.open, rtt_ns, timeline.silent_for_ns)
    });
    let expected = [(true, Some(50), Some(HOUR_NS - 50)), (true, None, Some(0))];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let reasons = &timelines[0].incomplete;
    assert_eq!(*reasons, [Incomplete::CaptureEnded]);
}

/// Those that are open at the end are emitted in pieces, each once and the oldest first.
#[test]
fn many_open_connections() {
    let mut pipeline = Pipeline::new(false);
    let all = 2 * u16::try_from(EMITTED_AT_ONCE).unwrap() + 3;
    for port in 1..=all {
        let bytes = segment(port, To::Server, Flags::SYN, (0, 0));
        pass(&mut pipeline, port.into(), &bytes);
    }
    let mut found = Vec::new();
    loop {
        let mut outputs = Vec::new();
        let goes_on = pipeline.emit_some(&mut outputs);
        assert!(outputs.len() <= EMITTED_AT_ONCE);
        found.extend(timelines(outputs));
        if !goes_on {
            break;
        }
    }
    let ports: Vec<u16> = found.iter().map(|timeline| timeline.client.port).collect();
    assert!(ports.into_iter().eq(1..=all));
}

/// A connection that goes on long after it had to make room has another timeline, with that reason.
#[test]
fn a_connection_that_goes_on_after_it_was_forgotten() {
    const ROOM: usize = 64;
    // Two generations of connections that ended are remembered.
    const OTHERS: u16 = (2 << 14) + 1000;
    let mut pipeline = Pipeline::new(false);
    pipeline.advance(Input::Room(ROOM), &mut Vec::new());
    let mut found = Vec::new();
    for port in 1..=OTHERS {
        let bytes = segment(port, To::Server, Flags::SYN, (0, 0));
        found.extend(timelines(pass(&mut pipeline, port.into(), &bytes)));
    }
    let goes_on = segment(1, To::Client, Flags::ACK, (100, 1));
    found.extend(timelines(pass(&mut pipeline, u64::MAX, &goes_on)));
    let mut outputs = Vec::new();
    pipeline.advance(Input::Shutdown, &mut outputs);
    found.extend(timelines(outputs));
    let of_first: Vec<Vec<Incomplete>> = found
        .into_iter()
        .filter(|timeline| timeline.connection == ConnectionId::captured(0, None))
        .map(|timeline| timeline.incomplete)
        .collect();
    let expected = [
        vec![Incomplete::Evicted],
        vec![Incomplete::Resumed, Incomplete::CaptureEnded],
    ];
    assert_eq!(of_first.len(), 2);
    for (found, expected) in of_first.iter().zip(expected) {
        assert!(found.starts_with(&expected), "{found:?}");
    }
}
