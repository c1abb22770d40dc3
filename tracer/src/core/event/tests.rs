//! Records that the programs never send.

use std::net::SocketAddr;

use proptest::prelude::{
    Strategy as _, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use tracer_ebpf::record::{self, Header, SocketEvent, StateChange};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{Event, EventKind, Malformed, Relay, State};

fn header(kind: u16) -> Header {
    let mut header = Header::new_zeroed();
    header.kind = kind;
    header.cookie = 42;
    header
}

#[test]
fn a_change_of_state() {
    let mut change = StateChange::new_zeroed();
    change.header = header(record::STATE_CHANGE);
    (change.old, change.new) = (record::state::CLOSE, record::state::SYN_SENT);
    change.addresses.remote[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 2]);
    change.addresses.remote_port = 443;
    change.task.pid = 7;
    change.task.comm[..4].copy_from_slice(b"curl");
    let event = Event::decode(change.as_bytes()).unwrap();
    assert_eq!(event.cookie, 42);
    let addresses = event.addresses.unwrap();
    let remote: SocketAddr = "10.0.0.2:443".parse().unwrap();
    assert_eq!(SocketAddr::from(addresses.remote), remote);
    let EventKind::State { old, new, task, .. } = event.what else {
        panic!("{event:?}");
    };
    assert_eq!((old, new), (State::Close, State::SynSent));
    assert_eq!(task.unwrap().comm, change.task.comm);
}

#[test]
fn a_change_to_close_with_its_totals() {
    let mut closed = record::Closed::new_zeroed();
    closed.change.header = header(record::CLOSED);
    (closed.change.old, closed.change.new) = (record::state::LAST_ACK, record::state::CLOSE);
    closed.passed[0].bytes = 108;
    closed.passed[1].last_ns = 7;
    let event = Event::decode(closed.as_bytes()).unwrap();
    let EventKind::State {
        old, new, passed, ..
    } = event.what
    else {
        panic!("{event:?}");
    };
    assert_eq!((event.cookie, old, new), (42, State::LastAck, State::Close));
    assert_eq!(passed, Some(closed.passed));
}

#[test]
fn a_time_out() {
    let mut time_out = record::TimeOut::new_zeroed();
    time_out.header = header(record::TIME_OUT);
    (time_out.bytes_acked, time_out.length) = (108, 1448);
    let event = Event::decode(time_out.as_bytes()).unwrap();
    let expected = EventKind::TimeOut {
        bytes_acked: 108,
        length: 1448,
    };
    assert_eq!((event.cookie, event.what), (42, expected));
}

#[test]
fn a_sample() {
    let mut sample = record::Sample::new_zeroed();
    sample.header = header(record::SAMPLE);
    (sample.bytes_acked, sample.in_flight) = (65_537, 1448);
    let event = Event::decode(sample.as_bytes()).unwrap();
    let expected = EventKind::Sample(Box::new(sample));
    assert_eq!((event.cookie, event.what), (42, expected));
}

#[test]
fn a_relay() {
    let mut relay = record::Relay::new_zeroed();
    relay.header = header(record::RELAY);
    (relay.read, relay.connects) = (41, 1);
    let event = Event::decode(relay.as_bytes()).unwrap();
    let expected = EventKind::Relay(Relay {
        read: 41,
        connects: true,
    });
    assert_eq!((event.cookie, event.what), (42, expected));
}

#[test]
fn what_is_passed_on_to_a_unix_socket() {
    let mut relay = record::UnixRelay::new_zeroed();
    relay.header = header(record::UNIX_RELAY);
    (relay.socket, relay.bytes, relay.pid, relay.uid) = (41, 300, 900, 33);
    relay.comm[..8].copy_from_slice(b"gunicorn");
    relay.name[..9].copy_from_slice(b"/run/sock");
    relay.name_length = 10;
    let event = Event::decode(relay.as_bytes()).unwrap();
    let EventKind::UnixRelay(found) = event.what else {
        panic!("{event:?}");
    };
    assert_eq!((event.cookie, found.socket, found.bytes), (42, 41, 300));
    assert_eq!(found.path, "/run/sock");
    let listener = found.listener.unwrap();
    assert_eq!(
        (listener.pid, listener.uid, listener.comm),
        (900, 33, relay.comm)
    );
    let mut more = record::UnixBytes::new_zeroed();
    more.header = header(record::UNIX_BYTES);
    (more.socket, more.bytes) = (41, 700);
    let event = Event::decode(more.as_bytes()).unwrap();
    let expected = EventKind::UnixBytes {
        socket: 41,
        bytes: 700,
    };
    assert_eq!((event.cookie, event.what), (42, expected));
}

#[test]
fn bytes_that_are_no_record() {
    let check = |bytes: &[u8], expected: Malformed| {
        assert_eq!(Event::decode(bytes), Err(expected));
    };
    let length = |kind, found, expected| Malformed::Length {
        kind,
        found,
        expected,
    };
    check(&[], length(0, 0, 24));
    check(&[1; 23], length(0, 23, 24));
    let mut change = StateChange::new_zeroed();
    change.header = header(record::STATE_CHANGE);
    let bytes = change.as_bytes();
    check(
        &bytes[..100],
        length(record::STATE_CHANGE, 100, bytes.len()),
    );
    check(bytes, Malformed::State(0));
    for kind in [0, 99] {
        let mut event = SocketEvent::new_zeroed();
        event.header = header(kind);
        check(event.as_bytes(), Malformed::Kind(kind));
    }
    let mut segment = record::Segment::new_zeroed();
    segment.header = header(record::SEGMENT);
    segment.captured = 100;
    check(segment.as_bytes(), length(record::SEGMENT, 0, 100));
}

proptest! {
    #[test]
    fn any_bytes_decode_or_do_not(
        kind in 0_u16..=record::UNIX_BYTES,
        mut bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        if bytes.len() > 1 {
            bytes[..2].copy_from_slice(&kind.to_ne_bytes());
        }
        let _ = Event::decode(&bytes);
    }

    #[test]
    fn any_packet_in_a_segment_record(
        (length, captured) in prop_oneof![any::<(u32, u32)>(), (0..120_u32).prop_map(|n| (n, n))],
        direction in any::<u8>(),
        version in prop::sample::select(vec![0x45_u8, 0x4f, 0x60, 0x00]),
        mut packet in prop::collection::vec(any::<u8>(), 10..120),
    ) {
        packet[0] = version;
        packet[if version == 0x60 { 6 } else { 9 }] = 6;
        let mut record = record::Segment::new_zeroed();
        record.header = header(record::SEGMENT);
        (record.length, record.captured, record.direction) = (length, captured, direction);
        let bytes = [record.as_bytes(), &packet].concat();
        if let Ok(event) = Event::decode(&bytes) {
            prop_assert_eq!(event.cookie, 42);
            let EventKind::Segment(segment) = event.what else {
                panic!("{event:?}");
            };
            prop_assert_eq!(segment.packet, &packet[..captured as usize]);
            prop_assert!(segment.len <= length);
        }
    }
}
