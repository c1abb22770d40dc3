//! A segment behind each tag and tunnel.

use super::{ETHERNET, RAW, Unread, check, ethernet, ipv4, packet};

#[test]
fn tags_and_tunnels() {
    let tagged = [ethernet(0x88a8), vec![0, 5, 0x81, 0, 0, 6, 8, 0]].concat();
    check(ETHERNET, &tagged, &ipv4());
    let extended = [ethernet(0x893f), vec![0, 1, 0, 2, 0, 0, 8, 0]].concat();
    check(ETHERNET, &extended, &ipv4());
    let interface = [ethernet(0x8926), vec![0, 0, 0, 0x33, 0x81, 0, 0, 250, 8, 0]].concat();
    check(ETHERNET, &interface, &ipv4());
    let backbone = [ethernet(0x88e7), vec![0, 0, 0, 1], ethernet(0x0800)].concat();
    check(ETHERNET, &backbone, &ipv4());
    let group = [ethernet(0x8909), vec![1, 1, 0, 1, 0, 8, 8, 0]].concat();
    check(ETHERNET, &group, &ipv4());
    let snap = [ethernet(48), vec![0xaa, 0xaa, 3, 0, 0, 0, 8, 0]].concat();
    check(ETHERNET, &snap, &ipv4());
    let labels = [ethernet(0x8847), vec![0, 1, 0, 64, 0, 2, 1, 64]].concat();
    check(ETHERNET, &labels, &ipv4());
    let session = [ethernet(0x8864), vec![0x11, 0, 0, 1, 0, 42, 0, 0x21]].concat();
    check(ETHERNET, &session, &ipv4());
    let outer = |protocol: u8, header: &[u8]| {
        let length = u8::try_from(20 + header.len() + 40).unwrap();
        let ip = [
            0x45, 0, 0, length, 0, 0, 0, 0, 64, protocol, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2,
        ];
        [&ip[..], header].concat()
    };
    check(RAW, &outer(4, &[]), &ipv4());
    // GRE with a key and a sequence number.
    check(
        RAW,
        &outer(47, &[0x30, 0, 8, 0, 0, 0, 0, 1, 0, 0, 0, 2]),
        &ipv4(),
    );
    // An access point's frame.
    let wifi = [&[0x88, 1][..], &[0; 24], &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0]].concat();
    check(
        RAW,
        &outer(47, &[&[0, 0, 0x82, 0][..], &wifi].concat()),
        &ipv4(),
    );
    // A web cache's redirection, in both versions.
    check(RAW, &outer(47, &[0, 0, 0x88, 0x3e]), &ipv4());
    check(
        RAW,
        &outer(47, &[0, 0, 0x88, 0x3e, 5, 0x59, 0, 0x48]),
        &ipv4(),
    );
    let udp = |port: u16, rest: &[u8]| {
        let port = port.to_be_bytes();
        [&[0x30, 0x39, port[0], port[1], 0, 0, 0, 0][..], rest].concat()
    };
    let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &ethernet(0x0800)].concat();
    check(RAW, &outer(17, &udp(4789, &vxlan)), &ipv4());
    // Its answer; the extension that names what it carries.
    let mut answer = udp(4789, &vxlan);
    answer[..4].rotate_left(2);
    check(RAW, &outer(17, &answer), &ipv4());
    check(RAW, &outer(17, &udp(4754, &[0, 0, 8, 0])), &ipv4());
    // An identity of sixteen bytes, a signature of twenty.
    let identified = [&[0x44, 0x52, 0x11, 4, 0, 0, 0, 1][..], &[0; 36]].concat();
    check(RAW, &outer(17, &udp(5072, &identified)), &ipv4());
    let named = [&[12, 0, 0, 3, 0, 0, 1, 0][..], &ethernet(0x0800)].concat();
    check(RAW, &outer(17, &udp(4790, &named)), &ipv4());
    check(
        RAW,
        &outer(17, &udp(4790, &[12, 0, 0, 1, 0, 0, 1, 0])),
        &ipv4(),
    );
    check(
        RAW,
        &outer(17, &udp(6081, &[1, 0, 8, 0, 0, 0, 1, 0, 9, 9, 9, 9])),
        &ipv4(),
    );
    check(
        RAW,
        &outer(17, &udp(2152, &[0x30, 255, 0, 40, 0, 0, 0, 1])),
        &ipv4(),
    );
}

/// A message between an access point and its controller, and what follows its header.
#[test]
fn access_points() {
    let message = |header: &[u8], frame: &[u8]| {
        let length = u8::try_from(20 + 8 + header.len() + frame.len() + 40).unwrap();
        let ip = [
            0x45, 0, 0, length, 0, 0, 0, 0, 64, 17, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2,
        ];
        let udp = [0x14, 0x7f, 0x30, 0x39, 0, 0, 0, 0];
        [&ip[..], &udp, header, frame].concat()
    };
    let wifi = |control: [u8; 2], sequence: u8| {
        let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
        [&control[..], &[0; 20], &[sequence, 0], &snap].concat()
    };
    let native = [0, 0x10, 3, 0, 0, 0, 0, 0];
    let words = [0, 0x20, 3, 0x20, 0, 0, 0, 0, 4, 1, 2, 3, 4, 0, 0, 0];
    check(RAW, &message(&native, &wifi([0x08, 0x02], 0)), &ipv4());
    // What the radio received; the two bytes of Frame Control swapped, and a number of a fragment that is none.
    check(RAW, &message(&words, &wifi([0x11, 0x08], 6)), &ipv4());
    let ethernet_frame = ethernet(0x0800);
    check(
        RAW,
        &message(&[0, 0x10, 0, 0, 0, 0, 0, 0], &ethernet_frame),
        &ipv4(),
    );
    for (header, frame, expected) in [
        (
            [1, 0, 0, 0, 0, 0, 0, 0],
            wifi([0x08, 2], 0),
            Unread::Encrypted,
        ),
        (
            [0, 0x10, 3, 0x80, 0, 0, 0, 0],
            wifi([0x08, 2], 0),
            Unread::Fragment,
        ),
        (
            [0, 0x10, 3, 0x08, 0, 0, 0, 0],
            wifi([0x08, 2], 0),
            Unread::NotTcp,
        ),
        (
            [0, 0x10, 5, 0, 0, 0, 0, 0],
            wifi([0x08, 2], 0),
            Unread::NotTcp,
        ),
        (native, wifi([0x08, 0x42], 0), Unread::Encrypted),
        (native, wifi([0x80, 0], 0), Unread::NotTcp),
    ] {
        let frame = [message(&header, &frame), ipv4()].concat();
        assert_eq!(packet(RAW, &frame).segment(), Err(expected), "{header:?}");
    }
}

/// The IP header has the next router's address, and the option the destination's (RFC 791, section 3.1).
#[test]
fn source_routes() {
    let to = |option: [u8; 12]| {
        let mut packet = ipv4();
        packet.splice(20..20, option);
        (packet[0], packet[3]) = (0x48, 52);
        let packet = super::packet(RAW, &packet);
        packet.segment().unwrap().destination.ip().to_string()
    };
    assert_eq!(to([131, 11, 4, 1, 1, 1, 1, 5, 6, 7, 8, 0]), "5.6.7.8");
    assert_eq!(to([1, 137, 11, 8, 1, 1, 1, 1, 5, 6, 7, 8]), "5.6.7.8");
    // The route has been gone to its end; another option; one whose length lies.
    assert_eq!(to([131, 11, 12, 1, 1, 1, 1, 5, 6, 7, 8, 0]), "10.0.0.2");
    assert_eq!(to([7, 11, 4, 1, 1, 1, 1, 5, 6, 7, 8, 0]), "10.0.0.2");
    assert_eq!(to([131, 255, 4, 1, 1, 1, 1, 5, 6, 7, 8, 0]), "10.0.0.2");
}
