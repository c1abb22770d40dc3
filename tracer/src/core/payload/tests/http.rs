//! Exchanges in clear text, with the times of their segments.

use upload_protocol::{
    End::{self, Client, Server},
    timeline::{LeftOut, Protocol},
};

use super::{defects, feed_head, text};
use crate::core::payload::{HttpExchange, Payload};

/// Feeds segments a nanosecond apart, from 1 on: text, and the number of bytes after it not captured.
fn feed(segments: &[(End, &str, u32)]) -> Payload {
    let mut payload = Payload::default();
    let mut sent = [0_u64; 2];
    for (mono_ns, (from, head, hidden)) in (1..).zip(segments) {
        let sent = &mut sent[usize::from(*from == Server)];
        let (_, bytes) = text(*from, head);
        let len = u32::try_from(bytes.len()).unwrap_or(0) + hidden;
        feed_head(&mut payload, mono_ns, *from, *sent, len, &bytes);
        *sent += u64::from(len);
    }
    payload
}

/// A line per exchange.
fn line(exchange: &HttpExchange) -> String {
    let request = exchange.request.as_ref().map_or("?".to_owned(), |request| {
        let at = |time: Option<u64>| time.map_or("?".to_owned(), |time| time.to_string());
        format!(
            "{} {} {} head {}..{} body {}..{}",
            request.method,
            request.target,
            request.version,
            request.start_ns,
            at(request.head_end_ns),
            at(request.body_first_ns),
            at(request.body_last_ns)
        )
    });
    let proceed = exchange
        .continue_ns
        .map_or(String::new(), |at| format!(" | 100 {at}"));
    let response = exchange
        .response
        .as_ref()
        .map_or("?".to_owned(), |response| {
            format!(
                "{} {}..{}",
                response.status, response.start_ns, response.last_ns
            )
        });
    format!("{request}{proceed} | {response}")
}

fn check(segments: &[(End, &str, u32)], expected: &[&str]) {
    let payload = feed(segments);
    assert_eq!(payload.protocol(), Protocol::Http1);
    assert_eq!(defects(&payload), Vec::<&str>::new());
    let lines: Vec<String> = payload.exchanges().iter().map(line).collect();
    assert_eq!(lines, expected);
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn an_upload_with_a_length() {
    check(
        &[
            (
                Client,
                "PUT /f HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\nbody",
                996,
            ),
            (Client, "", 2000),
            (Client, "", 2000),
            (Server, OK, 0),
            (Client, "GET /next HTTP/1.1\r\n\r\n", 0),
            (
                Server,
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                0,
            ),
        ],
        &[
            "PUT /f HTTP/1.1 head 1..1 body 1..3 | 200 4..4",
            "GET /next HTTP/1.1 head 5..5 body ?..? | 404 6..6",
        ],
    );
}

#[test]
fn a_head_over_several_segments() {
    check(
        &[
            (Client, "POST /f HT", 0),
            (Client, "TP/1.1\r\nContent-Le", 0),
            (Client, "ngth: 3\r\n\r", 0),
            (Client, "\n", 0),
            (Client, "abc", 0),
            (Server, "HTTP/1.1 20", 0),
            (Server, "0 Fine, thank you\r\n", 0),
            (Server, "\r\n", 0),
            (Server, "until the end", 900),
            (Server, "", 900),
        ],
        &["POST /f HTTP/1.1 head 1..4 body 5..5 | 200 6..10"],
    );
}

#[test]
fn waits_for_100_continue() {
    check(
        &[
            (
                Client,
                "PUT /f HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
                0,
            ),
            (Server, "HTTP/1.1 100 Continue\r\n\r\n", 0),
            (Client, "", 9),
            (Server, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 0),
            (Server, OK, 0),
        ],
        &["PUT /f HTTP/1.1 head 1..1 body 3..3 | 100 2 | 200 5..5"],
    );
}

#[test]
fn is_refused_instead_of_100_continue() {
    check(
        &[
            (
                Client,
                "PUT /f HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
                0,
            ),
            (Server, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", 0),
            (Client, "GET /login HTTP/1.1\r\n\r\n", 0),
            (Server, OK, 0),
        ],
        &[
            "PUT /f HTTP/1.1 head 1..1 body ?..? | 401 2..2",
            "GET /login HTTP/1.1 head 3..3 body ?..? | 200 4..4",
        ],
    );
}

#[test]
fn is_answered_early() {
    check(
        &[
            (
                Client,
                "PUT /f HTTP/1.1\r\nContent-Length: 3000\r\n\r\n",
                1000,
            ),
            (
                Server,
                "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n",
                0,
            ),
            (Client, "GET /decoy HTTP/1.1\r\n\r\n", 977),
            (Client, "", 1000),
            (Client, "GET /next HTTP/1.1\r\n\r\n", 0),
            (Server, OK, 0),
        ],
        &[
            "PUT /f HTTP/1.1 head 1..1 body 1..4 | 413 2..2",
            "GET /next HTTP/1.1 head 5..5 body ?..? | 200 6..6",
        ],
    );
}

#[test]
fn chunks_that_were_captured_end() {
    check(
        &[
            (
                Client,
                "POST /f HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                0,
            ),
            (Client, "5;x=1\r\nhello\r\nA\r\n01234", 5),
            (
                Client,
                "\r\n0\r\nTrailer: t\r\n\r\nGET /2 HTTP/1.1\r\n\r\n",
                0,
            ),
            (Server, OK, 0),
            (Server, OK, 0),
        ],
        &[
            "POST /f HTTP/1.1 head 1..1 body 2..3 | 200 4..4",
            "GET /2 HTTP/1.1 head 3..3 body ?..? | 200 5..5",
        ],
    );
}

#[test]
fn after_lost_chunks_the_next_burst_begins_a_request() {
    check(
        &[
            (
                Client,
                "POST /f HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                500,
            ),
            (Client, "GET /decoy HTTP/1.1\r\n\r\n", 500),
            (Server, OK, 0),
            (Client, "GET /2 HTTP/1.1\r\n\r\n", 0),
            (Server, OK, 0),
        ],
        &[
            "POST /f HTTP/1.1 head 1..1 body 1..2 | 200 3..3",
            "GET /2 HTTP/1.1 head 4..4 body ?..? | 200 5..5",
        ],
    );
}

#[test]
fn a_head_is_read_up_to_the_hole() {
    check(
        &[
            (
                Client,
                "PUT /f HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\nCook",
                1000,
            ),
            (Client, "", 99),
            (Server, "HTTP/1.1 200 OK\r\nServer: s", 1000),
            (Client, "GET /2 HTTP/1.1\r\n", 300),
            (Server, OK, 0),
        ],
        &[
            "PUT /f HTTP/1.1 head 1..? body ?..2 | 200 3..3",
            "GET /2 HTTP/1.1 head 4..? body ?..? | 200 5..5",
        ],
    );
}

#[test]
fn responses_without_bodies() {
    check(
        &[
            (Client, "HEAD /f HTTP/1.1\r\n\r\n", 0),
            (Server, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", 0),
            (Client, "GET /f HTTP/1.1\r\n\r\n", 0),
            (
                Server,
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
                0,
            ),
            (Client, "DELETE /f HTTP/1.1\r\n\r\n", 0),
            (Server, "HTTP/1.1 204\r\n\r\n", 0),
        ],
        &[
            "HEAD /f HTTP/1.1 head 1..1 body ?..? | 200 2..2",
            "GET /f HTTP/1.1 head 3..3 body ?..? | 304 4..4",
            "DELETE /f HTTP/1.1 head 5..5 body ?..? | 204 6..6",
        ],
    );
}

#[test]
fn a_tunnel_is_not_read() {
    check(
        &[
            (Client, "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", 0),
            (Server, "HTTP/1.1 101 Switching Protocols\r\n\r\n", 0),
            (Client, "\u{1}\u{2}", 0),
            (Server, "\u{1}\u{2}", 0),
        ],
        &["GET /ws HTTP/1.1 head 1..1 body ?..? | 101 2..2"],
    );
    check(
        &[
            (Client, "CONNECT h:443 HTTP/1.1\r\n\r\n", 0),
            (Server, "HTTP/1.1 200 OK\r\n\r\n", 0),
            (Client, "\u{16}\u{3}\u{1}", 0),
            (Server, "\u{16}\u{3}\u{3}", 0),
        ],
        &["CONNECT h:443 HTTP/1.1 head 1..1 body ?..? | 200 2..2"],
    );
}

#[test]
fn repetitions_count_once() {
    let mut payload = Payload::default();
    let head = b"GET / HTTP/1.1\r\n\r\n";
    for mono_ns in 1..4 {
        super::feed(&mut payload, mono_ns, Client, 0, head);
    }
    super::feed(
        &mut payload,
        4,
        Client,
        4,
        b"/ HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n",
    );
    let lines: Vec<String> = payload.exchanges().iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "GET / HTTP/1.1 head 1..1 body ?..? | ?",
            "GET /2 HTTP/1.1 head 4..4 body ?..? | ?"
        ]
    );
}

#[test]
fn exchanges_are_bounded() {
    let mut segments = Vec::new();
    for _ in 0..1100 {
        segments.push((Client, "GET / HTTP/1.1\r\n\r\n", 0));
        segments.push((Server, OK, 0));
    }
    let payload = feed(&segments);
    assert_eq!(payload.exchanges().len(), 1000);
    assert_eq!(payload.exchanges_left_out(), 100);
    assert!(
        payload
            .exchanges()
            .iter()
            .all(|exchange| exchange.response.is_some())
    );
}

/// Each is handed out, whether it is kept or not.
#[test]
fn long_targets_are_bounded() {
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(10_000));
    let mut segments = Vec::new();
    for _ in 0..300 {
        segments.push((Client, long.as_str(), 0));
        segments.push((Server, OK, 0));
    }
    let mut payload = feed(&segments);
    let kept = payload.exchanges().len();
    assert_eq!(kept, (1 << 20) / 10_001);
    assert_eq!(payload.exchanges_left_out(), 300 - kept);
    let omission = &payload.omissions()[0];
    assert_eq!(omission.what, LeftOut::RequestsWithLongTargets);
    assert_eq!(omission.count, Some(300 - kept as u64));
    let sequences = payload.take_finished(true).into_iter();
    let sequences: Vec<u32> = sequences.map(|finished| finished.sequence).collect();
    assert_eq!(sequences, (1..=300).collect::<Vec<_>>());
}
