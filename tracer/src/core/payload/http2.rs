//! HTTP/2 in clear text with prior knowledge (RFC 9113, section 3.3): its frames are counted by type
//! as far as their headers were captured. Their fields are compressed, and are not read.

use upload_protocol::{
    End,
    timeline::{FrameCount, Http2Frames},
};

use super::stream::NewBytes;

/// Both directions of HTTP/2.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Conversation {
    frames: Http2Frames,
    client: Direction,
    server: Direction,
}

/// One direction.
#[derive(Clone, Debug, PartialEq)]
enum Direction {
    /// In the client's preface: bytes left of it.
    Preface(u64),
    /// In a frame's header: the bytes captured so far.
    Header(Vec<u8>),
    /// In a frame's payload: bytes left of it.
    Payload(u64),
    /// The start of the next frame is unknown.
    Lost,
}

const PREFACE_BYTES: u64 = 24;
const HEADER_BYTES: usize = 9;

impl Default for Direction {
    fn default() -> Self {
        Self::Header(Vec::new())
    }
}

impl Conversation {
    /// Frames, once the client's preface was recognised in `piece`.
    pub(super) fn new(new_bytes: &NewBytes<'_>) -> Self {
        let mut conversation = Self {
            client: Direction::Preface(PREFACE_BYTES.saturating_sub(new_bytes.offset)),
            ..Self::default()
        };
        conversation.feed(new_bytes);
        conversation
    }

    pub(super) const fn frames(&self) -> &Http2Frames {
        &self.frames
    }

    pub(super) fn feed(&mut self, new_bytes: &NewBytes<'_>) {
        let (direction, count) = match new_bytes.from {
            End::Client => (&mut self.client, &mut self.frames.client),
            End::Server => (&mut self.server, &mut self.frames.server),
        };
        direction.skip(new_bytes.gap, count);
        direction.take(new_bytes.bytes, count);
        direction.skip(new_bytes.rest, count);
    }
}

impl Direction {
    fn take(&mut self, mut bytes: &[u8], count: &mut FrameCount) {
        while !bytes.is_empty() {
            match self {
                Self::Lost => return,
                Self::Preface(left) | Self::Payload(left) => {
                    let passed = bytes
                        .len()
                        .min(usize::try_from(*left).unwrap_or(usize::MAX));
                    bytes = bytes.get(passed..).unwrap_or_default();
                    *left -= passed as u64;
                    if *left == 0 {
                        *self = Self::default();
                    }
                }
                Self::Header(header) => {
                    let missing = HEADER_BYTES.saturating_sub(header.len()).min(bytes.len());
                    let (more, rest) = bytes.split_at(missing);
                    header.extend(more);
                    bytes = rest;
                    if let [a, b, c, kind, ..] = header[..]
                        && header.len() == HEADER_BYTES
                    {
                        let length = u64::from(u32::from_be_bytes([0, a, b, c]));
                        let known = count.types.entry(name(kind).into()).or_default();
                        known.frames += 1;
                        known.bytes += length;
                        *self = if length == 0 {
                            Self::default()
                        } else {
                            Self::Payload(length)
                        };
                    }
                }
            }
        }
    }

    fn skip(&mut self, hole: u64, count: &mut FrameCount) {
        if hole == 0 {
            return;
        }
        match self {
            Self::Preface(left) | Self::Payload(left) if *left > hole => *left -= hole,
            Self::Preface(left) | Self::Payload(left) if *left == hole => *self = Self::default(),
            _ => {
                *self = Self::Lost;
                count.more = true;
            }
        }
    }
}

/// The name of a frame type; unknown ones are to be ignored (RFC 9113, section 4.1).
const fn name(kind: u8) -> &'static str {
    match kind {
        0 => "DATA",
        1 => "HEADERS",
        2 => "PRIORITY",
        3 => "RST_STREAM",
        4 => "SETTINGS",
        5 => "PUSH_PROMISE",
        6 => "PING",
        7 => "GOAWAY",
        8 => "WINDOW_UPDATE",
        9 => "CONTINUATION",
        _ => "unknown",
    }
}
