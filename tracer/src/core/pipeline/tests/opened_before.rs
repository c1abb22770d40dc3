//! Connections that were open before the capture began: which end is the client is seen in what they send.

use upload_protocol::{
    End::{self, Client, Server},
    Flags, RolesFrom,
};

use super::captured::{packet, pass, timelines};
use crate::core::{input::Input, output::Output, pipeline::Pipeline};

/// The end with the lower port, and the one with the higher.
#[derive(Clone, Copy)]
enum By {
    Low,
    High,
}

/// Who sent it, its flags, and its payload.
type Sent<'a> = (By, u16, &'a [u8]);

const LOW: u16 = 1000;
const HIGH: u16 = 8080;

/// A segment of a connection whose ends have sent nothing but such.
fn sent(from: By, flags: u16, seq: u32, payload: &[u8]) -> Vec<u8> {
    let (low, high) = (([10, 0, 0, 1], LOW), ([10, 0, 0, 2], HIGH));
    let ends = match from {
        By::Low => [low, high],
        By::High => [high, low],
    };
    packet(ends, flags, (seq, 500), payload)
}

/// What a pipeline makes of segments, one each millisecond: the client's port and how it is known, and who sent each
/// segment.
fn outcome(segments: &[Sent<'_>]) -> (u16, RolesFrom, Vec<End>) {
    let mut pipeline = Pipeline::new(true);
    let mut outputs = Vec::new();
    let mut next = [500, 500];
    for (mono_ns, (from, flags, payload)) in (0..).zip(segments) {
        let next = &mut next[usize::from(matches!(from, By::High))];
        let seq = *next - u32::from(*flags == Flags::SYN);
        let bytes = sent(*from, *flags, seq, payload);
        *next += u32::try_from(payload.len()).unwrap();
        outputs.extend(pass(&mut pipeline, mono_ns * 1_000_000, &bytes));
    }
    pipeline.advance(Input::Shutdown, &mut outputs);
    let senders = outputs.iter().filter_map(|output| match output {
        Output::Segment(segment) => Some(segment.line.from),
        _ => None,
    });
    let senders = senders.collect();
    let timelines = timelines(outputs);
    assert_eq!(timelines.len(), 1);
    (timelines[0].client.port, timelines[0].roles_from, senders)
}

#[test]
fn the_first_payload_shows_the_client() {
    use By::{High, Low};
    const ACK: u16 = Flags::ACK;
    const PUSH: u16 = Flags::PSH | Flags::ACK;
    const FIN: u16 = Flags::FIN | Flags::ACK;
    const REQUEST: &[u8] = b"PUT /cat.png HTTP/1.1\r\nContent-Length: 4\r\n\r\n";
    const RESPONSE: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    const SERVER_HELLO: &[u8] = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03";
    const BODY: &[u8] = b"\x89PNG";
    let data: [(&str, &[Sent<'_>], (u16, RolesFrom)); 13] = [
        (
            "a request",
            &[(Low, PUSH, REQUEST)],
            (LOW, RolesFrom::Payload),
        ),
        (
            "a request to the lower port",
            &[(High, PUSH, REQUEST)],
            (HIGH, RolesFrom::Payload),
        ),
        (
            "a response",
            &[(High, PUSH, RESPONSE)],
            (LOW, RolesFrom::Payload),
        ),
        (
            "the preface of HTTP/2",
            &[(Low, PUSH, PREFACE)],
            (LOW, RolesFrom::Payload),
        ),
        (
            "a ClientHello",
            &[(Low, PUSH, CLIENT_HELLO)],
            (LOW, RolesFrom::Payload),
        ),
        (
            "a ServerHello",
            &[(High, PUSH, SERVER_HELLO)],
            (LOW, RolesFrom::Payload),
        ),
        (
            "segments without payload before a request",
            &[
                (High, ACK, b""),
                (Low, ACK, b""),
                (Low, PUSH, REQUEST),
                (High, PUSH, RESPONSE),
            ],
            (LOW, RolesFrom::Payload),
        ),
        (
            "the middle of a body before its response",
            &[
                (Low, ACK, BODY),
                (Low, ACK, BODY),
                (High, ACK, b""),
                (High, FIN, RESPONSE),
            ],
            (LOW, RolesFrom::Payload),
        ),
        (
            "a SYN that comes late",
            &[(High, ACK, b""), (Low, Flags::SYN, b"")],
            (LOW, RolesFrom::Opening),
        ),
        (
            "nothing but a body",
            &[(Low, ACK, BODY), (High, ACK, b"")],
            (HIGH, RolesFrom::Ports),
        ),
        (
            "nothing but a RST",
            &[(Low, Flags::RST, b"")],
            (HIGH, RolesFrom::Ports),
        ),
        (
            "a response after the FIN",
            &[(Low, FIN, b""), (High, FIN, RESPONSE)],
            (HIGH, RolesFrom::Ports),
        ),
        (
            "a response after too many segments",
            &[[(Low, ACK, BODY); 32].as_slice(), &[(High, PUSH, RESPONSE)]].concat(),
            (HIGH, RolesFrom::Ports),
        ),
    ];
    for (name, segments, (client, roles_from)) in data {
        let senders = segments.iter().map(|(from, ..)| match (from, client) {
            (Low, LOW) | (High, HIGH) => Client,
            _ => Server,
        });
        let expected = (client, roles_from, senders.collect());
        assert_eq!(outcome(segments), expected, "{name}");
    }
}

/// A connection that shows nothing for a second is not waited for.
#[test]
fn a_silent_connection_falls_back_on_its_ports() {
    let mut pipeline = Pipeline::new(true);
    let shown = |mono_ns, pipeline: &mut Pipeline| {
        let other = packet(
            [([10, 0, 0, 3], 5), ([10, 0, 0, 4], 6)],
            Flags::SYN,
            (0, 0),
            b"",
        );
        let outputs = pass(pipeline, mono_ns, &other);
        let segments = outputs.iter().filter_map(|output| match output {
            Output::Segment(segment) => segment.line.frame,
            _ => None,
        });
        segments.collect::<Vec<_>>()
    };
    let opaque = sent(By::Low, Flags::ACK, 500, b"\x89PNG");
    assert!(pass(&mut pipeline, 0, &opaque).is_empty());
    assert_eq!(shown(999_999_999, &mut pipeline), [2]);
    assert_eq!(shown(1_000_000_000, &mut pipeline), [1, 3]);
}
