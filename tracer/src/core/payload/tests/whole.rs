//! HTTP/1.x as a capture shows it, whole: cut at every byte, with holes, and hostile.

use upload_protocol::End;

use super::{feed, feed_head, text};
use crate::core::payload::{Chunk, Content, HttpExchange, Payload};

/// What is told of an exchange: `METHOD target (bytes) → status (bytes)`, and of a body `-` where there is none,
/// `?` where its end is missing.
fn told(exchange: &HttpExchange) -> String {
    let content = |content: Option<&Content>| match content {
        None => "-".to_owned(),
        Some(content) => {
            let mark = |is, mark| if is { mark } else { "" };
            let end = mark(!content.is_over, "?");
            let close = mark(content.until_close, "…");
            format!(
                "{}{close}{end}{}",
                content.bytes,
                mark(content.has_hole, "!")
            )
        }
    };
    let request = exchange
        .request
        .as_ref()
        .map_or("unseen".to_owned(), |request| {
            let body = content(request.content.as_deref());
            format!("{} {} {body}", request.method, request.target)
        });
    let response = exchange
        .response
        .as_ref()
        .map_or("unseen".to_owned(), |response| {
            let body = content(response.content.as_deref());
            format!("{} {body}", response.status)
        });
    format!("{request} → {response}")
}

fn all(payload: &Payload) -> Vec<String> {
    payload.exchanges().iter().map(told).collect()
}

/// Both ends' bytes, by turns, each cut at every place.
fn check(turns: &[(End, &str)], expected: &[&str]) {
    for (number, (_, cut)) in turns.iter().enumerate() {
        for at in 0..cut.len() {
            let mut payload = Payload::whole();
            let mut sent = [0_u64; 2];
            for (place, (from, bytes)) in turns.iter().enumerate() {
                let place_of_cut = if place == number { at } else { 0 };
                let (first, second) = bytes.as_bytes().split_at(place_of_cut);
                let peer = sent[usize::from(*from == End::Client)];
                let sent = &mut sent[usize::from(*from == End::Server)];
                for piece in [first, second] {
                    payload.feed(&Chunk {
                        mono_ns: place as u64,
                        from: *from,
                        offset: *sent,
                        len: u32::try_from(piece.len()).unwrap(),
                        head: piece,
                        turned_ns: None,
                        received: u32::try_from(peer).ok(),
                    });
                    *sent += piece.len() as u64;
                }
            }
            assert_eq!(all(&payload), expected, "cut at {at} of turn {number}");
            assert!(payload.malformed().is_empty(), "{:?}", payload.malformed());
        }
    }
}

const CLIENT: End = End::Client;
const SERVER: End = End::Server;

#[test]
fn requests_behind_one_another() {
    check(
        &[
            (
                CLIENT,
                "GET /a HTTP/1.1\r\n\r\nPUT /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcHEAD /c HTTP/1.1\r\n\r\n\
                 POST /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=\"y\"\r\nhello\r\nA\r\n0123456789\r\n\
                 0\r\nTrailer: x\r\n\r\nDELETE /e HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            ),
            (
                SERVER,
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n\
                 HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            ),
        ],
        &[
            "GET /a - → 200 2",
            "PUT /b 3 → 201 0",
            "HEAD /c - → 200 0",
            "POST /d 15 → 200 3",
            "DELETE /e - → 204 0",
        ],
    );
}

#[test]
fn interim_responses() {
    check(
        &[
            (
                CLIENT,
                "PUT /f HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
            ),
            (
                SERVER,
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
            ),
            (CLIENT, "body"),
            (
                SERVER,
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            ),
        ],
        &["PUT /f 4 → 304 0"],
    );
}

#[test]
fn lists_with_empty_elements() {
    let asked = (CLIENT, "GET /a HTTP/1.1\r\n\r\n");
    for coding in ["chunked,", ",chunked, ,", "gzip,, chUnked"] {
        let answer =
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        check(&[asked, (SERVER, &answer)], &["GET /a - → 200 3"]);
    }
}

/// A field in several lines has its value, and is malformed.
#[test]
fn fields_in_several_lines() {
    for field in [
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: gzip,\n\t  chunked",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        let mut payload = Payload::whole();
        feed(&mut payload, 1, SERVER, 0, answer.as_bytes());
        assert_eq!(all(&payload), ["unseen → 200 3"], "{field}");
        assert_eq!(payload.malformed().len(), 1);
    }
}

#[test]
fn http_1_0() {
    check(
        &[
            (
                CLIENT,
                "GET /kept HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            ),
            (
                SERVER,
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
            ),
            (CLIENT, "GET /until-close HTTP/1.0\r\n\r\n"),
            (SERVER, "HTTP/1.0 200 OK\r\n\r\nall of this\r\n\r\n"),
        ],
        &["GET /kept - → 200 1", "GET /until-close - → 200 15…?"],
    );
}

#[test]
fn bodies_without_their_end() {
    check(
        &[
            (CLIENT, "PUT /f HTTP/1.1\r\nContent-Length: 9\r\n\r\nfour"),
            (
                SERVER,
                "HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            ),
        ],
        &["PUT /f 4? → 400 2?"],
    );
}

#[test]
fn other_protocols_after_http() {
    check(
        &[
            (CLIENT, "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"),
            (
                SERVER,
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\u{1}GET",
            ),
            (CLIENT, "GET /none HTTP/1.1\r\n\r\n"),
        ],
        &["GET /chat - → 101 0"],
    );
    check(
        &[
            (CLIENT, "CONNECT h:443 HTTP/1.1\r\n\r\n"),
            (SERVER, "HTTP/1.1 200 Established\r\n\r\n"),
            (CLIENT, "GET /none HTTP/1.1\r\n\r\n"),
        ],
        &["CONNECT h:443 - → 200 0"],
    );
    check(
        &[
            (CLIENT, "CONNECT h:443 HTTP/1.1\r\n\r\n"),
            (SERVER, "HTTP/1.1 407 Who\r\nContent-Length: 1\r\n\r\nx"),
            (CLIENT, "GET /next HTTP/1.1\r\n\r\n"),
            (SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ],
        &["CONNECT h:443 - → 407 1", "GET /next - → 200 0"],
    );
}

#[test]
fn files_in_a_form() {
    let part = |name: &str, content: &str| {
        format!(
            "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\r\n{content}\r\n"
        )
    };
    let body = format!("{}{}--x--\r\n", part("a.txt", "123"), part("b", ""));
    let chunks = |size: usize| {
        let chunks = body.as_bytes().chunks(size);
        let mut framed: String = chunks
            .map(|chunk| {
                format!(
                    "{:x}\r\n{}\r\n",
                    chunk.len(),
                    str::from_utf8(chunk).unwrap()
                )
            })
            .collect();
        framed.push_str("0\r\n\r\n");
        framed
    };
    let head = "POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n";
    let mut requests = vec![format!(
        "{head}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )];
    for size in 1..body.len() {
        let framed = chunks(size);
        requests.push(format!("{head}Transfer-Encoding: chunked\r\n\r\n{framed}"));
    }
    for request in requests {
        let mut payload = Payload::whole();
        let (from, bytes) = text(CLIENT, &request);
        feed(&mut payload, 1, from, 0, &bytes);
        let content = payload.exchanges()[0].request.as_ref().unwrap();
        let content = content.content.as_ref().unwrap();
        assert!(
            content.is_over && content.bytes == body.len() as u64,
            "{request}"
        );
        let files = content.form.as_ref().unwrap().files();
        let files: Vec<_> = files.map(|file| (file.name, file.bytes)).collect();
        assert_eq!(
            files,
            [("a.txt".to_owned(), 3), ("b".to_owned(), 0)],
            "{request}"
        );
    }
}

/// A hole in a body of known length hides nothing else; after one in a head or in chunks, the next head is found
/// where a segment begins with it.
#[test]
fn holes() {
    let mut payload = Payload::whole();
    let head = b"PUT /f HTTP/1.1\r\nContent-Length: 100\r\n\r\n";
    let end = head.len() as u64 + 100;
    feed(&mut payload, 1, CLIENT, 0, head);
    feed(
        &mut payload,
        2,
        CLIENT,
        end - 3,
        b"endGET /g HTTP/1.1\r\n\r\n",
    );
    let offset = end + 22;
    feed(&mut payload, 3, CLIENT, offset - 4, b"lost");
    feed(
        &mut payload,
        4,
        CLIENT,
        offset + 500,
        b"GET /h HTTP/1.1\r\n\r\n",
    );
    assert_eq!(
        all(&payload),
        [
            "PUT /f 100! → unseen",
            "GET /g - → unseen",
            "GET /h - → unseen"
        ]
    );
    let mut payload = Payload::whole();
    feed(
        &mut payload,
        1,
        SERVER,
        0,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
    );
    feed(&mut payload, 2, SERVER, 600, b"middle of a chunk");
    feed_head(
        &mut payload,
        3,
        SERVER,
        617,
        1000,
        b"of which little was captured",
    );
    assert_eq!(all(&payload), ["unseen → 200 48?!"]);
}

/// The request that a response answers was in a hole: no later one is its.
/// A target may be longer than a segment, and a capture may begin before it.
#[test]
fn a_stream_joined_at_a_long_target() {
    let target = format!("/{}", "a".repeat(1400));
    let mut payload = Payload::whole();
    let first = format!("GET {target}");
    feed(&mut payload, 1, CLIENT, 1, first.as_bytes());
    let offset = 1 + first.len() as u64;
    feed(&mut payload, 2, CLIENT, offset, b" HTTP/1.1\r\n\r\n");
    feed(
        &mut payload,
        3,
        SERVER,
        1,
        b"HTTP/1.1 204 No Content\r\n\r\n",
    );
    assert_eq!(all(&payload), [format!("GET {target} - → 204 0")]);
    assert!(payload.omissions().is_empty());
}

#[test]
fn a_response_is_not_of_a_later_request() {
    let mut payload = Payload::whole();
    let pass = |payload: &mut Payload, from, offset, received, bytes: &[u8]| {
        payload.feed(&Chunk {
            mono_ns: 1,
            from,
            offset,
            len: u32::try_from(bytes.len()).unwrap(),
            head: bytes,
            turned_ns: None,
            received: Some(received),
        });
    };
    let request = b"GET /a HTTP/1.1\r\n\r\n";
    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
    pass(&mut payload, CLIENT, 0, 0, request);
    pass(&mut payload, SERVER, 0, 19, answer);
    // A request of 50 bytes was not captured.
    pass(&mut payload, CLIENT, 69, 27, b"GET /b HTTP/1.1\r\n\r\n");
    pass(&mut payload, SERVER, 27, 69, answer);
    pass(&mut payload, SERVER, 54, 88, answer);
    assert_eq!(
        all(&payload),
        ["GET /a - → 204 0", "GET /b - → 204 0", "unseen → 204 0"]
    );
}

/// A response was in a hole. This client waits for each: the next response is that of its last request.
#[test]
fn a_response_is_not_of_an_earlier_request() {
    let mut payload = Payload::whole();
    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
    feed(&mut payload, 1, CLIENT, 0, b"GET /a HTTP/1.1\r\n\r\n");
    feed(&mut payload, 2, SERVER, 0, answer);
    feed(&mut payload, 3, CLIENT, 19, b"GET /b HTTP/1.1\r\n\r\n");
    feed_head(&mut payload, 4, SERVER, 27, 500, b"");
    feed(&mut payload, 5, CLIENT, 38, b"GET /c HTTP/1.1\r\n\r\n");
    feed(&mut payload, 6, SERVER, 527, answer);
    assert_eq!(
        all(&payload),
        ["GET /a - → 204 0", "GET /b - → unseen", "GET /c - → 204 0"]
    );
}
