//! The numbers of conversations.

use std::net::Ipv6Addr;

use upload_protocol::Flags;

use super::{Header, MAX_GENERATION, Numbered, Streams};

fn number(streams: &mut Streams, ports: (u16, u16), flags: u16, seq: u32, ack: u32) -> Numbered {
    let mut packet = Vec::new();
    packet.extend(ports.0.to_be_bytes());
    packet.extend(ports.1.to_be_bytes());
    packet.extend(seq.to_be_bytes());
    packet.extend(ack.to_be_bytes());
    packet.extend([0x50, u8::try_from(flags).unwrap(), 0, 0, 0, 0, 0, 0]);
    let addresses = (Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
    streams.number(&Header::parse(&packet, addresses).unwrap())
}

#[test]
fn ports_used_again() {
    const ANSWERED: u16 = Flags::SYN | Flags::ACK;
    let mut streams = Streams::default();
    let mut check = |ports, flags, seq, ack, expected: (u64, bool, Option<u64>)| {
        let found = number(&mut streams, ports, flags, seq, ack);
        assert_eq!((found.number, found.is_new, found.replaces), expected);
    };
    check((1, 2), Flags::SYN, 7, 0, (0, true, None));
    check((2, 1), ANSWERED, 90, 8, (0, false, None));
    check((1, 2), Flags::SYN, 7, 0, (0, false, None));
    check((1, 3), Flags::SYN, 7, 0, (1, true, None));
    check((1, 2), Flags::SYN, 8, 0, (2, true, Some(0)));
    check((1, 2), Flags::ACK, 9, 91, (2, false, None));
    // In the middle, and then a SYN of the one end, and of the other.
    check((5, 6), Flags::ACK, 50, 60, (3, true, None));
    check((6, 5), Flags::SYN, 70, 0, (4, true, Some(3)));
    check((5, 6), Flags::SYN, 10, 0, (4, false, None));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut streams = Streams::default();
    let conversations = u32::try_from(3 * MAX_GENERATION).unwrap();
    for conversation in 0..conversations {
        let [high, low] = [conversation >> 16, conversation & 0xffff];
        let ports = (u16::try_from(high).unwrap(), u16::try_from(low).unwrap());
        number(&mut streams, ports, Flags::SYN, 1, 0);
    }
    assert!(streams.known.len() + streams.older.len() <= 2 * MAX_GENERATION);
}
