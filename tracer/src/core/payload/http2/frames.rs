//! Where each frame begins and ends (RFC 9113, section 4.1), followed through bytes and holes alike.

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Of its payload.
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITY: u8 = 0x20;

/// What passes of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Event<'a> {
    /// Its header.
    Begin(Frame),
    /// The next bytes of its payload.
    Bytes(Frame, &'a [u8]),
    /// So many bytes of its payload that were not captured.
    Hole(Frame, u64),
    /// All of its payload has passed.
    End(Frame),
    /// The start of the next frame is unknown.
    Lost,
}

/// The position in one direction.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reader {
    /// In the client's preface: bytes left of it.
    Preface(u64),
    /// In a frame's header: the bytes captured so far.
    Header(Vec<u8>),
    /// In a frame's payload: bytes left of it.
    Payload(Frame, u64),
    /// The start of the next frame is unknown.
    Lost,
}

const HEADER_BYTES: usize = 9;

impl Default for Reader {
    fn default() -> Self {
        Self::Header(Vec::new())
    }
}

impl Reader {
    /// Frames begin after so many bytes.
    pub(super) fn after(preface: u64) -> Self {
        match preface {
            0 => Self::default(),
            left => Self::Preface(left),
        }
    }

    /// Takes bytes from the front of `bytes`, up to the next event.
    pub(super) fn take<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Event<'a>> {
        loop {
            match self {
                Self::Payload(frame, 0) => {
                    let frame = *frame;
                    *self = Self::default();
                    return Some(Event::End(frame));
                }
                _ if bytes.is_empty() => return None,
                Self::Lost => {
                    *bytes = &[];
                    return None;
                }
                Self::Preface(left) => {
                    front(left, bytes);
                    if *left == 0 {
                        *self = Self::default();
                    }
                }
                Self::Payload(frame, left) => {
                    let frame = *frame;
                    return Some(Event::Bytes(frame, front(left, bytes)));
                }
                Self::Header(header) => {
                    let mut missing = HEADER_BYTES.saturating_sub(header.len()) as u64;
                    header.extend_from_slice(front(&mut missing, bytes));
                    if let Some(frame) = Frame::read(header) {
                        *self = Self::Payload(frame, frame.length.into());
                        return Some(Event::Begin(frame));
                    }
                }
            }
        }
    }

    /// Takes bytes that were not captured, up to the next event.
    pub(super) fn skip(&mut self, hole: &mut u64) -> Option<Event<'static>> {
        loop {
            match self {
                Self::Payload(frame, 0) => {
                    let frame = *frame;
                    *self = Self::default();
                    return Some(Event::End(frame));
                }
                _ if *hole == 0 => return None,
                Self::Preface(left) => {
                    let skipped = (*left).min(*hole);
                    *left -= skipped;
                    *hole -= skipped;
                    if *left == 0 {
                        *self = Self::default();
                    }
                }
                Self::Payload(frame, left) => {
                    let skipped = (*left).min(*hole);
                    *left -= skipped;
                    *hole -= skipped;
                    return Some(Event::Hole(*frame, skipped));
                }
                Self::Header(_) | Self::Lost => {
                    *self = Self::Lost;
                    *hole = 0;
                    return Some(Event::Lost);
                }
            }
        }
    }
}

impl Frame {
    /// Reads a header.
    pub(super) fn read(header: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = header.first_chunk::<HEADER_BYTES>()?;
        Some(Self {
            length: u32::from_be_bytes([0, *a, *b, *c]),
            kind: *kind,
            flags: *flags,
            // The first bit is reserved.
            stream: u32::from_be_bytes(*stream) & 0x7fff_ffff,
        })
    }

    pub(super) const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The name of its type; unknown ones are to be ignored (RFC 9113, section 4.1).
    pub(super) const fn name(self) -> &'static str {
        match self.kind {
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
}

/// Takes up to `left` bytes from the front.
fn front<'a>(left: &mut u64, bytes: &mut &'a [u8]) -> &'a [u8] {
    let most = usize::try_from(*left).unwrap_or(usize::MAX);
    let (front, rest) = bytes.split_at(most.min(bytes.len()));
    *left -= front.len() as u64;
    *bytes = rest;
    front
}
