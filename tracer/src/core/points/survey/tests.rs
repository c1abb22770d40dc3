//! Captures of made conversations, and what they are to one another.

use std::borrow::Cow;

use super::*;

const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;
const RAW: u16 = 101;

/// One segment of a made capture: when, from which address to which, the last byte of each and the port, flags,
/// sequence and acknowledgment number, payload.
#[derive(Clone, Copy)]
struct Row {
    at_ns: u64,
    from: (u8, u16),
    to: (u8, u16),
    flags: u16,
    seq: u32,
    ack: u32,
    len: u16,
    /// Whether the capture has no more of it than addresses, ports and numbers.
    is_cut: bool,
}

fn frame(row: Row) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((40 + row.len).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 6, 0, 0]);
    packet.extend([10, 0, 0, row.from.0, 10, 0, 0, row.to.0]);
    packet.extend(row.from.1.to_be_bytes());
    packet.extend(row.to.1.to_be_bytes());
    packet.extend(row.seq.to_be_bytes());
    packet.extend(row.ack.to_be_bytes());
    packet.extend([0x50, u8::try_from(row.flags).unwrap(), 1, 0, 0, 0, 0, 0]);
    packet.resize(packet.len() + usize::from(row.len), 7);
    if row.is_cut {
        packet.truncate(36);
    }
    packet
}

/// What the captures are, in one word, and the points if there are two.
fn found(captures: &[Vec<Row>]) -> (String, Option<Points>) {
    let mut survey = Survey::new(captures.len());
    for (number, rows) in captures.iter().enumerate() {
        for row in rows {
            let bytes = frame(*row);
            let packet = Packet {
                mono_ns: 0,
                link_type: RAW,
                length: 40 + u32::from(row.len),
                capture: 0,
                bytes: Cow::Borrowed(&bytes),
            };
            survey.packet(number, row.at_ns, &packet);
        }
    }
    let names: Vec<String> = (0..captures.len()).map(|name| name.to_string()).collect();
    match survey.finish(&names) {
        Found::Points(points) => ("points".to_owned(), Some(*points)),
        Found::Apart {
            overlap,
            continues,
            rewritten,
        } => {
            let words = [
                (overlap, "overlap"),
                (continues, "continues"),
                (rewritten > 0, "rewritten"),
            ];
            let words = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word);
            (
                format!("apart {}", words.collect::<Vec<_>>().join(" ")),
                None,
            )
        }
        Found::Same(one, other) => (format!("same {one} {other}"), None),
        Found::Pieces(points) => (format!("pieces {points:?}"), None),
        Found::TooMany(one, other) => (format!("too many {one} {other}"), None),
        Found::Misaligned(reason) => (format!("misaligned {reason:?}"), None),
    }
}

/// A conversation from 10.0.0.1 to 10.0.0.2, with these initial sequence numbers, as the client's end has it.
fn conversation(at_ns: u64, port: u16, isn: u32) -> Vec<Row> {
    let (client, server) = ((1, port), (2, 80));
    let other = isn.wrapping_mul(77);
    let row = |after_ms: u64, is_up: bool, flags, seq: u32, ack: u32, len| Row {
        at_ns: at_ns + after_ms * MS,
        from: if is_up { client } else { server },
        to: if is_up { server } else { client },
        flags,
        seq: if is_up {
            isn.wrapping_add(seq)
        } else {
            other.wrapping_add(seq)
        },
        ack: match (flags, is_up) {
            (Flags::SYN, _) => 0,
            (_, true) => other.wrapping_add(ack),
            (_, false) => isn.wrapping_add(ack),
        },
        len,
        is_cut: false,
    };
    let (syn, ack, fin) = (Flags::SYN, Flags::ACK, Flags::FIN);
    vec![
        row(0, true, syn, 0, 0, 0),
        row(20, false, syn | ack, 0, 1, 0),
        row(20, true, ack, 1, 1, 0),
        row(21, true, ack, 1, 1, 1000),
        row(41, false, ack, 1, 1001, 0),
        row(42, false, ack, 1, 1001, 300),
        row(43, true, ack | fin, 1001, 301, 0),
        row(63, false, ack | fin, 301, 1002, 0),
        row(63, true, ack, 1002, 302, 0),
    ]
}

/// The same at the server: 10 ms from the client, on a clock that is ahead, and with other addresses.
fn at_server(rows: &[Row], ahead_ns: u64, translate: impl Fn((u8, u16)) -> (u8, u16)) -> Vec<Row> {
    let mut rows: Vec<Row> = rows
        .iter()
        .map(|row| Row {
            at_ns: if row.from.0 == 1 {
                row.at_ns + 10 * MS
            } else {
                row.at_ns - 10 * MS
            } + ahead_ns,
            from: translate(row.from),
            to: translate(row.to),
            ..*row
        })
        .collect();
    rows.sort_by_key(|row| row.at_ns);
    rows
}

#[test]
fn two_points_of_one_conversation() {
    let client = conversation(100 * S, 5000, 1000);
    let server = at_server(&client, 3600 * S, |end| end);
    let (word, points) = found(&[client.clone(), server.clone()]);
    let points = points.unwrap_or_else(|| panic!("{word}"));
    assert_eq!(points.clocks.offset_ns(), 3_600_000_000_000);
    assert_eq!(points.clocks.round_trip_ns, 20 * MS);
    assert_eq!((points.connections(), points.segments), (1, 9));
    assert_eq!(points.spans(), [(0, 63 * MS), (10 * MS, 73 * MS)]);
    let pair = points.pair(1, 0).unwrap();
    assert_eq!(pair.near(pair.ends[0][0]), 0);
    assert_eq!(pair.near(pair.ends[0][1]), 1);
    // In the other order, the server's capture is the first.
    let (_, points) = found(&[server, client]);
    let points = points.unwrap();
    assert_eq!(points.clocks.offset_ns(), -3_600_000_000_000);
    let pair = points.pair(0, 0).unwrap();
    assert_eq!(pair.near(pair.ends[0][0]), 1);
}

/// The client's address and both ports are others at the server, so that the lower address is the higher.
#[test]
fn two_points_with_nat_between() {
    let client = conversation(100 * S, 5000, 1000);
    let server = at_server(&client, 0, |(host, port)| match host {
        1 => (9, port + 7),
        host => (host, 8080),
    });
    let (_, points) = found(&[client, server]);
    let points = points.unwrap();
    let pair = points.pair(0, 0).unwrap();
    let port = |address: Address| address.port();
    assert_eq!(pair.ends[0].map(port), [5000, 80]);
    assert_eq!(pair.ends[1].map(port), [5007, 8080]);
    assert_eq!(pair.in_first(1, pair.ends[1][0]), pair.ends[0][0]);
    assert_eq!(pair.seen_at(1, pair.ends[0][1]), pair.ends[1][1]);
}

#[test]
fn what_captures_are_to_one_another() {
    let whole = conversation(100 * S, 5000, 1000);
    let other = conversation(100 * S, 6000, 2000);
    let check = |captures: &[Vec<Row>], expected: &str| {
        let (word, _) = found(captures);
        assert_eq!(word.trim_end(), expected);
    };
    // Pieces of one capture, also with a segment in both.
    check(
        &[whole[..4].to_vec(), whole[4..].to_vec()],
        "apart continues",
    );
    check(
        &[whole[..5].to_vec(), whole[4..].to_vec()],
        "apart continues",
    );
    let later = conversation(200 * S, 5001, 3000);
    check(&[whole.clone(), later], "apart");
    // Two captures at one time, without a common connection.
    check(&[whole.clone(), other.clone()], "apart overlap");
    // A proxy lies between: the addresses are the same, the numbers are not.
    let proxied = conversation(100 * S, 5000, 77);
    check(
        &[whole.clone(), proxied],
        "apart overlap continues rewritten",
    );
    check(&[whole.clone(), whole.clone()], "same 0 1");
    let server = at_server(&whole, 0, |end| end);
    check(&[other, whole.clone(), server.clone()], "too many 1 2");
    // Both captures in pieces: whichever come first, and if one point has fewer.
    let cut = |rows: &[Row]| [rows[..4].to_vec(), rows[4..].to_vec()];
    let [client_1, client_2] = cut(&whole);
    let [server_1, server_2] = cut(&server);
    let in_order = [&client_1, &client_2, &server_1, &server_2];
    check(&in_order.map(Vec::clone), "pieces [0, 0, 1, 1]");
    let in_turn = [&server_1, &client_1, &server_2, &client_2];
    check(&in_turn.map(Vec::clone), "pieces [0, 1, 0, 1]");
    let alone = [&client_1, &client_2, &server];
    check(&alone.map(Vec::clone), "pieces [0, 0, 1]");
    // A third point, between the two.
    let between = at_server(&whole, 0, |end| end);
    let between = between.iter().map(|row| Row {
        at_ns: row.at_ns + if row.from.0 == 1 { 0 } else { 15 * MS },
        ..*row
    });
    let between = between.collect();
    check(&[whole.clone(), server, between], "too many 0 1");
    // Each capture has one direction alone.
    let up: Vec<Row> = whole
        .iter()
        .filter(|row| row.from.0 == 1)
        .copied()
        .collect();
    let mut up_later = at_server(&up, 0, |end| end);
    up_later[3].at_ns += MS;
    check(&[up, up_later], "misaligned OneDirection");
}

/// A conversation that cannot be read has a number nevertheless, as when the captures are read again.
#[test]
fn conversations_cut_within_the_header_count() {
    let client = conversation(100 * S, 5000, 1000);
    let server = at_server(&client, 0, |end| end);
    let cut = Row {
        is_cut: true,
        ..conversation(99 * S, 6000, 1000)[0]
    };
    let (word, points) = found(&[[&[cut], &client[..]].concat(), server]);
    let points = points.unwrap_or_else(|| panic!("{word}"));
    let pair = points.pair(1, 0).unwrap();
    assert_eq!(pair.streams, [1, 0]);
    assert_eq!(pair.ends[0].map(Address::port), [5000, 80]);
}

/// With more segments than are remembered, both captures remember the same.
#[test]
fn many_segments_are_sampled_alike() {
    let mut client = Vec::new();
    for number in 0..150_000_u32 {
        let [.., segment, ack, _, _, _, _] = &conversation(100 * S, 5000, 1000)[..] else {
            unreachable!()
        };
        for row in [segment, ack] {
            let mut row = *row;
            row.at_ns += u64::from(number) * MS;
            let moved = number * 1000;
            if row.from.0 == 1 {
                row.seq += moved;
            } else {
                row.ack += moved;
            }
            row.len = 0;
            client.push(row);
        }
    }
    client.splice(0..0, conversation(100 * S, 5000, 1000).drain(..3));
    let server = at_server(&client, 5 * S, |end| end);
    let (_, points) = found(&[client, server]);
    let points = points.unwrap();
    assert_eq!(points.clocks.offset_ns(), 5_000_000_000);
    let compared = points.segments;
    assert!((50_000..=300_000).contains(&compared), "{compared}");
}
