//! The states of both ends, segment by segment.

use upload_protocol::{
    End::{self, Client, Server},
    Flags, State,
};

use super::States;
use crate::core::segment::{Carrier, Segment};

const SYN: u16 = Flags::SYN;
const ACK: u16 = Flags::ACK;
const FIN: u16 = Flags::FIN;
const RST: u16 = Flags::RST;

/// From whom, flags, sequence and acknowledgment number, payload; and the states after it, the client's first.
type Row = (End, u16, u32, u32, u32, Option<State>, Option<State>);

fn advance(states: &mut States, from: End, flags: u16, (seq, ack): (u32, u32), len: u32) {
    let mut packet = vec![0, 1, 0, 2];
    packet.extend(seq.to_be_bytes());
    packet.extend(ack.to_be_bytes());
    packet.extend([0x50, u8::try_from(flags).unwrap(), 0, 0, 0, 0, 0, 0]);
    let carrier = Carrier {
        source: std::net::Ipv6Addr::LOCALHOST,
        destination: std::net::Ipv6Addr::LOCALHOST,
        ecn: 0,
        headers: 0,
        length: 20 + len,
    };
    let segment = Segment::behind(&packet, &carrier).unwrap();
    let before = *states;
    let changes = states.advance(from, &segment);
    for change in &changes {
        assert_ne!(change.old, change.new);
    }
    if changes.is_empty() {
        assert!(before.client.state.is_none() || before.client.state == states.client.state);
    }
}

fn check(rows: &[Row]) -> States {
    let mut states = States::default();
    for (at, (from, flags, seq, ack, len, client, server)) in rows.iter().enumerate() {
        advance(&mut states, *from, *flags, (*seq, *ack), *len);
        let found = (states.client.state, states.server.state);
        assert_eq!(found, (*client, *server), "after segment {at}");
    }
    states
}

use State::{
    Close, CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, SynRecv, SynSent,
};

const OPENED: [Row; 3] = [
    (Client, SYN, 0, 0, 0, Some(SynSent), None),
    (Server, SYN | ACK, 100, 1, 0, Some(SynSent), Some(SynRecv)),
    (Client, ACK, 1, 101, 0, Some(Established), Some(Established)),
];

fn opened(rest: &[Row]) -> States {
    check(&[&OPENED, rest].concat())
}

#[test]
fn closed_in_order() {
    let states = opened(&[
        (
            Client,
            FIN | ACK,
            1,
            101,
            0,
            Some(FinWait1),
            Some(Established),
        ),
        (Server, ACK, 101, 2, 0, Some(FinWait2), Some(CloseWait)),
        (Server, ACK, 101, 2, 9, Some(FinWait2), Some(CloseWait)),
        (Server, FIN | ACK, 110, 2, 0, Some(FinWait2), Some(LastAck)),
        (Client, ACK, 2, 111, 0, Some(Close), Some(Close)),
        // The FIN, sent again.
        (Server, FIN | ACK, 110, 2, 0, Some(Close), Some(Close)),
    ]);
    assert!(!states.were_reset());
}

#[test]
fn a_fin_that_acknowledges_the_other() {
    opened(&[
        (
            Server,
            FIN | ACK,
            101,
            1,
            4,
            Some(Established),
            Some(FinWait1),
        ),
        (Client, FIN | ACK, 1, 106, 0, Some(LastAck), Some(FinWait2)),
        (Server, ACK, 106, 2, 0, Some(Close), Some(Close)),
    ]);
}

#[test]
fn both_close_at_once() {
    opened(&[
        (
            Client,
            FIN | ACK,
            1,
            101,
            0,
            Some(FinWait1),
            Some(Established),
        ),
        (Server, FIN | ACK, 101, 1, 0, Some(FinWait1), Some(FinWait1)),
        (Client, ACK, 2, 102, 0, Some(Closing), Some(FinWait2)),
        (Server, ACK, 102, 2, 0, Some(Close), Some(Close)),
    ]);
}

#[test]
fn resets() {
    let states = opened(&[(Server, RST, 101, 0, 0, Some(Close), Some(Close))]);
    assert!(states.were_reset());
    check(&[OPENED[0], (Server, RST | ACK, 0, 1, 0, Some(Close), None)]);
    let states = check(&[(Server, RST, 9, 0, 0, Some(Close), Some(Close))]);
    assert!(states.were_reset());
    // A RST that answers a segment after the end has ended nothing.
    let states = opened(&[
        (
            Client,
            FIN | ACK,
            1,
            101,
            0,
            Some(FinWait1),
            Some(Established),
        ),
        (Server, FIN | ACK, 101, 2, 0, Some(FinWait2), Some(LastAck)),
        (Client, ACK, 2, 102, 0, Some(Close), Some(Close)),
        (Client, RST, 2, 0, 0, Some(Close), Some(Close)),
    ]);
    assert!(!states.were_reset());
}

#[test]
fn opened_otherwise() {
    let both = Some(Established);
    // In the middle.
    check(&[(Server, ACK, 9, 5, 3, both, both)]);
    // By a SYN-ACK.
    check(&[OPENED[1]].map(|row| (row.0, row.1, row.2, row.3, row.4, None, row.6)));
    // The SYN-ACK is missing.
    check(&[OPENED[0], (Client, ACK, 1, 101, 0, both, both)]);
    // An old connection's acknowledgment, and the RST that it brings.
    check(&[
        OPENED[0],
        (Server, ACK, 700, 800, 0, Some(SynSent), None),
        (Client, RST, 800, 0, 0, Some(Close), None),
    ]);
    // Both ends at once.
    check(&[
        OPENED[0],
        (Server, SYN, 100, 0, 0, Some(SynSent), Some(SynSent)),
        (Client, SYN | ACK, 0, 101, 0, Some(SynRecv), Some(SynSent)),
        (Server, SYN | ACK, 100, 1, 0, Some(SynRecv), Some(SynRecv)),
        (Client, ACK, 1, 101, 0, both, both),
    ]);
}
