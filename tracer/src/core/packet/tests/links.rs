//! A segment behind each link type.

use super::{ETHERNET, RAW, Unread, check, ethernet, ipv4, ipv6, packet};

/// LLC and SNAP before an IPv4 packet.
const SNAP: [u8; 8] = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];

#[test]
fn link_types() {
    check(ETHERNET, &ethernet(0x0800), &ipv4());
    check(ETHERNET, &ethernet(0x86dd), &ipv6(6, &[]));
    for link_type in [RAW, 12, 14] {
        check(link_type, &[], &ipv4());
        check(link_type, &[], &ipv6(6, &[]));
    }
    check(228, &[], &ipv4());
    check(229, &[], &ipv6(6, &[]));
    // BSD loopback, in either byte order.
    check(0, &[2, 0, 0, 0], &ipv4());
    check(0, &[0, 0, 0, 2], &ipv4());
    check(108, &[0, 0, 0, 30], &ipv6(6, &[]));
    // Linux cooked capture, versions 1 and 2.
    check(113, &[&[0; 14][..], &[8, 0]].concat(), &ipv4());
    check(276, &[&[0x86, 0xdd][..], &[0; 18]].concat(), &ipv6(6, &[]));
    // PPP, in HDLC framing or not, with its protocol in one byte or two.
    check(9, &[0, 0x21], &ipv4());
    check(9, &[0xff, 3, 0, 0x57], &ipv6(6, &[]));
    check(50, &[0xff, 3, 0x21], &ipv4());
    check(51, &[0x11, 0, 0, 1, 0, 42, 0, 0x21], &ipv4());
    // netfilter's log: a prefix, and the packet.
    let log = [2, 0, 0, 5, 6, 0, 10, 0, b'x', 0, 0, 0, 44, 0, 9, 0];
    check(239, &log, &ipv4());
    // The same with a byte for the direction; Cisco's HDLC; Frame Relay, with a pad, and Cisco's.
    check(204, &[1, 0, 0x21], &ipv4());
    check(104, &[0x0f, 0, 8, 0], &ipv4());
    check(9, &[0x0f, 0, 8, 0], &ipv4());
    check(9, &[0x8f, 0, 0x86, 0xdd], &ipv6(6, &[]));
    check(107, &[0x04, 0xf1, 3, 0xcc], &ipv4());
    check(
        107,
        &[0x04, 0xf1, 3, 0, 0x80, 0, 0, 0, 0x86, 0xdd],
        &ipv6(6, &[]),
    );
    check(107, &[0x04, 0xf1, 8, 0], &ipv4());
    // FDDI, Token Ring without a route and with one, ATM: LLC and SNAP.
    check(10, &[&[0; 13][..], &SNAP].concat(), &ipv4());
    check(6, &[&[0; 14][..], &SNAP].concat(), &ipv4());
    let mut routed = [0; 20];
    (routed[8], routed[14]) = (0x80, 6);
    check(6, &[&routed[..], &SNAP].concat(), &ipv4());
    check(100, &SNAP, &ipv4());
    check(138, &[&[0; 16][..], &[8, 0]].concat(), &ipv4());
    // ARCnet, old and new; InfiniBand; Juniper, with extensions and without.
    check(129, &[1, 2, 0xc3, 0, 240], &ipv4());
    check(129, &[1, 2, 0xc0, 0, 212, 0, 0, 9], &ipv4());
    check(242, &[&[0; 40][..], &[8, 0, 0, 0]].concat(), &ipv4());
    let juniper = [b"MGC\x80\0\x04\x03\x01\x01\x06", &ethernet(0x0800)[..]].concat();
    check(178, &juniper, &ipv4());
    check(
        178,
        &[b"MGC\x01", &ethernet(0x86dd)[..]].concat(),
        &ipv6(6, &[]),
    );
    // OpenBSD: a packet filter's log, and a tunnel of IPsec.
    check(117, &[&[61, 2][..], &[0; 62]].concat(), &ipv4());
    check(109, &[&[0, 0, 0, 24][..], &[0; 8]].concat(), &ipv6(6, &[]));
}

#[test]
fn described_link_types() {
    // macOS: 12 bytes, and what it wants beyond; then the frame of the interface.
    let mut described = [0; 108];
    (described[0], described[4], described[8]) = (108, 1, 1);
    let frame = [&described[..], &ethernet(0x0800)].concat();
    check(258, &frame, &ipv4());
    check(149, &frame, &ipv4());
    // Per-packet information, of Ethernet.
    let frame = [&[0, 0, 8, 0, 1, 0, 0, 0][..], &ethernet(0x86dd)].concat();
    check(192, &frame, &ipv6(6, &[]));
    // One in another.
    let twice = [[0, 0, 8, 0, 192, 0, 0, 0], [0, 0, 8, 0, 1, 0, 0, 0]].concat();
    let read = packet(192, &twice).segment().map(|_| ());
    assert_eq!(read, Err(Unread::Malformed));
}

/// A frame of a wireless network: Frame Control, and what follows the addresses and the sequence.
fn wifi(control: [u8; 2], rest: &[u8]) -> Vec<u8> {
    [&control[..], &[0; 22], rest].concat()
}

#[test]
fn wireless_networks() {
    let plain = wifi([0x08, 0x01], &SNAP);
    check(105, &plain, &ipv4());
    // With QoS; between two access points; with HT Control.
    let behind = |length: usize| [vec![0; length], SNAP.to_vec()].concat();
    check(105, &wifi([0x88, 0x02], &behind(2)), &ipv4());
    check(105, &wifi([0x08, 0x03], &behind(6)), &ipv4());
    check(105, &wifi([0x88, 0x82], &behind(6)), &ipv4());
    // Radiotap; Prism, in either byte order; AVS; per-packet information.
    let avs = [0x80, 0x21, 0x10, 1, 0, 0, 0, 12, 0, 0, 0, 0];
    let headers: [(u16, &[u8]); 6] = [
        (127, &[0, 0, 9, 0, 0, 0, 0, 0, 0]),
        (119, &[0x44, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0]),
        (119, &[0, 0, 0, 0x44, 0, 0, 0, 12, 0, 0, 0, 0]),
        (119, &avs),
        (163, &avs),
        (192, &[0, 0, 8, 0, 105, 0, 0, 0]),
    ];
    for (link_type, header) in headers {
        check(link_type, &[header, &plain].concat(), &ipv4());
    }

    let read = |control, rest: &[u8]| {
        let frame = [wifi(control, rest), ipv4()].concat();
        packet(105, &frame).segment().map(|_| ())
    };
    assert_eq!(read([0x08, 0x41], &SNAP), Err(Unread::Encrypted));
    assert_eq!(read([0x88, 0x01], &[0x80, 0]), Err(Unread::Aggregated));
    assert_eq!(read([0x08, 0x04], &SNAP), Err(Unread::Fragment));
    // A beacon, and a frame without a body.
    for kind in [0x80, 0x48] {
        assert_eq!(read([kind, 0], &SNAP), Err(Unread::NotTcp));
    }
}
