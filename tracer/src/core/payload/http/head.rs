//! The head of a request or a response: its start line and its fields (RFC 9112, sections 2 to 5).

use std::borrow::Cow;

use httparse::{EMPTY_HEADER, Request, Response};
use upload_protocol::{End, timeline::Defect};

use super::body::Body;

/// Bytes of a head that has not ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Head {
    bytes: Vec<u8>,
    /// When the first was sent.
    pub(super) start_ns: u64,
    /// Length of the start line; 0 as long as that has not ended.
    start_line: usize,
    /// Where the current line begins.
    line: usize,
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
    /// A byte that no head has, or too many bytes.
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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Fields {
    pub(super) content_length: Option<u64>,
    pub(super) transfer_encoding: bool,
    pub(super) chunked: bool,
    pub(super) expect_continue: bool,
}

const MAX_BYTES: usize = 16 * 1024;
const MAX_FIELDS: usize = 64;
const MAX_METHOD: usize = 32;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// Whether a segment begins with a whole start line.
pub(in crate::core::payload) fn looks_like_head(from: End, segment: &[u8]) -> bool {
    let mut head = Head::default();
    let mut bytes = segment;
    head.take(0, &mut bytes) == Found::StartLine && head.start_line(from).is_some()
}

impl Head {
    /// Takes its bytes from the front of `bytes`, up to the next thing found.
    pub(super) fn take(&mut self, mono_ns: u64, bytes: &mut &[u8]) -> Found {
        if self.bytes.is_empty() {
            let is_line_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
            let empty_lines = bytes.iter().take_while(is_line_end).count();
            *bytes = bytes.split_at(empty_lines).1;
            self.start_ns = mono_ns;
            self.bytes.reserve_exact(bytes.len().min(MAX_BYTES));
        }
        while !bytes.is_empty() {
            let stop = bytes.iter().position(|byte| ends_text(*byte));
            let (part, rest) = bytes.split_at(stop.map_or(bytes.len(), |at| at + 1));
            *bytes = rest;
            self.bytes.extend_from_slice(part);
            let has_ended = part.ends_with(b"\n");
            let is_text = has_ended || stop.is_none();
            if !is_text || self.bytes.len() > MAX_BYTES || self.lacks_method() {
                return Found::NoHead;
            }
            if !has_ended {
                break;
            }
            let line = self.bytes.get(self.line..).unwrap_or_default();
            let is_last = matches!(line, b"\n" | b"\r\n");
            self.line = self.bytes.len();
            if !self.has_started() {
                self.start_line = self.line;
                return Found::StartLine;
            }
            if is_last {
                return Found::End;
            }
        }
        Found::More
    }

    /// Whether its start line has ended.
    pub(super) const fn has_started(&self) -> bool {
        self.start_line > 0
    }

    /// Whether it does not begin with a word short enough for a method or a version.
    fn lacks_method(&self) -> bool {
        let lacks_blank = |first: &[u8]| !first.contains(&b' ');
        !self.has_started() && self.bytes.get(..=MAX_METHOD).is_some_and(lacks_blank)
    }

    /// Truncates it after its last whole line.
    pub(super) fn cut_off(&mut self) {
        self.bytes.truncate(self.line);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Whether it is the preface of HTTP/2 (RFC 9113, section 3.4).
    pub(super) fn is_preface(&self) -> bool {
        self.bytes == PREFACE
    }

    /// Whether it began like HTTP/1.x, whatever follows.
    pub(super) fn begins_like_http(&self, from: End) -> bool {
        let line = self.bytes.as_slice();
        match from {
            End::Server => line.starts_with(b"HTTP/1."),
            End::Client if self.has_started() => {
                let line = line.get(..self.start_line).unwrap_or(line);
                line.windows(7).any(|part| part == b" HTTP/1")
            }
            End::Client => METHODS.iter().any(|method| {
                let rest = line.strip_prefix(method.as_bytes());
                rest.is_some_and(|rest| rest.starts_with(b" "))
            }),
        }
    }

    /// Reads its start line, once that has ended.
    pub(super) fn start_line(&self, from: End) -> Option<StartLine> {
        // Without fields httparse returns `Status::Partial`, which is no error.
        let line = self.bytes.get(..self.start_line)?;
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

    /// Reads its fields, once it has ended or was [cut off](Self::cut_off).
    pub(super) fn fields(&self) -> Result<Fields, Defect> {
        let lines = self.bytes.get(self.start_line..).unwrap_or_default();
        let mut headers = [EMPTY_HEADER; MAX_FIELDS];
        let headers = match httparse::parse_headers(lines, &mut headers) {
            Ok(httparse::Status::Complete((_, headers))) => headers,
            Ok(httparse::Status::Partial) => return Err(Defect::HttpHeadUnfinished),
            Err(httparse::Error::TooManyHeaders) => return Err(Defect::HttpFieldsTooMany),
            Err(_) => return Err(Defect::HttpFieldMalformed),
        };
        let mut fields = Fields::default();
        for header in headers {
            fields.read(header.name, header.value)?;
        }
        Ok(fields)
    }
}

impl Fields {
    fn read(&mut self, name: &str, value: &[u8]) -> Result<(), Defect> {
        if name.eq_ignore_ascii_case("content-length") {
            for number in value.split(|byte| *byte == b',') {
                let length =
                    decimal(number.trim_ascii()).ok_or(Defect::HttpContentLengthNotANumber)?;
                if self.content_length.is_some_and(|known| known != length) {
                    return Err(Defect::HttpContentLengthsDiffer);
                }
                self.content_length = Some(length);
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            let last = value.rsplit(|byte| *byte == b',').next();
            self.transfer_encoding = true;
            self.chunked =
                last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        } else if name.eq_ignore_ascii_case("expect") {
            self.expect_continue |= value.trim_ascii().eq_ignore_ascii_case(b"100-continue");
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

fn method(name: &str) -> Cow<'static, str> {
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

fn escape(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let all_digits = digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits)
        .ok()
        .filter(|_| all_digits)?
        .parse()
        .ok()
}
