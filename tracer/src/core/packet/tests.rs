//! One segment behind each link type, tag and tunnel; frames that are cut or lie.

use std::borrow::Cow;

use proptest::prelude::{any, prop, proptest};

use super::{Fragments, Packet, Unread};

mod links;
mod tunnels;

const ETHERNET: u16 = 1;
const RAW: u16 = 101;

/// A SYN from 10.0.0.1:32768 to 10.0.0.2:5000.
fn ipv4() -> Vec<u8> {
    let mut packet = vec![
        0x45, 0, 0, 40, 0, 7, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    packet.extend(tcp());
    packet
}

fn tcp() -> Vec<u8> {
    let mut segment = vec![0x80, 0, 0x13, 0x88, 0, 0, 0, 7, 0, 0, 0, 0];
    segment.extend([0x50, 0x02, 0x02, 0x00, 0, 0, 0, 0]);
    segment
}

/// The same between ::1 and ::2, behind extension headers.
fn ipv6(first: u8, extensions: &[u8]) -> Vec<u8> {
    let length = u8::try_from(20 + extensions.len()).unwrap();
    let mut packet = vec![0x60, 0, 0, 0, 0, length, first, 64];
    for last in [1, 2] {
        packet.extend([0; 15]);
        packet.push(last);
    }
    packet.extend(extensions);
    packet.extend(tcp());
    packet
}

fn packet(link_type: u16, bytes: &[u8]) -> Packet<'_> {
    Packet {
        mono_ns: 3,
        link_type,
        length: u32::try_from(bytes.len()).unwrap(),
        capture: 0,
        bytes: Cow::Borrowed(bytes),
    }
}

/// The segment behind `before` is read.
fn check(link_type: u16, before: &[u8], ip: &[u8]) {
    let frame = [before, ip].concat();
    let packet = packet(link_type, &frame);
    let segment = packet
        .segment()
        .unwrap_or_else(|why| panic!("{before:?}: {why:?}"));
    assert_eq!(
        (segment.source.port(), segment.destination.port()),
        (32768, 5000)
    );
    assert_eq!((segment.seq, segment.len, segment.mono_ns), (7, 0, 3));
    assert_eq!(
        segment.packet, ip,
        "the packet begins with the innermost IP header"
    );
}

fn ethernet(kind: u16) -> Vec<u8> {
    [&[2; 12][..], &kind.to_be_bytes()].concat()
}

/// Frames without a segment, whose conversation has a number nevertheless.
#[test]
fn conversations_without_a_segment() {
    let ports = |bytes: &[u8]| {
        let found = packet(RAW, bytes).conversation();
        found.map(|header| (header.source.port(), header.destination.port(), header.seq))
    };
    // An ICMP error, with this much behind the quoted IP header.
    let error = |kind: u8, quoted: usize| {
        let length = u8::try_from(20 + 8 + 20 + quoted).unwrap();
        let mut packet = vec![
            0x45, 0, 0, length, 0, 7, 0, 0, 64, 1, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1,
        ];
        packet.extend([kind, 3, 0, 0, 0, 0, 0, 0]);
        packet.extend(&ipv4()[..20 + quoted]);
        packet
    };
    assert_eq!(ports(&error(3, 20)), Some((32768, 5000, 7)));
    assert_eq!(ports(&error(11, 16)), Some((32768, 5000, 7)));
    // What routers quote at least: tshark does not get to the conversation either.
    assert_eq!(ports(&error(3, 8)), None);
    // An echo.
    assert_eq!(ports(&error(8, 20)), None);
    assert_eq!(packet(RAW, &error(3, 20)).segment(), Err(Unread::NotTcp));
    let mut without_length = ipv4();
    without_length[32] = 0;
    assert_eq!(ports(&without_length), Some((32768, 5000, 7)));
}

#[test]
fn extension_headers() {
    check(RAW, &[], &ipv6(0, &[6, 0, 1, 4, 0, 0, 0, 0]));
    let both = [43, 0, 1, 4, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0];
    check(RAW, &[], &ipv6(0, &both));
    // An atomic fragment is whole (RFC 6946).
    check(RAW, &[], &ipv6(44, &[6, 0, 0, 0, 0, 0, 0, 1]));
}

#[test]
fn frames_without_a_segment() {
    let check = |link_type: u16, bytes: &[u8], expected: Unread| {
        assert_eq!(
            packet(link_type, bytes).segment(),
            Err(expected),
            "{bytes:?}"
        );
    };
    let changed = |at: usize, byte: u8| {
        let mut packet = ipv4();
        packet[at] = byte;
        packet
    };
    check(147, &ipv4(), Unread::UnknownLink);
    check(ETHERNET, &ethernet(0x0806), Unread::NotTcp);
    check(RAW, &changed(9, 1), Unread::NotTcp);
    check(RAW, &changed(6, 0x20), Unread::Fragment);
    check(RAW, &changed(7, 1), Unread::Fragment);
    check(RAW, &changed(0, 0x55), Unread::Malformed);
    check(RAW, &changed(0, 0x44), Unread::Malformed);
    check(RAW, &changed(3, 19), Unread::Malformed);
    check(RAW, &changed(32, 0x40), Unread::Malformed);
    // A TCP header that is longer than the packet.
    check(RAW, &changed(32, 0x60), Unread::Malformed);
    check(RAW, &ipv6(44, &[6, 0, 0, 9, 0, 0, 0, 1]), Unread::Fragment);
    for end in 0..40 {
        check(RAW, &ipv4()[..end], Unread::CutHeader);
    }
}

/// A packet ends where its header says, a frame where it ends, and a card that cuts frames up is given
/// packets of length 0.
#[test]
fn lengths() {
    let check = |ip_length: u8, frame_length: u32, expected: u32| {
        let mut bytes = ipv4();
        bytes[3] = ip_length;
        bytes.extend(*b"payload");
        let packet = Packet {
            length: frame_length,
            ..packet(RAW, &bytes)
        };
        let segment = packet.segment().unwrap();
        assert_eq!(segment.len, expected, "{ip_length} {frame_length}");
        let captured = usize::try_from(expected).unwrap().min(7);
        assert_eq!(segment.payload(), &b"payload"[..captured]);
    };
    check(40, 47, 0);
    check(43, 47, 3);
    check(0, 47, 7);
    check(200, 47, 7);
    check(200, 1000, 160);
    check(0, 1000, 960);
}

#[test]
fn options_that_the_snap_length_cuts() {
    let mut bytes = ipv4();
    bytes[3] = 48;
    bytes[32] = 0x70;
    bytes.extend([2, 4, 5, 0xb4, 1, 3]);
    let packet = Packet {
        length: 48,
        ..packet(RAW, &bytes)
    };
    let segment = packet.segment().unwrap();
    assert_eq!(
        (segment.options.mss, segment.options.malformed),
        (Some(1460), true)
    );
    assert_eq!(segment.len, 0);
}

/// Fragments in any order, one of them twice, and with another packet between them.
#[test]
fn fragments_put_together() {
    let mut segment = tcp();
    segment.extend([7; 30]);
    let part = |from: usize, to: usize, identification: u8| {
        let more = if to < segment.len() { 0x20 } else { 0 };
        let length = u8::try_from(20 + to - from).unwrap();
        let offset = u8::try_from(from / 8).unwrap();
        let mut ip = vec![
            0x45,
            0,
            0,
            length,
            0,
            identification,
            more,
            offset,
            64,
            6,
            0,
            0,
        ];
        ip.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        ip.extend(&segment[from..to]);
        ip
    };
    let parts = [part(0, 16, 1), part(16, 40, 1), part(40, 50, 1)];
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let mut fragments = Fragments::default();
        let [first, second, last] = order.map(|at| &parts[at]);
        for early in [first, &part(0, 16, 2), second, second] {
            let early = packet(RAW, early);
            assert_eq!(early.segment(), Err(Unread::Fragment));
            assert_eq!(early.put_together(&mut fragments), None);
        }
        let whole = packet(RAW, last).put_together(&mut fragments).unwrap();
        let found = whole.segment().unwrap();
        assert_eq!(
            (found.seq, found.len, found.payload()),
            (7, 30, &[7; 30][..])
        );
    }
}

#[test]
fn packets_that_wait_for_fragments_are_bounded() {
    let mut fragments = Fragments::default();
    for identification in 0..1000_u16 {
        let mut ip = ipv4();
        ip[4..6].copy_from_slice(&identification.to_be_bytes());
        ip[6] = 0x20;
        ip[3] = 36;
        assert_eq!(packet(RAW, &ip).put_together(&mut fragments), None);
        assert!(fragments.len() <= 256);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(
        link_type in prop::sample::select(vec![0, 1, 6, 9, 51, 101, 105, 107, 113, 117, 119, 127, 192, 239, 258, 276]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        length in any::<u32>(),
    ) {
        let packet = Packet { mono_ns: 0, link_type, length, capture: 0, bytes: bytes.into() };
        let _ = packet.segment();
        let owned = Packet::from_bytes(&packet.to_bytes()).map(Packet::into_owned);
        assert_eq!(owned, Some(packet));
    }
}
