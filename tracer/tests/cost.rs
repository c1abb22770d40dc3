//! How much memory the core takes for each byte that others send: payload of a connection, and lines of a feed.
//! A process of its own, since all that it allocates is counted.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    alloc::System,
    sync::{Mutex, PoisonError},
};

use cap::Cap;
use serde_json::json;
use tracer::internals::core::{
    input::{Feed, Input, Tick},
    payload::{Chunk, Payload},
    pipeline::Pipeline,
};
use upload_protocol::{End, upload::FeedLine};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// The heap is the whole process's.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const PER_BYTE: usize = 20;
const OF_A_CONNECTION: usize = 64 * 1024;
const SECOND_NS: u64 = 1_000_000_000;

/// How much more is on the heap than before, while what `feed` gives is kept. `feed` also gives how many bytes
/// it fed.
fn check<T>(what: &str, most: usize, feed: impl FnOnce() -> (T, usize)) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = HEAP.allocated();
    let (kept, fed) = feed();
    let grown = HEAP.allocated().saturating_sub(before);
    drop(kept);
    let allowed = most.min(PER_BYTE * fed + OF_A_CONNECTION);
    eprintln!("{what}: {fed} bytes sent, {grown} on the heap");
    assert!(
        grown <= allowed,
        "{what}: {grown} for {fed} bytes, not {allowed}"
    );
}

/// Segments of a client whom nobody answers, each of which begins a burst.
fn unanswered(first: &[u8], text: impl Fn(usize) -> Vec<u8>) -> (Payload, usize) {
    let mut payload = Payload::default();
    let (mut offset, mut fed) = (0, 0);
    for number in 0..2_000 {
        let head = if number == 0 {
            first.to_vec()
        } else {
            text(number)
        };
        payload.feed(&Chunk {
            mono_ns: number as u64 + 1,
            from: End::Client,
            offset,
            len: u32::try_from(head.len()).unwrap(),
            head: &head,
            turned_ns: None,
            received: None,
        });
        offset += head.len() as u64;
        fed += head.len();
    }
    (payload, fed)
}

#[test]
fn payload_of_one_connection() {
    const MOST: usize = 8 << 20;
    let request = |target: &str| {
        format!("PUT /{target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").into_bytes()
    };
    check("short requests without a response", MOST, || {
        unanswered(&request("1"), |number| request(&number.to_string()))
    });
    check("requests with long targets", MOST, || {
        unanswered(&request("1"), |number| {
            request(&format!("{number}{}", "a".repeat(4_000)))
        })
    });
    let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    check("HTTP/2 streams", MOST, || {
        unanswered(settings, |number| {
            let mut frame = vec![0, 0, 1, 1, 5, 0, 0];
            frame.extend(u16::try_from(2 * number + 1).unwrap().to_be_bytes());
            frame.push(0x82);
            frame
        })
    });
    check("TLS records", MOST, || {
        unanswered(b"\x16\x03\x01\0\x04\x01\0\0\0", |_| {
            b"\x17\x03\x03\0\x01\0".to_vec()
        })
    });
    check("FTP commands", MOST, || {
        unanswered(b"USER a\r\n", |number| {
            format!("STOR {number}{}\r\n", "a".repeat(200)).into_bytes()
        })
    });
    check("nothing known", MOST, || {
        unanswered(b"\x01\x02\x03", |number| vec![number.to_le_bytes()[0]; 100])
    });
}

/// An upload of a connection that is never seen, as a feed could report it.
fn upload(cookie: u64, name: &str) -> String {
    json!({
        "type": "upload", "id": cookie.to_string(), "cookie": cookie.to_string(), "request": 1,
        "client": "127.0.0.1:1", "method": "PUT", "target": "/", "version": "HTTP/1.1", "name": name,
        "content_length": null, "bytes": 1, "status": 201, "outcome": "complete", "error": null,
        "accepted_ns": 1, "first_byte_ns": 1, "head_ns": SECOND_NS, "body_first_ns": null,
        "body_last_ns": null, "stored_ns": null, "response_ns": null, "sent_ns": null,
    })
    .to_string()
}

/// A feed's lines, with a tick as often as there is one live.
fn fed(lines: impl Iterator<Item = String>) -> (Pipeline, usize) {
    let tick = |mono_ns| {
        Input::Tick(Tick {
            mono_ns,
            ..Tick::default()
        })
    };
    let mut pipeline = Pipeline::new(false);
    let mut outputs = Vec::new();
    pipeline.advance(tick(SECOND_NS), &mut outputs);
    let mut sent = 0;
    for (number, line) in (0_u64..).zip(lines) {
        sent += line.len();
        let line: FeedLine = serde_json::from_str(&line).unwrap();
        pipeline.advance(Input::Feed(Feed::Line(Box::new(line))), &mut outputs);
        if number % 64 == 0 {
            pipeline.advance(tick(SECOND_NS + number), &mut outputs);
        }
        outputs.clear();
    }
    (pipeline, sent)
}

/// The tracer believes a feed no further than the kernel, and remembers no more of it than this. Each feed here
/// goes beyond a limit.
const OF_A_FEED: usize = 128 << 20;

#[test]
fn a_feed_of_uploads_without_a_connection() {
    check("many uploads", OF_A_FEED, || {
        fed((1..70_000).map(|cookie| upload(cookie, "a")))
    });
    let long = "a".repeat(200_000);
    check("long names", OF_A_FEED, || {
        fed((1..450).map(|cookie| upload(cookie, &long)))
    });
    check("ends of connections", OF_A_FEED, || {
        fed((1..80_000_u64).map(|cookie| {
            format!(
                r#"{{"type":"connection","cookie":"{cookie}","accepted_ns":1,"closed_ns":{SECOND_NS},"requests":1}}"#
            )
        }))
    });
}
