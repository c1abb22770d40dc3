//! Where a body ends (RFC 9112, section 6.3), followed through bytes and holes alike.

use std::mem;

/// After a chunk's data.
const LINE_END: u64 = 2;

/// What is left of a body.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks (RFC 9112, section 7.1).
    Chunked(Chunk),
    /// Of unknown length: up to the end of the connection, or after a hole.
    Open,
}

/// The position within a chunked body.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Chunk {
    /// In the line with its size.
    Size {
        size: u64,
        digits: u8,
        extension: bool,
    },
    /// In a chunk's data and the line end after it: bytes left.
    Content(u64),
    /// In the trailer section: bytes of the current line.
    Trailer(u32),
}

/// Whether a body has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Progress {
    GoesOn,
    Ended,
    Malformed,
}

impl Body {
    pub(super) const fn chunked() -> Self {
        Self::Chunked(Chunk::new())
    }

    /// Takes bytes of it from the front of `bytes`, and returns those of its content.
    pub(super) fn take<'a>(&mut self, bytes: &mut &'a [u8]) -> (Progress, &'a [u8]) {
        match self {
            Self::Length(left) => {
                let content = skip(left, bytes);
                (ended(*left == 0), content)
            }
            Self::Open => (Progress::GoesOn, mem::take(bytes)),
            Self::Chunked(chunk) => {
                let (progress, content) = chunk.take(bytes);
                if progress == Progress::Malformed {
                    *self = Self::Open;
                }
                (progress, content)
            }
        }
    }

    /// Takes its bytes from a hole, and returns how many of them were content.
    pub(super) fn skip(&mut self, hole: &mut u64) -> (Progress, u64) {
        let mut content = 0;
        if let Self::Length(left) | Self::Chunked(Chunk::Content(left)) = self {
            let skipped = (*left).min(*hole);
            *left -= skipped;
            *hole -= skipped;
            content = skipped;
        }
        match self {
            Self::Length(left) => return (ended(*left == 0), content),
            Self::Chunked(Chunk::Content(left)) => {
                // The line end after the data is none of it.
                content = content.saturating_sub(LINE_END.saturating_sub(*left));
                if *left == 0 {
                    *self = Self::chunked();
                }
            }
            Self::Chunked(_) | Self::Open => {}
        }
        if *hole > 0 && !matches!(self, Self::Chunked(Chunk::Content(_))) {
            *self = Self::Open;
            *hole = 0;
        }
        (Progress::GoesOn, content)
    }
}

impl Chunk {
    const fn new() -> Self {
        Self::Size {
            size: 0,
            digits: 0,
            extension: false,
        }
    }

    fn take<'a>(&mut self, bytes: &mut &'a [u8]) -> (Progress, &'a [u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            match self {
                Self::Content(left) => {
                    let data = usize::try_from(left.saturating_sub(LINE_END));
                    let taken = skip(left, bytes);
                    if *left == 0 {
                        *self = Self::new();
                    }
                    let data = taken.len().min(data.unwrap_or(usize::MAX));
                    return (Progress::GoesOn, taken.get(..data).unwrap_or_default());
                }
                Self::Size { .. } => {
                    if !self.size_byte(*first) {
                        return (Progress::Malformed, &[]);
                    }
                }
                Self::Trailer(length) => match first {
                    b'\n' if mem::take(length) == 0 => {
                        *bytes = rest;
                        return (Progress::Ended, &[]);
                    }
                    b'\n' | b'\r' => {}
                    _ => *length = length.saturating_add(1),
                },
            }
            *bytes = rest;
        }
        (Progress::GoesOn, &[])
    }

    /// Takes a byte of the line with the size; false if it is invalid there.
    fn size_byte(&mut self, byte: u8) -> bool {
        let Self::Size {
            size,
            digits,
            extension,
        } = self
        else {
            return false;
        };
        let digit = char::from(byte).to_digit(16);
        match (byte, digit) {
            (b'\n', _) if *digits > 0 => {
                *self = match *size {
                    0 => Self::Trailer(0),
                    size => Self::Content(size.saturating_add(LINE_END)),
                };
            }
            (_, Some(digit)) if !*extension && *digits < 16 => {
                *size = *size << 4 | u64::from(digit);
                *digits += 1;
            }
            (b';' | b' ' | b'\t' | b'\r', _) if *digits > 0 => *extension = true,
            (b' '..=b'~' | b'\t' | 0x80.., _) if *extension => {}
            _ => return false,
        }
        true
    }
}

const fn ended(ended: bool) -> Progress {
    if ended {
        Progress::Ended
    } else {
        Progress::GoesOn
    }
}

/// Takes up to `left` bytes from the front of `bytes`.
fn skip<'a>(left: &mut u64, bytes: &mut &'a [u8]) -> &'a [u8] {
    let most = usize::try_from(*left).unwrap_or(usize::MAX);
    let (front, rest) = bytes.split_at(most.min(bytes.len()));
    *left -= front.len() as u64;
    *bytes = rest;
    front
}
