//! Segment boundaries do not change the result, and no bytes do harm.

use proptest::{collection::vec, prelude::*, sample::select};
use upload_protocol::End::{self, Client, Server};

use super::{Turn, captured, feed_cut, feed_head, feed_whole, text};
use crate::core::payload::Payload;

const CAPTURED: [&str; 7] = [
    include_str!("captured/tls12.hex"),
    include_str!("captured/tls12_resumed.hex"),
    include_str!("captured/tls13.hex"),
    include_str!("captured/tls13_alert.hex"),
    include_str!("captured/tls13_client_certificate.hex"),
    include_str!("captured/tls13_resumed.hex"),
    include_str!("captured/tls13_retry.hex"),
];

#[test]
fn a_client_hello_cut_anywhere() {
    let mut turns = captured(CAPTURED[2]);
    turns.truncate(1);
    let whole = feed_whole(&turns);
    let length = turns[0].1.len();
    for one in 0..=length {
        assert_eq!(feed_cut(&turns, |_| vec![one]).tls(), whole.tls());
        for other in one..=length {
            assert_eq!(feed_cut(&turns, |_| vec![one, other]).tls(), whole.tls());
        }
    }
}

#[test]
fn handshakes_byte_by_byte() {
    for lines in CAPTURED {
        let turns = captured(lines);
        assert_eq!(
            outcome_of(&feed_cut(&turns, |length| (0..length).collect())),
            outcome_of(&feed_whole(&turns))
        );
    }
}

/// All results; the parsers' inner state may differ.
fn outcome_of(payload: &Payload) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        payload.protocol(),
        payload.tls().cloned(),
        payload.exchanges().to_vec(),
        payload.malformed().to_vec(),
    )
}

/// An exchange of HTTP with bodies of every kind.
fn exchange() -> impl Strategy<Value = Vec<Turn>> {
    let method = select(vec!["GET", "PUT", "POST", "HEAD"]);
    let status = select(vec![
        "200 OK",
        "204 No Content",
        "304 Not Modified",
        "404 Not Found",
    ]);
    let body = "[ -~\r\n]{0,40}";
    (method, "/[a-z]{0,9}", status, body, any::<[bool; 3]>()).prop_map(
        |(method, target, status, body, [chunked, expects, hinted])| {
            let framed = |body: &str| {
                let length = body.len();
                match (chunked, length) {
                    (true, 0) => "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
                    (true, _) => format!(
                        "Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
                    ),
                    (false, _) => format!("Content-Length: {length}\r\n\r\n{body}"),
                }
            };
            let expect = if expects {
                "Expect: 100-continue\r\n"
            } else {
                ""
            };
            let hint = if hinted {
                "HTTP/1.1 100 Continue\r\n\r\n"
            } else {
                ""
            };
            let bodiless =
                method == "HEAD" || status.starts_with("204") || status.starts_with("304");
            let response = if bodiless {
                "Server: s\r\n\r\n".to_owned()
            } else {
                framed(&body)
            };
            vec![
                text(
                    Client,
                    &format!(
                        "{method} {target} HTTP/1.1\r\nHost: h\r\n{expect}{}",
                        framed(&body)
                    ),
                ),
                text(Server, &format!("{hint}HTTP/1.1 {status}\r\n{response}")),
            ]
        },
    )
}

fn end() -> impl Strategy<Value = End> {
    select(vec![Client, Server])
}

/// Bytes that often get past the first check.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let starts = vec![
        &b""[..],
        b"\x16\x03\x01",
        b"\x16\x03\x03\x00\x30\x01\x00\x00\x2c\x03\x03",
        b"\x16\x03\x03\x00\x30\x02\x00\x00\x2c\x03\x03",
        b"\x14\x03\x03\x00\x01\x01",
        b"\x17\x03\x03\x00\x45",
        b"\x15\x03\x03\x00\x02",
        b"GET / HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"\r\n\r\n",
    ];
    (select(starts), vec(any::<u8>(), 0..80)).prop_map(|(start, rest)| [start, &rest].concat())
}

/// The offsets of the length fields of a turn's records.
fn record_lengths(bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut start = 0;
    while let Some(&[high, low]) = bytes.get(start + 3..start + 5) {
        lengths.push(start + 3);
        start += 5 + usize::from(u16::from_be_bytes([high, low]));
    }
    lengths
}

proptest! {
    #[test]
    fn arbitrary_pieces_do_no_harm(
        pieces in vec((end(), prop_oneof![0..400_u64, any::<u64>()], prop_oneof![0..200_u32, any::<u32>()], bytes()), 0..40)
    ) {
        let mut payload = Payload::default();
        for (mono_ns, (from, offset, len, head)) in (0..).zip(&pieces) {
            feed_head(&mut payload, mono_ns, *from, *offset, *len, head);
        }
        prop_assert!(payload.malformed().len() <= 32);
    }

    #[test]
    fn arbitrary_streams_do_no_harm(
        pieces in vec((end(), 0..50_u32, bytes()), 0..40)
    ) {
        let mut payload = Payload::default();
        let mut sent = [0_u64; 2];
        for (mono_ns, (from, hidden, head)) in (0..).zip(&pieces) {
            let sent = &mut sent[usize::from(*from == Server)];
            let len = u32::try_from(head.len()).unwrap_or(0) + if *hidden > 40 { *hidden } else { 0 };
            feed_head(&mut payload, mono_ns, *from, *sent, len, head);
            *sent += u64::from(len);
        }
        prop_assert!(payload.exchanges().len() <= 1000);
    }

    #[test]
    fn damaged_handshakes_do_no_harm(
        lines in select(CAPTURED.to_vec()),
        damage in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cuts in vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut turns = captured(lines);
        for (turn, at, byte) in &damage {
            let turn = turn.index(turns.len());
            let bytes = &mut turns[turn].1;
            let length = bytes.len();
            bytes[at.index(length)] = *byte;
        }
        let cut = feed_cut(&turns, |length| cuts.iter().map(|cut| cut.index(length)).collect());
        prop_assert_eq!(outcome_of(&cut), outcome_of(&feed_whole(&turns)));
    }

    #[test]
    fn lying_record_lengths_do_no_harm(
        lines in select(CAPTURED.to_vec()),
        turn in any::<prop::sample::Index>(),
        record in any::<prop::sample::Index>(),
        length in prop_oneof![0..600_u16, any::<u16>()],
        cuts in vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut turns = captured(lines);
        let turn = turn.index(turns.len());
        let bytes = &mut turns[turn].1;
        let lengths = record_lengths(bytes);
        let at = lengths[record.index(lengths.len())];
        bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
        let cut = feed_cut(&turns, |length| cuts.iter().map(|cut| cut.index(length)).collect());
        prop_assert_eq!(outcome_of(&cut), outcome_of(&feed_whole(&turns)));
    }

    #[test]
    fn damaged_exchanges_do_no_harm(
        exchanges in vec(exchange(), 1..4),
        damage in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cuts in vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut turns = exchanges.concat();
        for (turn, at, byte) in &damage {
            let turn = turn.index(turns.len());
            let bytes = &mut turns[turn].1;
            let length = bytes.len();
            bytes[at.index(length)] = *byte;
        }
        let whole = feed_whole(&turns);
        prop_assert!(whole.exchanges().len() <= turns.len() * 8);
        let cut = feed_cut(&turns, |length| cuts.iter().map(|cut| cut.index(length)).collect());
        prop_assert!(cut.malformed().len() <= 32);
    }

    #[test]
    fn cuts_change_nothing_in_tls(
        lines in select(CAPTURED.to_vec()),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let turns = captured(lines);
        let cut = feed_cut(&turns, |length| cuts.iter().map(|cut| cut.index(length)).collect());
        prop_assert_eq!(outcome_of(&cut), outcome_of(&feed_whole(&turns)));
    }

    #[test]
    fn cuts_change_nothing_in_http(
        exchanges in vec(exchange(), 1..6),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let turns = exchanges.concat();
        let whole = feed_whole(&turns);
        let cut = feed_cut(&turns, |length| cuts.iter().map(|cut| cut.index(length)).collect());
        prop_assert_eq!(outcome_of(&cut), outcome_of(&whole));
        prop_assert_eq!(whole.exchanges().len(), exchanges.len());
        prop_assert!(whole.malformed().is_empty());
    }
}
