//! Segments of handshakes that have no socket yet: which connection is theirs.

use std::net::Ipv4Addr;

use tracer_ebpf::record::{self, StateChange, state};
use upload_protocol::{Flags, line::Hop, timeline::Timeline};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{LAST, captured::packet, change, tick};
use crate::core::{input::Input, output::Output, pipeline::Pipeline};

const SERVER: u16 = 5000;
const SYN: u16 = Flags::SYN;
const SYN_ACK: u16 = Flags::SYN | Flags::ACK;
const ACK: u16 = Flags::ACK;
/// An ACK of the server: it bears PSH here, to differ from the client's.
const CHALLENGE: u16 = Flags::ACK | Flags::PSH;
const SECOND_NS: u64 = 1_000_000_000;

/// A segment of a handshake without a socket: it arrives from the client at this port, or is the listener's and
/// leaves.
fn handshake(port: u16, mono_ns: u64, flags: u16, numbers: (u32, u32)) -> Vec<u8> {
    let (client, server) = (([10, 0, 0, 1], port), ([10, 0, 0, 2], SERVER));
    let leaves = [SYN_ACK, CHALLENGE].contains(&flags);
    let ends = if leaves {
        [server, client]
    } else {
        [client, server]
    };
    let packet = packet(ends, flags, numbers, b"");
    let mut segment = record::Segment::new_zeroed();
    segment.header.kind = record::SEGMENT;
    segment.header.mono_ns = mono_ns;
    segment.length = u32::try_from(packet.len()).unwrap();
    segment.captured = segment.length;
    segment.direction = if leaves {
        record::EGRESS
    } else {
        record::INGRESS
    };
    segment.under_listener = 1;
    segment.local_port = SERVER;
    [segment.as_bytes(), &packet].concat()
}

/// The server's socket of a connection whose third ACK has arrived.
fn accepted(port: u16, cookie: u64, mono_ns: u64) -> StateChange {
    let mapped = |last| Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped().octets();
    let mut change = change(state::SYN_RECV, state::ESTABLISHED);
    change.header.mono_ns = mono_ns;
    change.header.cookie = cookie;
    change.addresses.local = mapped(2);
    change.addresses.remote = mapped(1);
    change.addresses.remote_port = port;
    change
}

/// A SYN flood: the oldest handshakes are dropped and counted, and connections that miss theirs say so.
#[test]
fn too_many_handshakes() {
    const KEPT: u16 = 4096;
    const DROPPED: u16 = 4;
    let mut pipeline = Pipeline::new(false);
    let mut outputs = Vec::new();
    pipeline.advance(Input::Tick(tick(0, 0)), &mut outputs);
    for port in 0..KEPT + DROPPED {
        let syn = handshake(port, LAST, SYN, (0, 0));
        pipeline.advance(Input::Kernel(syn.into()), &mut outputs);
    }
    for (port, cookie) in [(DROPPED - 1, 7), (DROPPED, 8)] {
        let opened = accepted(port, cookie, LAST);
        pipeline.advance(Input::Kernel(opened.as_bytes().into()), &mut outputs);
    }
    pipeline.advance(Input::Shutdown, &mut outputs);
    let mut touched = Vec::new();
    let mut dropped = 0;
    for output in outputs {
        match output {
            Output::Lost(line) => {
                assert_eq!((line.hop, line.at_most), (Hop::Handshakes, true));
                dropped += line.count;
            }
            Output::Timeline(timeline) => touched.push((timeline.client.port, timeline.lost)),
            _ => {}
        }
    }
    assert_eq!(dropped, u64::from(DROPPED));
    assert_eq!(touched, [(DROPPED - 1, 1), (DROPPED, 0)]);
}

/// What a test passes to the pipeline.
enum Seen {
    /// A segment from the client at [`CLIENT`], or to it, by its flags and numbers.
    Segment(u16, (u32, u32)),
    SynAckRetransmit,
    /// From the server, with the numbers of an earlier connection.
    ChallengeAck,
    /// The server's socket with this cookie.
    Accepted(u64),
    /// The client's socket, of a client on this machine.
    Connect,
    Connected,
}

const CLIENT: u16 = 40_000;
const ISN: u32 = 4_000_000_000;
const SERVER_ISN: u32 = 7_000;
/// Of an earlier handshake from the same port.
const EARLIER: u32 = 1_000;
const EARLIER_ANSWER: u32 = 2_000_000_000;
const ONCE: (u32, u32) = (ISN.wrapping_add(1), SERVER_ISN + 1);

/// The opening's steps of the last connection that these make, one each second: the seconds and the flags.
fn opening(seen: &[Seen]) -> Vec<(u64, String)> {
    let mut pipeline = Pipeline::new(false);
    let mut outputs = Vec::new();
    pipeline.advance(Input::Tick(tick(0, 0)), &mut outputs);
    for (second, seen) in (1..).zip(seen) {
        let mono_ns = second * SECOND_NS;
        let record = match seen {
            Seen::Segment(flags, numbers) => handshake(CLIENT, mono_ns, *flags, *numbers),
            Seen::SynAckRetransmit => {
                let mut event = record::SocketEvent::new_zeroed();
                event.header.kind = record::RETRANSMIT_SYN_ACK;
                event.header.mono_ns = mono_ns;
                event.addresses = accepted(CLIENT, 0, 0).addresses;
                event.as_bytes().to_vec()
            }
            Seen::ChallengeAck => handshake(CLIENT, mono_ns, CHALLENGE, (EARLIER_ANSWER, EARLIER)),
            Seen::Accepted(cookie) => accepted(CLIENT, *cookie, mono_ns).as_bytes().to_vec(),
            Seen::Connect | Seen::Connected => {
                let states = match seen {
                    Seen::Connect => (state::CLOSE, state::SYN_SENT),
                    _ => (state::SYN_SENT, state::ESTABLISHED),
                };
                let mut change = accepted(CLIENT, 8, mono_ns);
                (change.old, change.new) = states;
                let addresses = &mut change.addresses;
                std::mem::swap(&mut addresses.local, &mut addresses.remote);
                let port = if matches!(seen, Seen::Connect) {
                    0
                } else {
                    CLIENT
                };
                (addresses.local_port, addresses.remote_port) = (port, SERVER);
                change.as_bytes().to_vec()
            }
        };
        pipeline.advance(Input::Kernel(record.into()), &mut outputs);
    }
    pipeline.advance(Input::Shutdown, &mut outputs);
    let timelines = outputs.into_iter().filter_map(|output| match output {
        Output::Timeline(timeline) => Some(*timeline),
        _ => None,
    });
    let timelines: Vec<Timeline> = timelines.collect();
    let timeline = serde_json::to_value(timelines.last().unwrap()).unwrap();
    let began_ns = timeline["mono_ns"].as_u64().unwrap();
    let steps = timeline["phases"][0]["steps"].as_array().unwrap();
    // A step without a time was not seen.
    let seen = steps.iter().filter_map(|step| {
        let at_ns = began_ns + step["at_ns"].as_u64()?;
        Some((at_ns / SECOND_NS, step["name"].as_str()?.to_owned()))
    });
    seen.collect()
}

#[test]
fn a_handshake_belongs_to_one_connection() {
    use Seen::{Accepted, ChallengeAck, Connect, Connected, Segment, SynAckRetransmit};
    let acknowledged = (SERVER_ISN, ISN.wrapping_add(1));
    type Steps<'a> = &'a [(u64, &'a str)];
    let data: [(&str, &[Seen], Steps<'_>); 9] = [
        (
            "of a SYN that was not answered, an hour ago",
            &[
                Segment(SYN, (EARLIER, 0)),
                Segment(SYN, (ISN, 0)),
                Segment(SYN_ACK, acknowledged),
                Segment(ACK, ONCE),
                Accepted(7),
            ],
            &[(2, "SYN"), (3, "SYN-ACK"), (4, "ACK")],
        ),
        (
            "of a connection whose socket's records were lost",
            &[
                Segment(SYN, (EARLIER, 0)),
                Segment(SYN_ACK, (EARLIER_ANSWER, EARLIER + 1)),
                Segment(ACK, (EARLIER + 1, EARLIER_ANSWER + 1)),
                Segment(SYN, (ISN, 0)),
                Segment(SYN_ACK, acknowledged),
                Segment(ACK, ONCE),
                Accepted(7),
            ],
            &[(4, "SYN"), (5, "SYN-ACK"), (6, "ACK")],
        ),
        (
            "whose SYN was lost, too",
            &[
                Segment(SYN, (EARLIER, 0)),
                Segment(SYN_ACK, (EARLIER_ANSWER, EARLIER + 1)),
                Segment(SYN_ACK, acknowledged),
                Segment(ACK, ONCE),
                Accepted(7),
            ],
            // Without the SYN, segments have no place in the opening; the socket's change of state has.
            &[(5, "ACK")],
        ),
        (
            "before the client's socket connects",
            &[
                Segment(SYN, (EARLIER, 0)),
                Segment(SYN_ACK, (EARLIER_ANSWER, EARLIER + 1)),
                Connect,
                Segment(SYN, (ISN, 0)),
                Segment(SYN_ACK, acknowledged),
                Connected,
            ],
            &[(4, "SYN"), (5, "SYN-ACK")],
        ),
        (
            "with a SYN that is sent again, and a SYN cookie for each",
            &[
                Segment(SYN, (ISN, 0)),
                Segment(SYN_ACK, (EARLIER_ANSWER, ISN.wrapping_add(1))),
                Segment(SYN, (ISN, 0)),
                Segment(SYN_ACK, acknowledged),
                Segment(ACK, ONCE),
                Accepted(7),
            ],
            &[
                (1, "SYN"),
                (2, "SYN-ACK"),
                (3, "SYN"),
                (4, "SYN-ACK"),
                (5, "ACK"),
            ],
        ),
        (
            "with a SYN-ACK that was sent again for the earlier one",
            &[
                Segment(SYN, (EARLIER, 0)),
                SynAckRetransmit,
                Segment(SYN, (ISN, 0)),
                Segment(SYN_ACK, acknowledged),
                Segment(ACK, ONCE),
                Accepted(7),
            ],
            &[(3, "SYN"), (4, "SYN-ACK"), (5, "ACK")],
        ),
        (
            "of a SYN that an earlier connection's end answered first",
            &[
                Segment(SYN, (ISN, 0)),
                ChallengeAck,
                Segment(SYN, (ISN, 0)),
                Segment(SYN_ACK, acknowledged),
                Segment(ACK, ONCE),
                Accepted(7),
            ],
            &[(1, "SYN"), (3, "SYN"), (4, "SYN-ACK"), (5, "ACK")],
        ),
        (
            "after a connection whose end was lost",
            &[
                Segment(SYN, (EARLIER, 0)),
                Segment(SYN_ACK, (EARLIER_ANSWER, EARLIER + 1)),
                Segment(ACK, (EARLIER + 1, EARLIER_ANSWER + 1)),
                Accepted(9),
                Segment(SYN, (ISN, 0)),
                Segment(SYN_ACK, acknowledged),
                Segment(ACK, ONCE),
                Accepted(7),
            ],
            &[(5, "SYN"), (6, "SYN-ACK"), (7, "ACK")],
        ),
        (
            "with a RST of the earlier one",
            &[
                Segment(SYN, (EARLIER, 0)),
                Segment(Flags::RST, (0, 0)),
                Segment(SYN, (ISN, 0)),
                Segment(SYN_ACK, acknowledged),
                Segment(ACK, ONCE),
                Accepted(7),
            ],
            &[(3, "SYN"), (4, "SYN-ACK"), (5, "ACK")],
        ),
    ];
    for (name, seen, steps) in data {
        let steps = steps
            .iter()
            .map(|(second, step)| (*second, (*step).to_owned()));
        assert_eq!(opening(seen), steps.collect::<Vec<_>>(), "{name}");
    }
}
