//! What one end sends: its field blocks, put together of their frames (RFC 9113, sections 6.2, 6.6 and 6.10), and the
//! content in DATA, without padding (section 6.1).

use super::super::{
    fields::{Decoder, Unreadable},
    frames::{
        CONTINUATION, END_HEADERS, END_STREAM, Event, Frame, HEADERS, PADDED, PRIORITY,
        PUSH_PROMISE,
    },
};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sender {
    /// `None` once a block was not read.
    decoder: Option<Decoder>,
    /// The block that has begun.
    open: Option<Block>,
    /// The payload of the frame of it that passes.
    payload: Vec<u8>,
    /// Bytes of content left in the frame of DATA that passes; `None` as long as its padding is unknown.
    content_left: Option<u64>,
}

/// A field block.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub(super) stream: u32,
    pub(super) start_ns: u64,
    pub(super) ends_stream: bool,
    /// Whether it is the request of a response that is pushed.
    pub(super) is_promise: bool,
    /// `None` if some of it was not captured, or it is too long.
    bytes: Option<Vec<u8>>,
}

/// Servers take 8 to 64 KiB.
const MAX_BLOCK_BYTES: usize = 64 << 10;
const PRIORITY_BYTES: usize = 5;
const PROMISED_STREAM_BYTES: usize = 4;

impl Default for Sender {
    fn default() -> Self {
        Self {
            decoder: Some(Decoder::default()),
            open: None,
            payload: Vec::new(),
            content_left: None,
        }
    }
}

impl Sender {
    /// Some of its frames were not captured.
    pub(super) fn lose_fields(&mut self) {
        self.decoder = None;
        self.open = None;
        self.payload = Vec::new();
    }

    /// Reads a block's fields. An error without a reason if it, or one before it, was not captured.
    pub(super) fn read(
        &mut self,
        block: &Block,
        to: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Option<Unreadable>> {
        let decoder = self.decoder.as_mut().ok_or(None)?;
        let read = match &block.bytes {
            Some(bytes) => decoder.read(bytes, to).map_err(Some),
            None => Err(None),
        };
        if read.is_err() {
            self.decoder = None;
        }
        read
    }

    /// The block that ends with this event, if any.
    pub(super) fn block(&mut self, mono_ns: Option<u64>, event: Event<'_>) -> Option<Block> {
        match event {
            Event::Begin(frame) => {
                self.payload.clear();
                match frame.kind {
                    HEADERS | PUSH_PROMISE => {
                        self.open = Some(Block {
                            stream: frame.stream,
                            start_ns: mono_ns.unwrap_or_default(),
                            ends_stream: frame.kind == HEADERS && frame.has(END_STREAM),
                            is_promise: frame.kind == PUSH_PROMISE,
                            bytes: Some(Vec::new()),
                        });
                    }
                    CONTINUATION => {}
                    // Nothing may come between the frames of a block (RFC 9113, section 4.3).
                    _ => self.open = None,
                }
                None
            }
            Event::Bytes(_, bytes) => {
                let open = self.open.as_mut()?;
                let known = open.bytes.as_ref().map_or(0, Vec::len);
                if known + self.payload.len() + bytes.len() > MAX_BLOCK_BYTES {
                    open.bytes = None;
                    self.payload = Vec::new();
                } else if open.bytes.is_some() {
                    self.payload.extend_from_slice(bytes);
                }
                None
            }
            Event::Hole(..) => {
                self.open.as_mut()?.bytes = None;
                None
            }
            Event::End(frame) => {
                let open = self.open.as_mut()?;
                match (&mut open.bytes, fragment(frame, &self.payload)) {
                    (Some(bytes), Some(fragment)) => bytes.extend_from_slice(fragment),
                    _ => open.bytes = None,
                }
                self.payload = Vec::new();
                let is_over = frame.has(END_HEADERS);
                self.open.take_if(|_| is_over)
            }
            Event::Lost => None,
        }
    }

    /// The content among these bytes of DATA, and how much of it is in a hole.
    pub(super) fn content<'a>(&mut self, event: Event<'a>) -> (&'a [u8], u64) {
        match event {
            Event::Begin(frame) => {
                let length = u64::from(frame.length);
                self.content_left = (!frame.has(PADDED)).then_some(length);
                (&[], 0)
            }
            Event::Bytes(frame, bytes) => {
                let (left, bytes) = match (self.content_left, bytes.split_first()) {
                    (None, Some((padding, rest))) => {
                        let around = u64::from(*padding) + 1;
                        (u64::from(frame.length).saturating_sub(around), rest)
                    }
                    (left, _) => (left.unwrap_or_default(), bytes),
                };
                let most = usize::try_from(left).unwrap_or(usize::MAX);
                let content = bytes.get(..most).unwrap_or(bytes);
                self.content_left = Some(left - content.len() as u64);
                (content, 0)
            }
            Event::Hole(frame, hole) => {
                // If the length of the padding is in the hole, all is content but that length.
                let all = u64::from(frame.length.saturating_sub(1));
                let left = self.content_left.unwrap_or(all);
                let content = left.min(hole);
                self.content_left = Some(left - content);
                (&[], content)
            }
            Event::End(_) | Event::Lost => (&[], 0),
        }
    }
}

/// The piece of a block in a frame's payload.
fn fragment(frame: Frame, payload: &[u8]) -> Option<&[u8]> {
    let mut payload = payload;
    if frame.kind == CONTINUATION {
        return Some(payload);
    }
    if frame.has(PADDED) {
        let (padding, rest) = payload.split_first()?;
        let length = rest.len().checked_sub(usize::from(*padding))?;
        payload = rest.get(..length)?;
    }
    match frame.kind {
        HEADERS if frame.has(PRIORITY) => payload.get(PRIORITY_BYTES..),
        HEADERS => Some(payload),
        PUSH_PROMISE => payload.get(PROMISED_STREAM_BYTES..),
        _ => None,
    }
}
