//! The head of a request or a response: its start line and its fields (RFC 9112, sections 2 to 5).

use std::{borrow::Cow, mem};

use httparse::{EMPTY_HEADER, Request, Response, Status};
use upload_protocol::{End, timeline::Defect};

use super::{body::Body, form};
use crate::core::payload::Marks;

/// A head that has not ended. Keeps its start line, its present line, and the fields that matter.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Head {
    /// When its first byte was sent.
    pub(super) start_ns: u64,
    /// Where in the stream that is.
    pub(super) offset: u64,
    /// Empty as long as it has not ended.
    start_line: Vec<u8>,
    /// The bytes of the present line.
    line: Vec<u8>,
    /// The line before it, if that may go on in it.
    field: Vec<u8>,
    /// The fields of the lines before it.
    pub(super) fields: Fields,
    /// The first defect among those lines.
    pub(super) defect: Option<Defect>,
    /// How many bytes were taken.
    length: usize,
}

/// The progress that new bytes made in a head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found {
    /// Nothing yet.
    More,
    /// Its start line is complete.
    StartLine,
    /// It is complete.
    End,
    /// It is longer than [`MAX_BYTES`].
    TooLong,
    /// A byte that no head has.
    NoHead,
}

/// A start line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum StartLine {
    Request {
        method: Cow<'static, str>,
        target: String,
        version: &'static str,
    },
    Response {
        status: u16,
    },
}

/// The fields that matter here.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields {
    /// Whether the length of the body is ambiguous: no server accepts that.
    pub(super) is_ambiguous: bool,
    pub(super) content_length: Option<u64>,
    pub(super) transfer_encoding: bool,
    pub(super) chunked: bool,
    pub(super) expect_continue: bool,
    /// Whether HTTP/2 in clear text is offered or taken up (RFC 7540, section 3.2).
    pub(super) upgrades_to_h2c: bool,
    /// The boundary between the parts of a form.
    pub(super) boundary: Option<Box<[u8]>>,
    /// What tells the request apart from others.
    pub(super) marks: Option<Box<Marks>>,
}

/// As many as servers take, and as the programs capture.
const MAX_BYTES: usize = tracer_ebpf::head::MAX_HEAD as usize;
const MAX_METHOD: usize = 32;
pub(in crate::core::payload) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// Whether a segment begins with a start line, or with as much of a request's as has its method and the begin of
/// its target: a target may be longer than a segment.
pub(in crate::core::payload) fn looks_like_head(from: End, segment: &[u8]) -> bool {
    let mut head = Head::default();
    let mut bytes = segment;
    match head.take(0, 0, &mut bytes) {
        Found::StartLine => head.start_line(from).is_some(),
        Found::More => from == End::Client && head.begins_with_target(),
        Found::End | Found::TooLong | Found::NoHead => false,
    }
}

impl Head {
    /// Takes its bytes from the front of `bytes`, up to the next thing found.
    pub(super) fn take(&mut self, mono_ns: u64, offset: u64, bytes: &mut &[u8]) -> Found {
        if self.length == 0 {
            let is_line_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
            let empty_lines = bytes.iter().take_while(is_line_end).count();
            *bytes = bytes.split_at(empty_lines).1;
            self.start_ns = mono_ns;
            self.offset = offset.saturating_add(empty_lines as u64);
        }
        while !bytes.is_empty() {
            let stop = bytes.iter().position(|byte| ends_text(*byte));
            let (part, rest) = bytes.split_at(stop.map_or(bytes.len(), |at| at + 1));
            *bytes = rest;
            self.length += part.len();
            if self.length > MAX_BYTES {
                return Found::TooLong;
            }
            self.line.extend_from_slice(part);
            let has_ended = part.ends_with(b"\n");
            let is_text = has_ended || stop.is_none();
            if !is_text || self.lacks_method() {
                return Found::NoHead;
            }
            if !has_ended {
                break;
            }
            if !self.has_started() {
                self.start_line = mem::take(&mut self.line);
                return Found::StartLine;
            }
            if matches!(&self.line[..], b"\n" | b"\r\n") {
                self.take_field();
                return Found::End;
            }
            self.take_line();
        }
        Found::More
    }

    /// Takes the present line, which has ended. A line that begins with a blank goes on with the field before it,
    /// which no sender should have it do (RFC 9112, section 5.2).
    fn take_line(&mut self) {
        let goes_on = matches!(self.line.first(), Some(b' ' | b'\t'));
        if goes_on && !self.field.is_empty() {
            self.defect.get_or_insert(Defect::HttpFieldMalformed);
            let length = self.field.trim_ascii_end().len();
            self.field.truncate(length);
        } else {
            self.take_field();
        }
        self.field.append(&mut self.line);
    }

    /// Reads the field in the line before the present one.
    pub(super) fn take_field(&mut self) {
        if self.field.is_empty() {
            return;
        }
        if let Err(defect) = self.fields.read_line(&mut self.field) {
            self.defect.get_or_insert(defect);
        }
        self.field.clear();
    }

    /// Whether its start line has ended.
    pub(super) const fn has_started(&self) -> bool {
        !self.start_line.is_empty()
    }

    /// Whether it does not begin with a word short enough for a method or a version.
    fn lacks_method(&self) -> bool {
        let lacks_blank = |first: &[u8]| !first.contains(&b' ');
        !self.has_started() && self.line.get(..=MAX_METHOD).is_some_and(lacks_blank)
    }

    /// Whether it is the preface of HTTP/2 (RFC 9113, section 3.4).
    pub(super) fn is_preface(&self) -> bool {
        self.start_line == PREFACE
    }

    /// Whether it began like HTTP/1.x, whatever follows.
    pub(super) fn begins_like_http(&self, from: End) -> bool {
        let line = if self.has_started() {
            &self.start_line
        } else {
            &self.line
        };
        match from {
            End::Server => line.starts_with(b"HTTP/1."),
            End::Client if self.has_started() => line.windows(7).any(|part| part == b" HTTP/1"),
            End::Client => METHODS.iter().any(|method| {
                let rest = line.strip_prefix(method.as_bytes());
                rest.is_some_and(|rest| rest.starts_with(b" "))
            }),
        }
    }

    /// Whether it begins with a method and a path or a URI.
    fn begins_with_target(&self) -> bool {
        METHODS.iter().any(|method| {
            let rest = self.line.strip_prefix(method.as_bytes());
            let target = rest.and_then(|rest| rest.strip_prefix(b" "));
            target.is_some_and(|target| target.starts_with(b"/") || target.starts_with(b"http"))
        })
    }

    /// Its start line, once that has ended.
    pub(super) fn start_text(&self) -> String {
        escape(self.start_line.trim_ascii_end())
    }

    /// Reads its start line, once that has ended.
    pub(super) fn start_line(&self, from: End) -> Option<StartLine> {
        // Without fields httparse returns `Status::Partial`, which is no error.
        let line = &self.start_line;
        match from {
            End::Client => {
                let mut request = Request::new(&mut []);
                request.parse(line).ok()?;
                Some(StartLine::Request {
                    method: method(request.method?),
                    target: escape(request.path?.as_bytes()),
                    version: version(request.version)?,
                })
            }
            End::Server => {
                let mut response = Response::new(&mut []);
                response.parse(line).ok()?;
                version(response.version)?;
                Some(StartLine::Response {
                    status: response.code?,
                })
            }
        }
    }
}

impl Fields {
    /// Reads a line that has ended.
    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<(), Defect> {
        // httparse takes a whole section: this field and a blank line.
        line.extend_from_slice(b"\r\n");
        let mut headers = [EMPTY_HEADER];
        match httparse::parse_headers(line, &mut headers) {
            Ok(Status::Complete((_, [header]))) => self.read(header.name, header.value),
            _ => Err(Defect::HttpFieldMalformed),
        }
    }

    fn read(&mut self, name: &str, value: &[u8]) -> Result<(), Defect> {
        if name.eq_ignore_ascii_case("content-length") {
            for number in value.split(|byte| *byte == b',') {
                let Some(length) = decimal(number.trim_ascii()) else {
                    self.is_ambiguous = true;
                    return Err(Defect::HttpContentLengthNotANumber);
                };
                if self.content_length.is_some_and(|known| known != length) {
                    self.is_ambiguous = true;
                    return Err(Defect::HttpContentLengthsDiffer);
                }
                self.content_length = Some(length);
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            // Elements of a list may be empty (RFC 9110, section 5.6.1).
            let mut codings = value.rsplit(|byte| *byte == b',');
            let last = codings.find(|coding| !coding.trim_ascii().is_empty());
            self.transfer_encoding = true;
            self.chunked =
                last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        } else if name.eq_ignore_ascii_case("expect") {
            self.expect_continue |= value.trim_ascii().eq_ignore_ascii_case(b"100-continue");
        } else if name.eq_ignore_ascii_case("upgrade") {
            let mut protocols = value.split(|byte| *byte == b',');
            self.upgrades_to_h2c |=
                protocols.any(|one| one.trim_ascii().eq_ignore_ascii_case(b"h2c"));
        } else if name.eq_ignore_ascii_case("content-type") {
            self.boundary = form::boundary(value);
        } else {
            Marks::read(&mut self.marks, name, value);
        }
        Ok(())
    }

    /// The body that they announce, if any (RFC 9112, section 6.3).
    pub(super) const fn body(&self) -> Option<Body> {
        match (self.transfer_encoding, self.chunked, self.content_length) {
            (true, true, _) => Some(Body::chunked()),
            (true, false, _) => Some(Body::Open),
            (false, _, Some(length)) => Some(Body::Length(length)),
            (false, _, None) => None,
        }
    }
}

/// Whether a byte is not allowed in a line. Allowed are visible characters, blanks, bytes from 0x80 (RFC
/// 9110, section 5.5), and the CR before LF.
const fn ends_text(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r')
}

pub(in crate::core::payload) fn method(name: &str) -> Cow<'static, str> {
    let known = METHODS.into_iter().find(|known| *known == name);
    known.map_or_else(|| Cow::Owned(name.to_owned()), Cow::Borrowed)
}

fn version(minor: Option<u8>) -> Option<&'static str> {
    match minor? {
        0 => Some("HTTP/1.0"),
        1 => Some("HTTP/1.1"),
        _ => None,
    }
}

pub(in crate::core::payload) fn escape(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

pub(in crate::core::payload) fn decimal(digits: &[u8]) -> Option<u64> {
    let all_digits = digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits)
        .ok()
        .filter(|_| all_digits)?
        .parse()
        .ok()
}
