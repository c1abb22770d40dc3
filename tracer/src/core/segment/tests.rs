//! Packets built by hand, cut off, and made of anything.

use std::net::SocketAddr;

use proptest::prelude::{any, prop, prop_assert, proptest};
use upload_protocol::{Flags, SegmentOptions};

use super::{NoSegment, Segment, parse_options};

/// An IPv4 packet with these TCP options and this payload.
fn packet(options: &[u8], payload: &[u8]) -> Vec<u8> {
    assert_eq!(options.len() % 4, 0);
    let mut packet = vec![
        0x45, 0x03, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    packet.extend([0x80, 0, 0x13, 0x88, 0, 0, 0, 7, 0, 0, 0, 9]);
    let words = u8::try_from(5 + options.len() / 4).unwrap();
    packet.extend([words << 4, 0x18, 0x02, 0x00, 0, 0, 0, 0]);
    packet.extend(options);
    packet.extend(payload);
    packet
}

fn parse(packet: &[u8]) -> Result<Segment<&[u8]>, NoSegment> {
    Segment::parse(packet, u32::try_from(packet.len()).unwrap(), true, false)
}

#[test]
fn a_segment_field_by_field() {
    let packet = packet(&[2, 4, 0x05, 0xb4], b"hello");
    let segment = parse(&packet).unwrap();
    let ends = [segment.source, segment.destination].map(SocketAddr::from);
    assert_eq!(
        ends,
        ["10.0.0.1:32768", "10.0.0.2:5000"].map(|end| end.parse().unwrap())
    );
    assert_eq!((segment.seq, segment.ack, segment.window), (7, 9, 512));
    assert!(segment.flags.has(Flags::PSH | Flags::ACK));
    assert_eq!(segment.ecn, 3);
    assert_eq!(segment.len, 5);
    assert_eq!(segment.payload(), b"hello");
    assert_eq!(segment.options.mss, Some(1460));
}

#[test]
fn a_capture_may_end_in_the_payload_and_nowhere_else() {
    let whole = packet(&[1, 1, 1, 0], b"hello");
    for end in 0..whole.len() {
        let length = u32::try_from(whole.len()).unwrap();
        let parsed = Segment::parse(&whole[..end], length, true, false);
        assert_eq!(parsed.is_ok(), end >= 44, "cut at {end}: {parsed:?}");
        if let Ok(segment) = parsed {
            assert_eq!(segment.len, 5, "the length is the packet's");
            assert_eq!(segment.payload().len(), end - 44);
        }
    }
}

#[test]
fn headers_that_lie() {
    let check = |at: usize, byte: u8, expected: NoSegment| {
        let mut packet = packet(&[], b"");
        packet[at] = byte;
        assert_eq!(parse(&packet), Err(expected));
    };
    check(0, 0x55, NoSegment::Version(5));
    check(0, 0x44, NoSegment::TooShort("the IP header"));
    check(0, 0x4f, NoSegment::Truncated("the IP header"));
    check(9, 17, NoSegment::Protocol(17));
    check(32, 0x40, NoSegment::TooShort("the TCP header"));
    check(32, 0xf0, NoSegment::TooShort("the TCP header"));

    let mut longer = packet(&[], b"");
    longer[32] = 0xf0;
    let cut = Segment::parse(&longer, 100, false, false);
    assert_eq!(cut, Err(NoSegment::Truncated("the TCP header")));
}

#[test]
fn options_by_name() {
    let check = |bytes: &[u8], expected: SegmentOptions| assert_eq!(parse_options(bytes), expected);
    let none = SegmentOptions::default;
    check(&[], none());
    check(&[0, 2, 4, 5, 6], none());
    check(
        &[1, 1, 3, 3, 7],
        SegmentOptions {
            window_scale: Some(7),
            ..none()
        },
    );
    check(
        &[4, 2],
        SegmentOptions {
            sack_permitted: true,
            ..none()
        },
    );
    check(
        &[8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
        SegmentOptions {
            tsval: Some(1),
            tsecr: Some(2),
            ..none()
        },
    );
    check(
        &[5, 10, 0, 0, 0, 1, 0, 0, 0, 2],
        SegmentOptions {
            sack: vec![(1, 2)],
            ..none()
        },
    );
    check(
        &[34, 2],
        SegmentOptions {
            fast_open: Some(String::new()),
            ..none()
        },
    );
    check(
        &[34, 4, 0xab, 1],
        SegmentOptions {
            fast_open: Some("ab01".to_owned()),
            ..none()
        },
    );
    check(
        &[253, 2],
        SegmentOptions {
            other: vec![253],
            ..none()
        },
    );
}

#[test]
fn options_that_lie() {
    let cases: [&[u8]; 6] = [
        &[2],
        &[2, 0],
        &[2, 1, 5],
        &[2, 4, 5],
        &[2, 3, 5],
        &[5, 9, 0, 0, 0, 1, 0, 0, 0],
    ];
    for bytes in cases {
        assert!(parse_options(bytes).malformed, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_segment_or_none(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        length in any::<u32>(),
    ) {
        if let Ok(segment) = Segment::parse(&bytes, length, true, false) {
            prop_assert!(segment.payload().len() <= bytes.len());
        }
    }

    #[test]
    fn any_bytes_are_options(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let options = parse_options(&bytes);
        prop_assert!(options.sack.len() * 8 <= bytes.len());
    }
}
