//! HTTP/2 in clear text: frames counted wherever the segments cut them.

use upload_protocol::{
    End,
    timeline::{Frames, Protocol},
};

use super::{feed_cut, feed_head, feed_whole, text};
use crate::core::payload::Payload;

const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, length: u8) -> Vec<u8> {
    let mut bytes = vec![0, 0, length, kind, 0, 0, 0, 0, 1];
    bytes.resize(9 + usize::from(length), 7);
    bytes
}

fn turns() -> Vec<(End, Vec<u8>)> {
    let mut client = PREFACE.as_bytes().to_vec();
    for part in [frame(4, 12), frame(1, 60), frame(0, 200), frame(0, 100)] {
        client.extend(part);
    }
    let server = [frame(4, 0), frame(4, 0), frame(1, 5), frame(99, 1)].concat();
    vec![(End::Client, client), (End::Server, server)]
}

fn counts(payload: &Payload, end: End) -> Vec<(&str, u64, u64)> {
    let frames = payload.http2_frames().unwrap();
    let count = match end {
        End::Client => &frames.client,
        End::Server => &frames.server,
    };
    let counts = count.types.iter();
    counts
        .map(|(name, Frames { frames, bytes })| (&**name, *frames, *bytes))
        .collect()
}

#[test]
fn frames_by_type() {
    let payload = feed_whole(&turns());
    assert_eq!(payload.protocol(), Protocol::Http2);
    assert_eq!(
        counts(&payload, End::Client),
        [("DATA", 2, 300), ("HEADERS", 1, 60), ("SETTINGS", 1, 12)]
    );
    assert_eq!(
        counts(&payload, End::Server),
        [("HEADERS", 1, 5), ("SETTINGS", 2, 0), ("unknown", 1, 1)]
    );
}

#[test]
fn cuts_change_nothing() {
    let whole = feed_whole(&turns());
    for step in [1, 2, 5, 9, 10, 23] {
        let cut = feed_cut(&turns(), |length| (step..length).step_by(step).collect());
        assert_eq!(cut.http2_frames(), whole.http2_frames(), "every {step}");
    }
}

#[test]
fn a_hole_is_marked_unless_one_frame_holds_it() {
    let check = |captured: usize, more: bool, data: (u64, u64)| {
        let mut payload = Payload::default();
        let (from, bytes) = text(End::Client, PREFACE);
        feed_head(&mut payload, 1, from, 0, 24, &bytes);
        let two = [frame(0, 200), frame(0, 100)].concat();
        let length = u32::try_from(two.len()).unwrap();
        feed_head(&mut payload, 2, from, 24, length, &two[..captured]);
        let third = frame(0, 50);
        feed_head(&mut payload, 3, from, 24 + u64::from(length), 59, &third);
        let client = &payload.http2_frames().unwrap().client;
        let count = client.types.get("DATA").copied().unwrap_or_default();
        assert_eq!((client.more, (count.frames, count.bytes)), (more, data));
    };
    check(209 + 109, false, (3, 350));
    check(209 + 20, false, (3, 350));
    check(50, true, (1, 200));
    check(5, true, (0, 0));
}
