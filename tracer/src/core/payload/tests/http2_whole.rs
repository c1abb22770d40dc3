//! Requests of HTTP/2 as a capture shows them, cut at every byte, and connections that lie.

use upload_protocol::{End, timeline::Protocol};

use super::{Turn, feed, feed_head, text};
use crate::core::payload::{Content, HttpExchange, Payload};

const CLIENT: End = End::Client;
const SERVER: End = End::Server;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn data(flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(0, flags, stream, payload)
}

fn headers(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(1, flags | END_HEADERS, stream, block)
}

/// A field that is not compressed, and not remembered.
fn field(name: &str, value: &str) -> Vec<u8> {
    let string = |text: &str| {
        let mut string = vec![u8::try_from(text.len()).unwrap()];
        string.extend(text.as_bytes());
        string
    };
    [vec![0], string(name), string(value)].concat()
}

fn request(method: &str, path: &str) -> Vec<u8> {
    [field(":method", method), field(":path", path)].concat()
}

fn status(status: &str) -> Vec<u8> {
    field(":status", status)
}

/// `METHOD target bytes → status bytes`; `?` marks a body without its end, `!` one with a hole, `x` one given up.
fn told(exchange: &HttpExchange) -> String {
    let content = |content: Option<&Content>| match content {
        None => "-".to_owned(),
        Some(content) => {
            let mark = |is, mark| if is { mark } else { "" };
            let end = mark(!content.is_over, "?");
            let hole = mark(content.has_hole, "!");
            format!(
                "{}{end}{hole}{}",
                content.bytes,
                mark(content.is_aborted, "x")
            )
        }
    };
    let request = exchange.request.as_ref().unwrap();
    let body = content(request.content.as_deref());
    let response = exchange
        .response
        .as_ref()
        .map_or("none".to_owned(), |response| {
            let body = content(response.content.as_deref());
            format!("{} {body}", response.status)
        });
    format!("{} {} {body} → {response}", request.method, request.target)
}

fn all(payload: &Payload) -> Vec<String> {
    payload.exchanges().iter().map(told).collect()
}

/// The exchanges of these turns, whichever place one is cut at.
fn check(turns: &[Turn], expected: &[&str]) {
    for (number, (_, cut)) in turns.iter().enumerate() {
        for at in 0..cut.len() {
            let mut payload = Payload::whole();
            let mut sent = [0_u64; 2];
            for (place, (from, bytes)) in turns.iter().enumerate() {
                let sent = &mut sent[usize::from(*from == SERVER)];
                let (first, second) = bytes.split_at(if place == number { at } else { 0 });
                for piece in [first, second] {
                    feed(&mut payload, place as u64, *from, *sent, piece);
                    *sent += piece.len() as u64;
                }
            }
            assert_eq!(all(&payload), expected, "cut at {at} of turn {number}");
            assert_eq!(payload.protocol(), Protocol::Http2);
            assert!(payload.malformed().is_empty() && payload.omissions().is_empty());
        }
    }
}

#[test]
fn streams_at_the_same_time() {
    let client = [
        PREFACE.to_vec(),
        frame(4, 0, 0, &[]),
        headers(0, 1, &request("PUT", "/a")),
        headers(END_STREAM, 3, &request("GET", "/b")),
        data(0, 1, b"12345"),
        frame(8, 0, 0, &[0, 0, 1, 0]),
        data(END_STREAM | PADDED, 1, b"\x03678\0\0\0"),
    ];
    let server = [
        frame(4, 0, 0, &[]),
        frame(4, 1, 0, &[]),
        headers(0, 3, &status("200")),
        data(0, 3, b"some"),
        headers(0, 1, &status("100")),
        headers(END_STREAM, 1, &status("201")),
        data(0, 3, b"more"),
        // Trailers.
        headers(END_STREAM, 3, &field("x", "y")),
    ];
    check(
        &[(CLIENT, client.concat()), (SERVER, server.concat())],
        &["PUT /a 8 → 201 0", "GET /b - → 200 8"],
    );
}

#[test]
fn heads_in_several_frames() {
    let block = request("POST", "/long");
    let mut first = vec![2, 0x80, 0, 0, 0, 16];
    first.extend(&block[..7]);
    first.extend([0, 0]);
    let client = [
        PREFACE.to_vec(),
        frame(1, PADDED | PRIORITY | END_STREAM, 1, &first),
        frame(9, 0, 1, &block[7..9]),
        frame(9, 0, 1, &[]),
        frame(9, END_HEADERS, 1, &block[9..]),
    ];
    check(&[(CLIENT, client.concat())], &["POST /long - → none"]);
}

#[test]
fn streams_that_are_given_up() {
    let client = [
        PREFACE.to_vec(),
        headers(0, 1, &request("PUT", "/a")),
        data(0, 1, b"12"),
        headers(END_STREAM, 3, &request("GET", "/b")),
    ];
    let server = [
        headers(0, 3, &status("200")),
        data(0, 3, b"1"),
        frame(3, 0, 1, &[0, 0, 0, 7]),
    ];
    let reset = frame(3, 0, 3, &[0, 0, 0, 8]);
    check(
        &[
            (CLIENT, client.concat()),
            (SERVER, server.concat()),
            (CLIENT, reset),
        ],
        &["PUT /a 2?x → none", "GET /b - → 200 1?x"],
    );
}

/// RFC 7540, section 3.2.
#[test]
fn an_upgrade() {
    let server = [
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[]),
        headers(0, 1, &status("200")),
        data(END_STREAM, 1, b"first"),
    ];
    let client = [
        PREFACE.to_vec(),
        headers(0, 3, &request("PUT", "/second")),
        data(END_STREAM, 3, b"x"),
    ];
    check(
        &[
            text(
                CLIENT,
                "POST /first HTTP/1.1\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\nContent-Length: 3\r\n\r\nabc",
            ),
            (SERVER, server.concat()),
            (CLIENT, client.concat()),
            (SERVER, headers(END_STREAM, 3, &status("204"))),
        ],
        &["POST /first 3 → 200 5", "PUT /second 1 → 204 0"],
    );
}

/// A server's SETTINGS come before the client's preface.
#[test]
fn a_server_that_sends_first() {
    let mut payload = Payload::whole();
    let settings = frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]);
    feed(&mut payload, 1, SERVER, 0, &settings);
    let client = [PREFACE, &headers(END_STREAM, 1, &request("GET", "/a"))].concat();
    feed(&mut payload, 2, CLIENT, 0, &client);
    let answer = headers(END_STREAM, 1, &status("204"));
    feed(&mut payload, 3, SERVER, settings.len() as u64, &answer);
    assert_eq!(all(&payload), ["GET /a - → 204 0"]);
    let mut live = Payload::default();
    feed(&mut live, 1, SERVER, 0, &settings);
    assert_eq!(live.protocol(), Protocol::Other);
}

/// After a hole in a head, no other head can be read; in DATA, nothing is lost but bytes.
#[test]
fn holes() {
    let mut payload = Payload::whole();
    let start = [PREFACE.to_vec(), headers(0, 1, &request("PUT", "/a"))].concat();
    let body = data(END_STREAM, 1, &[b'x'; 1000]);
    let next = headers(0, 3, &request("GET", "/b"));
    let lost = headers(END_STREAM, 5, &request("GET", "/c"));
    let late = headers(END_STREAM, 7, &request("GET", "/d"));
    let mut at = 0;
    let mut pass = |payload: &mut Payload, bytes: &[u8], captured: usize| {
        let len = u32::try_from(bytes.len()).unwrap();
        feed_head(payload, 1, CLIENT, at, len, &bytes[..captured]);
        at += u64::from(len);
    };
    pass(&mut payload, &start, start.len());
    pass(&mut payload, &body, 20);
    pass(&mut payload, &next, next.len());
    pass(&mut payload, &lost, 15);
    pass(&mut payload, &late, late.len());
    let more = data(END_STREAM, 3, b"123");
    pass(&mut payload, &more, more.len());
    assert_eq!(all(&payload), ["PUT /a 1000! → none", "GET /b 3 → none"]);
    let left_out = payload.omissions();
    assert_eq!(left_out.len(), 1, "{left_out:?}");
    assert_eq!(left_out[0].count, Some(2));
    assert!(payload.malformed().is_empty());
}

#[test]
fn what_lies_is_told() {
    let mut payload = Payload::whole();
    // An index beyond the table.
    let client = [PREFACE, &headers(END_STREAM, 1, &[0xff, 0x10])].concat();
    feed(&mut payload, 1, CLIENT, 0, &client);
    assert_eq!(
        super::defects(&payload),
        ["HTTP/2 fields that cannot be decompressed"]
    );
    assert!(all(&payload).is_empty());
}

/// More streams than are remembered, and a head that never ends.
#[test]
fn what_is_remembered_is_bounded() {
    let mut payload = Payload::whole();
    feed(&mut payload, 1, CLIENT, 0, PREFACE);
    let mut at = PREFACE.len() as u64;
    for stream in 0..3000 {
        let bytes = headers(END_STREAM, 2 * stream + 1, &request("GET", "/"));
        feed(&mut payload, 1, CLIENT, at, &bytes);
        at += bytes.len() as u64;
    }
    assert_eq!(payload.exchanges().len(), 1000);
    assert_eq!(payload.omissions().len(), 1);
    let endless = frame(1, 0, 9001, &field("x", &"y".repeat(100)));
    feed(&mut payload, 1, CLIENT, at, &endless);
    at += endless.len() as u64;
    for _ in 0..2000 {
        let more = frame(9, 0, 9001, &field("x", &"y".repeat(100)));
        feed(&mut payload, 1, CLIENT, at, &more);
        at += more.len() as u64;
    }
    let end = frame(9, END_HEADERS, 9001, &[]);
    feed(&mut payload, 1, CLIENT, at, &end);
    let heads = payload.omissions();
    assert!(
        heads.iter().any(|omission| omission.count == Some(1)),
        "{heads:?}"
    );
}
