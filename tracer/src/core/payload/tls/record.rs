//! The record layer of one direction: record headers and contents (RFC 8446, section 5.1). After a hole
//! over a header it waits for a segment that begins with one.

use upload_protocol::timeline::ContentType;

use super::names;

const HEADER: usize = 5;

/// A record's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// When its first byte was sent.
    pub(super) mono_ns: u64,
    pub(super) content_type: u8,
    pub(super) version: u16,
    pub(super) length: u16,
}

/// What comes next in a stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event<'a> {
    /// A record begins.
    Header(Header),
    /// Bytes of its content.
    Content(&'a [u8]),
    /// This many bytes of its content were not captured.
    Hole(u64),
    /// The next header lay in a hole.
    Lost,
    /// Not a record.
    NoRecord,
    /// A record longer than one may be.
    TooLong(Header),
}

/// The position of a stream within its records.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Records {
    /// In a header: its bytes so far, and when it began.
    Header(Vec<u8>, u64),
    /// In a content: bytes left.
    Content(u64),
    /// After a hole.
    Lost,
    /// After a malformed record.
    Stopped,
}

impl Records {
    pub(super) const fn new() -> Self {
        Self::Header(Vec::new(), 0)
    }

    /// Resumes if a segment begins with a record.
    pub(super) fn resume(&mut self, segment: &[u8]) {
        if *self == Self::Lost && looks_like_record(segment) {
            *self = Self::new();
        }
    }

    /// Takes from `bytes` up to the next event; `most` is the longest record there may be.
    pub(super) fn next<'a>(
        &mut self,
        mono_ns: u64,
        bytes: &mut &'a [u8],
        most: u16,
    ) -> Option<Event<'a>> {
        match self {
            Self::Header(header, began_ns) => {
                if header.is_empty() {
                    *began_ns = mono_ns;
                }
                header.extend_from_slice(split(bytes, HEADER - header.len()));
                let event = header_event(header, *began_ns, most)?;
                *self = match event {
                    Event::Header(header) if header.length == 0 => Self::new(),
                    Event::Header(header) => Self::Content(u64::from(header.length)),
                    _ => Self::Stopped,
                };
                Some(event)
            }
            Self::Content(left) => {
                let content = split(bytes, usize::try_from(*left).unwrap_or(usize::MAX));
                if content.is_empty() {
                    return None;
                }
                *left -= content.len() as u64;
                if *left == 0 {
                    *self = Self::new();
                }
                Some(Event::Content(content))
            }
            Self::Lost | Self::Stopped => None,
        }
    }

    /// Takes from a hole up to the next event.
    pub(super) fn skip(&mut self, hole: &mut u64) -> Option<Event<'static>> {
        if *hole == 0 {
            return None;
        }
        match self {
            Self::Content(left) => {
                let skipped = (*left).min(*hole);
                *left -= skipped;
                *hole -= skipped;
                if *left == 0 {
                    *self = Self::new();
                }
                Some(Event::Hole(skipped))
            }
            Self::Header(..) => {
                *self = Self::Lost;
                Some(Event::Lost)
            }
            Self::Lost | Self::Stopped => None,
        }
    }
}

/// Whether a segment begins with a record's header. One in five million random segments does.
pub(in crate::core::payload) fn looks_like_record(segment: &[u8]) -> bool {
    matches!(*segment, [20..=23, 3, 1..=3, high, low, ..]
        if (1..=super::LONGEST).contains(&u16::from_be_bytes([high, low])))
}

/// Reads a header; `None` if more bytes are needed.
fn header_event(header: &[u8], mono_ns: u64, most: u16) -> Option<Event<'static>> {
    let known = header
        .first()
        .is_none_or(|content_type| names::content_type(*content_type) != ContentType::Unknown);
    let major = header.get(1).is_none_or(|major| *major == 3);
    let minor = header.get(2).is_none_or(|minor| *minor <= 4);
    if !(known && major && minor) {
        return Some(Event::NoRecord);
    }
    let &[content_type, major, minor, high, low] = header else {
        return None;
    };
    let header = Header {
        mono_ns,
        content_type,
        version: u16::from_be_bytes([major, minor]),
        length: u16::from_be_bytes([high, low]),
    };
    Some(if header.length > most {
        Event::TooLong(header)
    } else {
        Event::Header(header)
    })
}

/// Splits at most `most` bytes off the front.
fn split<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (front, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    front
}
