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
        assert_eq!(cut.stream_window(), whole.stream_window(), "every {step}");
    }
}

/// SETTINGS with these (RFC 9113, section 6.5.1).
fn settings(flags: u8, settings: &[(u16, u32)]) -> Vec<u8> {
    let length = u8::try_from(settings.len() * 6).unwrap();
    let mut bytes = vec![0, 0, length, 4, flags, 0, 0, 0, 0];
    for (identifier, value) in settings {
        bytes.extend(identifier.to_be_bytes());
        bytes.extend(value.to_be_bytes());
    }
    bytes
}

#[test]
fn the_server_s_settings_have_the_window_of_a_stream() {
    let check = |server: &[Vec<u8>], expected: Option<u32>| {
        let client = [PREFACE.as_bytes(), &settings(0, &[(4, 1)])].concat();
        let turns = [(End::Client, client), (End::Server, server.concat())];
        assert_eq!(feed_whole(&turns).stream_window(), expected);
        let cut = feed_cut(&turns, |length| (1..length).collect());
        assert_eq!(cut.stream_window(), expected);
    };
    check(
        &[settings(0, &[(3, 128), (4, 65_536), (5, 1 << 20)])],
        Some(65_536),
    );
    check(
        &[settings(0, &[(4, 1)]), frame(1, 5), settings(0, &[(4, 2)])],
        Some(2),
    );
    check(&[settings(0, &[(4, 7)]), settings(0, &[(3, 1)])], Some(7));
    check(&[settings(0, &[(3, 128)])], Some(65_535));
    check(&[settings(0, &[])], Some(65_535));
    // An acknowledgment announces nothing.
    check(&[settings(1, &[]), frame(1, 5)], None);
}

#[test]
fn settings_in_a_hole_are_unknown() {
    let mut payload = Payload::default();
    let (from, bytes) = text(End::Client, PREFACE);
    feed_head(&mut payload, 1, from, 0, 24, &bytes);
    let sent = [settings(0, &[(4, 65_536)]), frame(1, 5)].concat();
    let length = u32::try_from(sent.len()).unwrap();
    feed_head(&mut payload, 2, End::Server, 0, length, &sent[..12]);
    assert_eq!(payload.stream_window(), None);
    feed_head(
        &mut payload,
        3,
        End::Server,
        length.into(),
        14,
        &frame(1, 5),
    );
    assert_eq!(counts(&payload, End::Server), [("SETTINGS", 1, 6)]);
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
