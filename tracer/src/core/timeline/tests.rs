//! Whatever records come, in the order of time: the phases follow one another, each step lies within its
//! phase, and nothing ends before it begins. A conversation that makes sense contradicts itself nowhere.

mod losses;
mod talk;

use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use tracer_ebpf::record::{self, SocketEvent, StateChange, state};
use upload_protocol::{
    Flags, Timeline,
    timeline::consistency::{contradictions, of_phases},
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use self::talk::any_talk;
use crate::core::{
    input::{Input, Tick},
    output::Output,
    pipeline::Pipeline,
};

/// A socket's cookie; its peer has the other.
const CLIENT: u64 = 7;
const SERVER: u64 = 8;

/// A record, without its time.
#[derive(Clone, Debug)]
enum Record {
    Change {
        cookie: u64,
        old: u8,
        new: u8,
        error: u32,
        closing: u16,
        /// `bytes_received` and `bytes_acked`.
        counted: [u64; 2],
    },
    Event {
        cookie: u64,
        kind: u16,
        state: u8,
        error: u32,
    },
    TimeOut {
        cookie: u64,
        bytes_acked: u64,
        length: u32,
    },
    /// With every counter at the first number, and every gauge at the second.
    Limits {
        cookie: u64,
        counters: u64,
        gauges: u32,
    },
    Segment {
        /// At this socket.
        cookie: u64,
        direction: u8,
        flags: u16,
        seq: u32,
        ack: u32,
        payload: Vec<u8>,
        turned_ns: u64,
    },
}

/// A server has 10.0.0.2:5000.
fn addresses(cookie: u64) -> record::Addresses {
    let mut addresses = record::Addresses::new_zeroed();
    let address = |last| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last];
    let ends = [(address(1), 40000), (address(2), 5000)];
    let [(local, local_port), (remote, remote_port)] = if cookie == CLIENT {
        ends
    } else {
        [ends[1], ends[0]]
    };
    (addresses.local, addresses.local_port) = (local, local_port);
    (addresses.remote, addresses.remote_port) = (remote, remote_port);
    addresses
}

impl Record {
    fn bytes(&self, mono_ns: u64) -> Vec<u8> {
        match *self {
            Self::Change {
                cookie,
                old,
                new,
                error,
                closing,
                counted,
            } => {
                let mut change = StateChange::new_zeroed();
                change.header.kind = record::STATE_CHANGE;
                (change.header.mono_ns, change.header.cookie) = (mono_ns, cookie);
                change.addresses = addresses(cookie);
                (change.old, change.new) = (old, new);
                (change.error, change.flags) = (error, closing);
                [change.counters.bytes_received, change.counters.bytes_acked] = counted;
                change.as_bytes().to_vec()
            }
            Self::Event {
                cookie,
                kind,
                state,
                error,
            } => {
                let mut event = SocketEvent::new_zeroed();
                event.header.kind = kind;
                (event.header.mono_ns, event.header.cookie) = (mono_ns, cookie);
                event.addresses = addresses(cookie);
                (event.state, event.error) = (state, error);
                event.as_bytes().to_vec()
            }
            Self::TimeOut {
                cookie,
                bytes_acked,
                length,
            } => {
                let mut time_out = record::TimeOut::new_zeroed();
                time_out.header.kind = record::TIME_OUT;
                (time_out.header.mono_ns, time_out.header.cookie) = (mono_ns, cookie);
                (time_out.bytes_acked, time_out.length) = (bytes_acked, length);
                time_out.as_bytes().to_vec()
            }
            Self::Limits {
                cookie,
                counters,
                gauges,
            } => {
                let mut limits = record::Limits::new_zeroed();
                limits.header.kind = record::LIMITS;
                (limits.header.mono_ns, limits.header.cookie) = (mono_ns, cookie);
                limits.times.sender = [counters; record::sender::COUNT];
                limits.times.receiver = [counters; record::receiver::COUNT];
                limits.gauges.srtt_sum_us = u64::from(gauges);
                limits.gauges.srtt_samples = 1;
                (limits.mss, limits.min_rtt_us, limits.processor_ms) = (gauges, gauges, gauges);
                (limits.send_buffer, limits.receive_buffer) = (gauges, gauges);
                limits.fixed_buffers = gauges.to_le_bytes()[0];
                limits.as_bytes().to_vec()
            }
            Self::Segment {
                cookie,
                direction,
                flags,
                seq,
                ack,
                ref payload,
                turned_ns,
            } => {
                let packet = packet(cookie, direction, flags, (seq, ack), payload);
                let mut segment = record::Segment::new_zeroed();
                segment.header.kind = record::SEGMENT;
                (segment.header.mono_ns, segment.header.cookie) = (mono_ns, cookie);
                segment.length = u32::try_from(packet.len()).unwrap();
                segment.captured = segment.length;
                segment.direction = direction;
                segment.turned_ns = turned_ns;
                [segment.as_bytes(), &packet].concat()
            }
        }
    }
}

fn packet(
    cookie: u64,
    direction: u8,
    flags: u16,
    (seq, ack): (u32, u32),
    payload: &[u8],
) -> Vec<u8> {
    let by_client = (cookie == CLIENT) == (direction == record::EGRESS);
    let ports: [u16; 2] = if by_client {
        [40000, 5000]
    } else {
        [5000, 40000]
    };
    let (source, destination) = if by_client { (1, 2) } else { (2, 1) };
    let length = u16::try_from(40 + payload.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 6, 0, 0]);
    packet.extend([10, 0, 0, source, 10, 0, 0, destination]);
    packet.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    packet.extend(seq.to_be_bytes());
    packet.extend(ack.to_be_bytes());
    packet.extend((5 << 12 | flags).to_be_bytes());
    packet.extend([0x20, 0, 0, 0, 0, 0]);
    packet.extend(payload);
    packet
}

/// When the first record may be made, CLOCK_MONOTONIC.
const BEGINNING_NS: u64 = 1_000_000_000;

fn tick(mono_ns: u64) -> Input<'static> {
    Input::Tick(Tick {
        mono_ns,
        ..Tick::default()
    })
}

/// All timelines of these records, each with the time since the one before; a tick follows every few.
fn timelines(records: &[(u64, Record)]) -> Vec<Timeline> {
    let mut pipeline = Pipeline::new(false);
    let mut outputs = Vec::new();
    let mut mono_ns = BEGINNING_NS;
    pipeline.advance(tick(mono_ns), &mut outputs);
    for (number, (after_ns, record)) in records.iter().enumerate() {
        mono_ns += after_ns;
        pipeline.advance(Input::Kernel(record.bytes(mono_ns).into()), &mut outputs);
        if number % 4 == 3 {
            pipeline.advance(tick(mono_ns + 1), &mut outputs);
        }
    }
    pipeline.advance(tick(mono_ns + 1), &mut outputs);
    pipeline.advance(Input::Shutdown, &mut outputs);
    let timelines = outputs.into_iter().filter_map(|output| match output {
        Output::Timeline(timeline) => Some(*timeline),
        _ => None,
    });
    timelines.collect()
}

const HEAD: &[u8] = b"PUT /file HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";

fn any_record() -> impl Strategy<Value = Record> {
    let cookie = || prop_oneof![Just(CLIENT), Just(SERVER)];
    let state = || 1_u8..=12;
    let error = || prop_oneof![Just(0_u32), Just(104), Just(110), Just(32), Just(103)];
    let payload = prop_oneof![
        Just(Vec::new()),
        Just(HEAD.to_vec()),
        Just(ANSWER.to_vec()),
        Just(vec![b'x'; 9]),
    ];
    let change = (cookie(), state(), state(), error(), any::<u16>());
    let event = (cookie(), 2_u16..=9, state(), error());
    let time_out = (cookie(), any::<u64>(), any::<u32>());
    let limits = (cookie(), any::<u64>(), any::<u32>());
    let flags = prop::sample::select(vec![
        Flags::SYN,
        Flags::SYN | Flags::ACK,
        Flags::ACK,
        Flags::FIN | Flags::ACK,
        Flags::RST,
        Flags::RST | Flags::ACK,
    ]);
    let segment = (cookie(), 0_u8..=1, flags, 0_u32..120, 0_u32..120, payload);
    prop_oneof![
        change.prop_map(|(cookie, old, new, error, closing)| Record::Change {
            cookie,
            old,
            new,
            error,
            closing,
            counted: [0; 2],
        }),
        event.prop_map(|(cookie, kind, state, error)| Record::Event {
            cookie,
            kind,
            state,
            error,
        }),
        time_out.prop_map(|(cookie, bytes_acked, length)| Record::TimeOut {
            cookie,
            bytes_acked,
            length,
        }),
        limits.prop_map(|(cookie, counters, gauges)| Record::Limits {
            cookie,
            counters: counters >> 20,
            gauges,
        }),
        segment.prop_map(
            |(cookie, direction, flags, seq, ack, payload)| Record::Segment {
                cookie,
                direction,
                flags,
                seq,
                ack,
                payload,
                turned_ns: 0,
            }
        ),
    ]
}

proptest! {
    #[test]
    fn phases_of_any_records(
        records in prop::collection::vec((0_u64..2_000_000_000, any_record()), 1..40),
    ) {
        for timeline in timelines(&records) {
            prop_assert_eq!(of_phases(&timeline), Vec::<String>::new(), "{:#?}", timeline);
        }
    }

    #[test]
    fn conversations(talk in any_talk()) {
        let timelines = timelines(&talk.records());
        prop_assert_eq!(timelines.len(), 1);
        for timeline in timelines {
            prop_assert_eq!(contradictions(&timeline), Vec::<String>::new(), "{:#?}", timeline);
        }
    }
}

/// The third ACK is lost, and the FIN does its work: the client's handshake was over before.
#[test]
fn a_client_that_closes_before_the_server_is_established() {
    use state::{CLOSE, CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, SYN_RECV, SYN_SENT};
    let change = |cookie, old, new| Record::Change {
        cookie,
        old,
        new,
        error: 0,
        closing: 0,
        counted: [0; 2],
    };
    let found = timelines(&[
        (0, change(CLIENT, CLOSE, SYN_SENT)),
        (10, change(CLIENT, SYN_SENT, ESTABLISHED)),
        (10, change(CLIENT, ESTABLISHED, FIN_WAIT1)),
        (10, change(SERVER, SYN_RECV, ESTABLISHED)),
        (1, change(SERVER, ESTABLISHED, CLOSE_WAIT)),
    ]);
    let maintenance = found[0].maintenance().unwrap();
    assert_eq!(maintenance.start_ns, Some(10));
    assert_eq!(maintenance.end_ns, Some(20));
}
