//! Real and malformed bytes, cut into segments in every way.

mod cuts;
mod ftp;
mod holes;
mod http;
mod http2;
mod http2_whole;
mod lies;
mod omissions;
mod proxy;
mod tls;
mod whole;

use upload_protocol::{End, timeline::Protocol};

use super::{Chunk, Payload};

/// One end's bytes, all at once.
type Turn = (End, Vec<u8>);

/// A conversation of `openssl s_client` with `openssl s_server`, a line per segment: sender, length, and
/// payload in hexadecimal. The encrypted rest of the payload is left out, and zeroes here.
fn captured(lines: &str) -> Vec<Turn> {
    lines.lines().filter_map(turn).collect()
}

fn turn(line: &str) -> Option<Turn> {
    let mut words = line.split(' ');
    let from = match words.next()? {
        "C" => End::Client,
        _ => End::Server,
    };
    let length = words.next()?.parse().ok()?;
    let hex = words.next()?.as_bytes();
    let mut bytes: Vec<u8> = hex
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes.resize(length, 0);
    Some((from, bytes))
}

/// Feeds a conversation; `cuts` says where each turn is split into segments. All have the same time, so
/// that the result does not depend on the cuts.
fn feed_cut(turns: &[Turn], mut cuts: impl FnMut(usize) -> Vec<usize>) -> Payload {
    let mut payload = Payload::default();
    let mut sent = [0_u64; 2];
    for (mono_ns, (from, bytes)) in (0..).zip(turns) {
        let sent = &mut sent[usize::from(*from == End::Server)];
        let mut ends = cuts(bytes.len());
        ends.push(bytes.len());
        ends.sort_unstable();
        let mut start = 0;
        for end in ends {
            let new_bytes = &bytes[start..end];
            feed(&mut payload, mono_ns, *from, *sent, new_bytes);
            *sent += new_bytes.len() as u64;
            start = end;
        }
    }
    payload
}

fn feed_whole(turns: &[Turn]) -> Payload {
    feed_cut(turns, |_| Vec::new())
}

fn feed(payload: &mut Payload, mono_ns: u64, from: End, offset: u64, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    feed_head(payload, mono_ns, from, offset, len, bytes);
}

/// Feeds a segment of which `head` was captured.
fn feed_head(payload: &mut Payload, mono_ns: u64, from: End, offset: u64, len: u32, head: &[u8]) {
    payload.feed(&Chunk {
        mono_ns,
        from,
        offset,
        len,
        head,
        turned_ns: None,
        received: None,
    });
}

fn text(from: End, text: &str) -> Turn {
    (from, text.as_bytes().to_vec())
}

fn defects(payload: &Payload) -> Vec<&'static str> {
    let defects = payload.malformed().iter();
    defects.map(|malformed| malformed.defect.name()).collect()
}

#[test]
fn the_first_bytes_decide_the_protocol() {
    let check = |from: End, bytes: &[u8], expected: Protocol| {
        let mut payload = Payload::default();
        feed(&mut payload, 0, from, 0, bytes);
        assert_eq!(payload.protocol(), expected, "{}", bytes.escape_ascii());
        assert!(payload.malformed().is_empty(), "{}", bytes.escape_ascii());
    };
    let client = End::Client;
    check(client, b"", Protocol::Unknown);
    check(client, b"G", Protocol::Unknown);
    check(client, b"GET / HTTP/1.1\r\n", Protocol::Http1);
    check(client, b"\r\nGET / HTTP/1.0\n", Protocol::Http1);
    check(client, b"\n\x01\x02", Protocol::Other);
    check(
        client,
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
        Protocol::Unknown,
    );
    check(
        client,
        b"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n",
        Protocol::Http1,
    );
    check(
        client,
        b"PROXY UNKNOWN\r\n\x16\x03\x01\x00\x05",
        Protocol::Tls,
    );
    check(client, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Protocol::Http2);
    check(client, b"PRI * HTTP/2.0", Protocol::Unknown);
    check(client, b"OPTIONS rtsp://x/ RTSP/1.0\r\n", Protocol::Other);
    check(client, b"EHLO there\r\n", Protocol::Other);
    check(client, b"\x16\x03\x01", Protocol::Unknown);
    check(client, b"\x16\x03\x01\x00\x05", Protocol::Tls);
    check(client, b"\x16\x02\x01\x00\x05", Protocol::Other);
    check(client, b"\x00\x00\x00\x08", Protocol::Other);
    check(End::Server, b"SSH-2.0-OpenSSH_9.2\r\n", Protocol::Other);
    check(End::Server, b"220 mail ESMTP\r\n", Protocol::Other);
    check(
        End::Server,
        b"HTTP/1.1 408 Request Timeout\r\n",
        Protocol::Http1,
    );
}

#[test]
fn an_unseen_client_may_speak_http2() {
    let mut payload = Payload::default();
    feed_head(&mut payload, 1, End::Client, 0, 24, b"");
    feed(&mut payload, 2, End::Server, 0, b"\0\0\x12\x04\0\0\0\0\0");
    assert_eq!(payload.protocol(), Protocol::Unknown);
}

#[test]
fn a_stream_joined_late_is_found() {
    let mut payload = Payload::default();
    feed(
        &mut payload,
        1,
        End::Client,
        9000,
        b"PUT /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
    );
    feed(
        &mut payload,
        2,
        End::Server,
        500,
        b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(payload.protocol(), Protocol::Http1);
    assert_eq!(payload.exchanges().len(), 1);
    let mut payload = Payload::default();
    feed(
        &mut payload,
        1,
        End::Server,
        700,
        b"\x15\x03\x03\x00\x1a01234567890123456789012345",
    );
    assert_eq!(payload.protocol(), Protocol::Tls);
    assert!(payload.malformed().is_empty());
}
