//! Kernel records of layout version 2, converted to version 3.
//!
//! Version 3 left out what nobody read, and kept the order of the rest: a version 3 record is a
//! version 2 record with holes. The number of a record layout is [`record::VERSION`]. Versions 4
//! to 6 only added a kind each. The next one that changes a layout gets a module like this, and version 2 goes through both.

use std::ops::Range;

use tracer_ebpf::record::{self, Flow, Header, SocketEvent, StateChange};

/// The kind, which remains, and what followed it: the record's size and the CPU.
const KIND: Range<usize> = 0..2;
/// The time and the cookie.
const REST_OF_HEADER: Range<usize> = 8..24;

/// The bytes that version 3 keeps after the header, and the record's size in version 2.
struct Layout {
    size: usize,
    kept: &'static [Range<usize>],
}

const STATE_CHANGE: Layout = Layout {
    size: 192,
    kept: &[
        // The addresses, and of the task all but the thread's id and the padding.
        24..68,
        72..76,
        80..104,
        // Of the counters `bytes_retrans`, `bytes_acked`, `bytes_received`, …
        112..136,
        // … `total_retrans`, `srtt_us_8`, `min_rtt_us`, `snd_cwnd`, …
        152..168,
        // … and what the handshake negotiated.
        172..180,
        // The states and the error.
        184..192,
    ],
};

const FLOW: Layout = Layout {
    size: 104,
    // `bytes` and `last_ns` of each direction.
    kept: &[32..48, 72..88],
};

const SOCKET_EVENT: Layout = Layout {
    size: 128,
    // The addresses, the task as above, the state and the error.
    kept: &[24..68, 72..76, 80..104, 116..124],
};

/// The record in the layout of version 3. `None` where it is none of version 2; a segment's packet
/// follows its record.
pub(super) fn convert(bytes: &[u8]) -> Option<Vec<u8>> {
    let kind = u16::from_ne_bytes(*bytes.first_chunk()?);
    let mut converted = Vec::with_capacity(bytes.len());
    converted.extend(bytes.get(KIND)?);
    converted.resize(REST_OF_HEADER.start, 0);
    converted.extend(bytes.get(REST_OF_HEADER)?);
    let layout = match kind {
        record::SEGMENT => {
            converted.extend(&bytes[REST_OF_HEADER.end..]);
            return Some(converted);
        }
        record::STATE_CHANGE => STATE_CHANGE,
        record::FLOW => FLOW,
        record::RETRANSMIT..=record::ERROR => SOCKET_EVENT,
        _ => return None,
    };
    if bytes.len() != layout.size {
        return None;
    }
    for range in layout.kept {
        converted.extend(bytes.get(range.clone())?);
    }
    Some(converted)
}

const _: () = {
    assert!(size_of::<Header>() == REST_OF_HEADER.end);
    assert!(size_of::<StateChange>() == 152);
    assert!(size_of::<Flow>() == 56);
    assert!(size_of::<SocketEvent>() == 104);
};

#[cfg(test)]
mod tests {
    use tracer_ebpf::record;
    use zerocopy::FromBytes as _;

    use super::convert;
    use crate::{
        core::{
            event::{Event, EventKind},
            input::Input,
        },
        source::recording::Recording,
    };

    /// A record of version 2 in which each byte after the header is its own offset.
    fn numbered(kind: u16, size: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..size).map(|at| u8::try_from(at).unwrap()).collect();
        bytes[..2].copy_from_slice(&kind.to_ne_bytes());
        bytes
    }

    /// Of a field that began at this offset.
    fn field<const N: usize>(from: u8) -> [u8; N] {
        std::array::from_fn(|at| from + u8::try_from(at).unwrap())
    }

    #[test]
    fn fields_of_a_state_change() {
        let bytes = convert(&numbered(record::STATE_CHANGE, 192)).unwrap();
        let change = record::StateChange::read_from_bytes(&bytes).unwrap();
        assert_eq!(change.header.kind, record::STATE_CHANGE);
        assert_eq!(change.header.padding, [0; 6]);
        assert_eq!(change.header.mono_ns, u64::from_ne_bytes(field(8)));
        assert_eq!(change.header.cookie, u64::from_ne_bytes(field(16)));
        assert_eq!(change.addresses.local, field(24));
        assert_eq!(change.addresses.netns, u32::from_ne_bytes(field(60)));
        assert_eq!(change.task.pid, u32::from_ne_bytes(field(64)));
        assert_eq!(change.task.uid, u32::from_ne_bytes(field(72)));
        assert_eq!(change.task.comm, field(80));
        assert_eq!(change.task.cgroup, u64::from_ne_bytes(field(96)));
        let counters = change.counters;
        assert_eq!(counters.bytes_retrans, u64::from_ne_bytes(field(112)));
        assert_eq!(counters.bytes_acked, u64::from_ne_bytes(field(120)));
        assert_eq!(counters.bytes_received, u64::from_ne_bytes(field(128)));
        assert_eq!(counters.total_retrans, u32::from_ne_bytes(field(152)));
        assert_eq!(counters.srtt_us_8, u32::from_ne_bytes(field(156)));
        assert_eq!(counters.min_rtt_us, u32::from_ne_bytes(field(160)));
        assert_eq!(counters.snd_cwnd, u32::from_ne_bytes(field(164)));
        assert_eq!(counters.mss_clamp, u16::from_ne_bytes(field(172)));
        assert_eq!((counters.timestamps, counters.sack), (174, 175));
        assert_eq!(counters.window_scaling, 176);
        assert_eq!((counters.snd_wscale, counters.rcv_wscale), (177, 178));
        assert_eq!((change.old, change.new), (184, 185));
        assert_eq!(change.error, u32::from_ne_bytes(field(188)));
    }

    #[test]
    fn fields_of_a_socket_event_and_of_a_flow() {
        let bytes = convert(&numbered(record::SEND, 128)).unwrap();
        let event = record::SocketEvent::read_from_bytes(&bytes).unwrap();
        assert_eq!(event.addresses.remote, field(40));
        assert_eq!(event.task.uid, u32::from_ne_bytes(field(72)));
        assert_eq!(event.state, 116);
        assert_eq!(event.error, u32::from_ne_bytes(field(120)));

        let bytes = convert(&numbered(record::FLOW, 104)).unwrap();
        let flow = record::Flow::read_from_bytes(&bytes).unwrap();
        assert_eq!(flow.passed[0].bytes, u64::from_ne_bytes(field(32)));
        assert_eq!(flow.passed[0].last_ns, u64::from_ne_bytes(field(40)));
        assert_eq!(flow.passed[1].bytes, u64::from_ne_bytes(field(72)));
        assert_eq!(flow.passed[1].last_ns, u64::from_ne_bytes(field(80)));
    }

    #[test]
    fn a_segment_keeps_all_but_the_cpu() {
        let record = numbered(record::SEGMENT, 104);
        let bytes = convert(&record).unwrap();
        assert_eq!(bytes[2..8], [0; 6]);
        assert_eq!(bytes[8..], record[8..]);
    }

    #[test]
    fn other_bytes_are_no_records() {
        assert_eq!(convert(&[]), None);
        assert_eq!(convert(&numbered(record::SEGMENT, 23)), None);
        assert_eq!(convert(&numbered(record::STATE_CHANGE, 152)), None);
        assert_eq!(convert(&numbered(record::SEND, 104)), None);
        assert_eq!(convert(&numbered(99, 128)), None);
    }

    /// This recording was made with version 2.
    #[test]
    fn a_whole_recording() {
        let file = include_bytes!("../../../tests/recordings/uploads.trace");
        assert_eq!(file[10..12], 2_u16.to_le_bytes());
        let mut recording = Recording::open(&file[..]).unwrap();
        let mut kinds = [0; 4];
        while let Some(input) = recording.read().unwrap() {
            if let Input::Kernel(bytes) = input {
                let kind = match Event::decode(&bytes).unwrap().what {
                    EventKind::State { .. } => 0,
                    EventKind::Segment(..) => 1,
                    EventKind::Flow(_) => 2,
                    _ => 3,
                };
                kinds[kind] += 1;
            }
        }
        assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
    }
}
