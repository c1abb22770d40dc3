//! Control connections of FTP: which data connections they announce, and what for.

use upload_protocol::End;

use super::{Turn, feed_cut, feed_head, feed_whole};
use crate::core::payload::{Command, Payload, Transfer};

/// A line per turn: who sends (`C`, `S`), then the lines of the turn, divided by `;`.
fn turns(text: &str) -> Vec<Turn> {
    let turn = |line: &str| {
        let (from, lines) = line.trim().split_once(' ').unwrap();
        let from = if from == "C" {
            End::Client
        } else {
            End::Server
        };
        let lines = lines.split(';').map(|line| format!("{line}\r\n"));
        (from, lines.collect::<String>().into_bytes())
    };
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(turn)
        .collect()
}

/// The last of what is known of each transfer: the end that listens, its port, the command, the reply.
fn known(payload: &mut Payload) -> Vec<String> {
    let mut last: Vec<Transfer> = Vec::new();
    for transfer in payload.take_transfers() {
        last.retain(|known| known.number != transfer.number);
        last.push(transfer);
    }
    last.sort_by_key(|transfer| transfer.number);
    let told = last.into_iter().map(|transfer| {
        let command = match transfer.command {
            Some(Command::Store(Some(name))) => format!("store {name}"),
            Some(Command::Store(None)) => "store".to_owned(),
            Some(Command::Fetch) => "fetch".to_owned(),
            None => "nothing".to_owned(),
        };
        let reply = transfer
            .reply
            .map_or("-".to_owned(), |reply| reply.to_string());
        format!("{} {} {command} {reply}", transfer.listens, transfer.port)
    });
    told.collect()
}

fn check(text: &str, expected: &[&str]) {
    let turns = turns(text);
    assert_eq!(known(&mut feed_whole(&turns)), expected, "{text}");
    // However the bytes are cut.
    let each_byte = |length: usize| (1..length).collect();
    assert_eq!(known(&mut feed_cut(&turns, each_byte)), expected, "{text}");
}

#[test]
fn each_mode_and_command() {
    check(
        "S 220-Welcome;to 220 files;220 ready
         C USER anonymous
         S 331 password?
         C PASS x
         S 230 in
         C EPSV
         S 229 Entering extended passive mode (|||40001|).
         C TYPE I
         S 200 Type set to: Binary.
         C STOR a b.txt
         S 150 File status okay.;226 Transfer complete.
         C PASV
         S 227 Entering passive mode (127,0,0,1,156,66).
         C RETR c
         S 125 Data connection already open.;226 done
         C EPRT |1|127.0.0.1|40003|
         S 200 Active data connection established.
         C APPE dir/d
         S 150 ok;226 done
         C PORT 127,0,0,1,156,68
         S 200 ok
         C STOU
         S 150 FILE: e.1;226 done
         C PORT 127,0,0,1,156,69
         S 200 ok
         C MLSD
         S 150 ok;226 done
         C eprt |2|::1|40006|
         S 200 ok
         C stor f
         S 150 ok;552 quota exceeded
         C QUIT
         S 221 bye",
        &[
            "server 40001 store a b.txt 226",
            "server 40002 fetch 226",
            "client 40003 store dir/d 226",
            "client 40004 store e.1 226",
            "client 40005 fetch 226",
            "client 40006 store f 552",
        ],
    );
}

#[test]
fn refused_and_unfinished() {
    check(
        "S 220 ready
         C PORT 10,0,0,1,1,1
         S 500 illegal PORT
         C PASV
         S 425 no
         C EPSV
         S 229 ok (|||40001|)
         C STOR never
         S 553 not allowed
         C EPSV
         S 229 ok (|||40002|)
         C STOR running
         S 150 go on",
        &[
            "server 40001 store never 553",
            "server 40002 store running -",
        ],
    );
}

/// One PASV, two commands: the second has no data connection of its own.
#[test]
fn a_command_without_an_announcement() {
    check(
        "S 220 ready
         C PASV
         S 227 =127,0,0,1,156,65
         C STOR one;STOR two
         S 150 ok;226 done;425 Use PASV first.",
        &["server 40001 store one 226"],
    );
}

#[test]
fn nothing_is_read_once_it_is_encrypted() {
    check(
        "S 220 ready
         C AUTH TLS
         S 234 go on
         C PASV
         S 227 (127,0,0,1,156,65)",
        &[],
    );
}

/// Mail servers greet alike.
#[test]
fn mail_announces_nothing() {
    check(
        "S 220 mail.example ESMTP
         C EHLO me
         S 250-SIZE;250 HELP
         C MAIL FROM:<a@b>
         S 250 ok",
        &[],
    );
}

/// The tracer came later.
#[test]
fn in_the_middle() {
    let mut payload = Payload::default();
    for (from, offset, text) in [
        (End::Client, 100, "PASV\r\n"),
        (End::Server, 900, "227 ok (127,0,0,1,156,65)\r\n"),
        (End::Client, 106, "STOR late\r\n"),
        (End::Server, 927, "150 ok\r\n226 done\r\n"),
    ] {
        let length = text.len().try_into().unwrap();
        feed_head(&mut payload, 1, from, offset, length, text.as_bytes());
    }
    assert_eq!(known(&mut payload), ["server 40001 store late 226"]);
}

/// What was missed is unknown: the reply may be another command's.
#[test]
fn a_hole_ends_what_is_known() {
    let mut payload = Payload::default();
    for (from, offset, length, text) in [
        (End::Server, 0, 11, "220 ready\r\n"),
        (End::Client, 0, 6, "PASV\r\n"),
        (End::Server, 11, 27, "227 ok (127,0,0,1,156,65)\r\n"),
        (End::Client, 6, 10, "STOR one\r\n"),
        // Here 20 bytes are missing.
        (End::Server, 58, 10, "226 done\r\n"),
    ] {
        feed_head(&mut payload, 1, from, offset, length, text.as_bytes());
    }
    assert_eq!(known(&mut payload), ["server 40001 store one -"]);
}

/// A client that never stops grows nothing.
#[test]
fn lines_and_commands_are_limited() {
    let mut payload = feed_whole(&turns("S 220 ready"));
    let mut offset = 0;
    for text in [
        "NOOP\r\n".repeat(10_000),
        "x".repeat(100_000),
        "\r\nPASV\r\n".to_owned(),
    ] {
        let length = text.len().try_into().unwrap();
        feed_head(
            &mut payload,
            1,
            End::Client,
            offset,
            length,
            text.as_bytes(),
        );
        offset += text.len() as u64;
    }
    feed_head(
        &mut payload,
        2,
        End::Server,
        11,
        27,
        b"227 ok (127,0,0,1,156,65)\r\n",
    );
    assert_eq!(known(&mut payload), ["server 40001 nothing -"]);
}
