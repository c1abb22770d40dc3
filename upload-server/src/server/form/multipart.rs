//! The grammar of `multipart/form-data` (RFC 2046, 5.1; RFC 7578): bytes in, events out, no I/O. A form
//! without its end, or with bytes that may belong to a file or not, is an error: never a shorter file.

use std::mem;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue},
};
use bytes::Buf;
use memchr::memmem::{Finder, find};

/// The longest header of a part.
const MAX_HEAD: usize = 16 * 1024;

/// The most fields in the header of a part.
const MAX_FIELDS: usize = 128;

/// The most bytes around a file: headers of parts, and fields that are not files.
const MAX_OVERHEAD: usize = 1024 * 1024;

/// The most white space behind a boundary.
const MAX_PADDING: usize = 1024;

const LINE_END: &[u8] = b"\r\n";

/// Reads a form: give it all bytes with [`Self::push`], and take the events with [`Self::next`].
pub(super) struct Multipart {
    /// A line end, two hyphens and the boundary.
    delimiter: Finder<'static>,
    buffer: Bytes,
    state: State,
    /// No bytes follow those in the buffer.
    ended: bool,
    /// How many bytes arrived since the last ones of a file.
    overhead: usize,
}

#[derive(Clone, Copy)]
enum State {
    Preamble,
    /// Behind a delimiter, within its line.
    Delimiter {
        ends_part: bool,
    },
    /// The buffer begins with the line end before the header's first line.
    Head,
    /// The buffer begins with the line end before the content.
    ContentStart,
    Content,
    Epilogue,
}

#[derive(Debug)]
pub(super) enum Event {
    NeedsBytes,
    /// A part begins with this header.
    Part(HeaderMap),
    /// Bytes of the part.
    Content(Bytes),
    /// The part is whole.
    PartEnd,
    /// The form is whole.
    End,
}

/// Why bytes are not a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the form breaks off: its final boundary is missing")]
    Unfinished,
    #[error("the form has no part: its boundary is not the one in the field Content-Type")]
    NoBoundary,
    #[error("a line of the form begins with the boundary, and goes on")]
    LongBoundary,
    #[error("more parts follow the form's final boundary")]
    AfterEnd,
    #[error("the lines around and above the parts of a form must end with CR and LF")]
    LineEnd,
    #[error("the header of a part is longer than 16 KiB")]
    LongHead,
    #[error("the header of a part has more than 128 fields")]
    ManyFields,
    #[error("the header of a part has a line that is not a field")]
    Field,
    #[error("the form has more than 1 MiB besides its files: a file needs a filename")]
    Overhead,
}

impl Multipart {
    pub(super) fn new(boundary: &[u8]) -> Self {
        let delimiter = [b"\r\n--", boundary].concat();
        Self {
            delimiter: Finder::new(&delimiter).into_owned(),
            // The first delimiter needs no line end of its own.
            buffer: Bytes::from_static(LINE_END),
            state: State::Preamble,
            ended: false,
            overhead: 0,
        }
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        if self.buffer.is_empty() {
            self.buffer = bytes;
        } else {
            self.buffer = [&self.buffer[..], &bytes[..]].concat().into();
        }
    }

    /// No more bytes follow.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Counts bytes that belong to no file.
    pub(super) fn count_overhead(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.overhead += bytes;
        if self.overhead > MAX_OVERHEAD {
            return Err(Malformed::Overhead);
        }
        Ok(())
    }

    /// The current part is a file.
    pub(super) fn begin_file(&mut self) {
        self.overhead = 0;
    }

    pub(super) fn next(&mut self) -> Result<Event, Malformed> {
        loop {
            let event = match self.state {
                State::Preamble => self.preamble()?,
                State::Delimiter { ends_part } => self.delimiter_line(ends_part)?,
                State::Head => Some(self.head()?),
                State::ContentStart => self.content_start()?,
                State::Content => self.content()?,
                State::Epilogue => Some(self.epilogue()?),
            };
            if let Some(event) = event {
                return Ok(event);
            }
        }
    }

    fn preamble(&mut self) -> Result<Option<Event>, Malformed> {
        let found = self.delimiter.find(&self.buffer);
        let skipped = found.unwrap_or_else(|| self.decided());
        self.count_overhead(skipped)?;
        self.buffer.advance(skipped);
        if found.is_some() {
            self.pass_delimiter(false);
            return Ok(None);
        }
        self.needs_bytes(Malformed::NoBoundary).map(Some)
    }

    /// The rest of a delimiter's line: two hyphens in the final one, and white space.
    fn delimiter_line(&mut self, ends_part: bool) -> Result<Option<Event>, Malformed> {
        let final_line = self.buffer.strip_prefix(b"--");
        let line = final_line.unwrap_or(&self.buffer);
        let padding = line.iter().take_while(|byte| is_space(**byte)).count();
        let rest = line.get(padding..).unwrap_or_default();
        let read = self.buffer.len() - rest.len();
        let is_final = final_line.is_some();
        let at_end = is_final && self.ended && LINE_END.starts_with(rest);
        if padding > MAX_PADDING {
            return Err(Malformed::LongBoundary);
        }
        if rest.starts_with(LINE_END) || at_end {
            self.count_overhead(read)?;
            self.buffer.advance(read);
            self.state = if is_final {
                State::Epilogue
            } else {
                State::Head
            };
            return Ok(ends_part.then_some(Event::PartEnd));
        }
        if LINE_END.starts_with(rest) || self.buffer == b"-"[..] {
            return self.needs_bytes(Malformed::Unfinished).map(Some);
        }
        Err(match rest.first() {
            Some(b'\n') => Malformed::LineEnd,
            _ => Malformed::LongBoundary,
        })
    }

    fn head(&mut self) -> Result<Event, Malformed> {
        let end = find(&self.buffer, b"\r\n\r\n");
        if end.unwrap_or(self.buffer.len()) > MAX_HEAD {
            return Err(Malformed::LongHead);
        }
        let Some(end) = end else {
            return self.needs_bytes(Malformed::Unfinished);
        };
        self.count_overhead(end)?;
        let lines = self.buffer.split_to(end);
        // The line end that remains ends the header, and may begin a delimiter.
        self.buffer.advance(LINE_END.len());
        self.state = State::ContentStart;
        let lines = lines.strip_prefix(LINE_END).unwrap_or_default();
        fields(lines).map(Event::Part)
    }

    fn content_start(&mut self) -> Result<Option<Event>, Malformed> {
        let delimiter = self.delimiter.needle();
        if self.buffer.starts_with(delimiter) {
            self.pass_delimiter(true);
        } else if delimiter.starts_with(&self.buffer) && !self.ended {
            return Ok(Some(Event::NeedsBytes));
        } else {
            self.buffer.advance(LINE_END.len());
            self.state = State::Content;
        }
        Ok(None)
    }

    fn content(&mut self) -> Result<Option<Event>, Malformed> {
        let found = self.delimiter.find(&self.buffer);
        let content = found.unwrap_or_else(|| self.decided());
        if content > 0 {
            return Ok(Some(Event::Content(self.buffer.split_to(content))));
        }
        if found.is_some() {
            self.pass_delimiter(true);
            return Ok(None);
        }
        self.needs_bytes(Malformed::Unfinished).map(Some)
    }

    /// Bytes behind the form mean nothing (RFC 2046, 5.1.1), unless they are further parts.
    fn epilogue(&mut self) -> Result<Event, Malformed> {
        if self.delimiter.find(&self.buffer).is_some() {
            return Err(Malformed::AfterEnd);
        }
        let skipped = self.decided();
        self.count_overhead(skipped)?;
        self.buffer.advance(skipped);
        Ok(if self.ended {
            Event::End
        } else {
            Event::NeedsBytes
        })
    }

    fn pass_delimiter(&mut self, ends_part: bool) {
        self.buffer.advance(self.delimiter.needle().len());
        self.state = State::Delimiter { ends_part };
    }

    /// How many bytes precede those at the end that may begin a delimiter.
    fn decided(&self) -> usize {
        let delimiter = self.delimiter.needle();
        let first = self.buffer.len().saturating_sub(delimiter.len() - 1);
        let begins = |at: &usize| {
            let tail = self.buffer.get(*at..);
            tail.is_some_and(|tail| delimiter.starts_with(tail))
        };
        let mut places = first..self.buffer.len();
        places.find(begins).unwrap_or(self.buffer.len())
    }

    fn needs_bytes(&self, missing: Malformed) -> Result<Event, Malformed> {
        if self.ended {
            Err(missing)
        } else {
            Ok(Event::NeedsBytes)
        }
    }
}

/// The fields of a header. A line that begins with white space continues the field before it.
fn fields(mut lines: &[u8]) -> Result<HeaderMap, Malformed> {
    let mut fields = HeaderMap::new();
    let mut field = Vec::new();
    while !lines.is_empty() {
        let end = find(lines, LINE_END).unwrap_or(lines.len());
        let (line, rest) = lines.split_at(end);
        lines = rest.strip_prefix(LINE_END).unwrap_or_default();
        if line.contains(&b'\r') || line.contains(&b'\n') {
            return Err(Malformed::LineEnd);
        }
        if !line.first().copied().is_some_and(is_space) {
            append(&mut fields, &mem::replace(&mut field, line.to_vec()))?;
        } else if field.is_empty() {
            return Err(Malformed::Field);
        } else {
            field.push(b' ');
            field.extend(line.trim_ascii());
        }
    }
    append(&mut fields, &field)?;
    Ok(fields)
}

fn append(fields: &mut HeaderMap, field: &[u8]) -> Result<(), Malformed> {
    if field.is_empty() {
        return Ok(());
    }
    if fields.len() == MAX_FIELDS {
        return Err(Malformed::ManyFields);
    }
    let colon = field.iter().position(|byte| *byte == b':');
    let (name, value) = field.split_at(colon.ok_or(Malformed::Field)?);
    let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
    let name = HeaderName::from_bytes(name.trim_ascii_end()).map_err(|_| Malformed::Field)?;
    let value = HeaderValue::from_bytes(value).map_err(|_| Malformed::Field)?;
    let appended = fields.try_append(name, value);
    appended.map(drop).map_err(|_| Malformed::Field)
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

#[cfg(test)]
mod tests;
