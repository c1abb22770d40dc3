//! Payload in order, late, twice, beyond a hole, and never.

use upload_protocol::{End, timeline::Protocol};

use super::{MAX_HELD_BYTES, Reassembly};
use crate::core::payload::{Chunk, Payload};

#[derive(Default)]
struct Stream {
    reassembly: Reassembly,
    payload: Payload,
}

impl Stream {
    fn add(&mut self, offset: u64, bytes: &[u8]) {
        self.add_at(offset, offset, bytes);
    }

    fn add_at(&mut self, mono_ns: u64, offset: u64, bytes: &[u8]) {
        let chunk = Chunk {
            mono_ns,
            from: End::Client,
            offset,
            len: u32::try_from(bytes.len()).unwrap(),
            head: bytes,
            turned_ns: None,
            received: None,
        };
        self.reassembly.add(&chunk, true, &mut self.payload);
    }

    fn targets(&self) -> Vec<&str> {
        let requests = self.payload.exchanges().iter();
        requests
            .filter_map(|exchange| Some(exchange.request.as_ref()?.target.as_str()))
            .collect()
    }
}

const REQUESTS: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn segments_in_any_order() {
    for first in 0..REQUESTS.len() {
        for second in first..REQUESTS.len() {
            let mut stream = Stream::default();
            let place = |at: usize| u64::try_from(at).unwrap();
            stream.add(place(second), &REQUESTS[second..]);
            stream.add(place(first), &REQUESTS[first..second]);
            stream.add(0, &REQUESTS[..first]);
            stream.add(0, REQUESTS);
            assert_eq!(stream.targets(), ["/a", "/b"], "{first} {second}");
            assert_eq!(stream.reassembly.held_bytes(), 0);
            assert_eq!(stream.reassembly.missing(), 0);
        }
    }
}

#[test]
fn a_hole_that_is_acknowledged_stays() {
    let mut stream = Stream::default();
    stream.add(0, b"PUT /f HTTP/1.1\r\nContent-Length: 10\r\n\r\n01234");
    stream.add(49, b"9");
    stream
        .reassembly
        .acknowledged(End::Client, 44, &mut stream.payload);
    assert_eq!(stream.reassembly.position(End::Client), 44);
    stream
        .reassembly
        .acknowledged(End::Client, 50, &mut stream.payload);
    assert_eq!(stream.reassembly.position(End::Client), 50);
    assert_eq!(stream.reassembly.missing(), 5);
    assert_eq!(stream.payload.protocol(), Protocol::Http1);
}

/// The first segment of a body is lost, and sent again after the last: the body ends no earlier than it begins.
#[test]
fn what_was_held_passes_when_the_hole_is_filled() {
    let head = b"PUT /f HTTP/1.1\r\nContent-Length: 4\r\n\r\n";
    let end = u64::try_from(head.len()).unwrap();
    let mut stream = Stream::default();
    stream.add_at(1, 0, head);
    stream.add_at(3, end + 2, b"23");
    stream.add_at(9, end, b"01");
    let request = stream.payload.exchanges()[0].request.as_ref().unwrap();
    assert_eq!(request.head_end_ns, Some(1));
    let body = (request.body_first_ns, request.body_last_ns);
    assert_eq!(body, (Some(9), Some(9)));
}

#[test]
fn what_is_acknowledged_was_received() {
    let mut stream = Stream::default();
    stream.add(0, b"01234");
    let mut acknowledged = |offset, received| {
        let payload = &mut stream.payload;
        stream.reassembly.acknowledged(End::Client, offset, payload);
        assert_eq!(stream.reassembly.received(End::Client), received);
    };
    acknowledged(3, 5);
    // A FIN.
    acknowledged(6, 5);
    acknowledged(9, 9);
    // No window is so large.
    acknowledged(1 << 31, 9);
    // It may have been captured late.
    stream.add(5, b"5678");
    assert_eq!(stream.reassembly.position(End::Client), 9);
    assert_eq!(stream.reassembly.missing(), 0);
}

#[test]
fn what_waits_is_bounded() {
    const LENGTH: usize = 1000;
    let mut stream = Stream::default();
    let bytes = [0; LENGTH];
    stream.add(0, b"x");
    for number in 1..3 * MAX_HELD_BYTES / LENGTH {
        stream.add(u64::try_from(2 * number * LENGTH).unwrap(), &bytes);
        assert!(stream.reassembly.held_bytes() <= MAX_HELD_BYTES);
    }
    assert!(stream.reassembly.missing() > 0);
    stream.reassembly.flush(&mut stream.payload);
    assert_eq!(stream.reassembly.held_bytes(), 0);
}

#[test]
fn a_forged_number_is_left_out() {
    let mut stream = Stream::default();
    stream.add(0, b"x");
    stream.add(3 << 30, b"y");
    assert_eq!(stream.reassembly.held_bytes(), 0);
    assert_eq!(stream.reassembly.position(End::Client), 1);
}
