//! The head of a request or a response: its start line and its fields (RFC 9112, sections 2 to 5).

use httparse::{EMPTY_HEADER, Request, Response};

use super::body::Body;
use crate::end::End;

/// Bytes of a head that has not ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Head {
    bytes: Vec<u8>,
    /// When the first was sent.
    pub(super) start_ns: u64,
    /// Whether the start line has ended.
    pub(super) started: bool,
    /// Where the current line begins.
    line: usize,
}

/// What more bytes told of a head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found {
    /// Nothing yet.
    More,
    /// Its start line is complete.
    StartLine,
    /// It is complete.
    End,
    /// A byte that no head has, or too many.
    NoHead,
}

/// A start line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum StartLine {
    Request {
        method: String,
        target: String,
        version: &'static str,
    },
    Response {
        status: u16,
        reason: String,
        version: &'static str,
    },
}

/// The fields that matter here.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields {
    pub(super) host: Option<String>,
    pub(super) content_length: Option<u64>,
    pub(super) transfer_encoding: bool,
    pub(super) chunked: bool,
    pub(super) expect_continue: bool,
}

const MOST_BYTES: usize = 16 * 1024;
const MOST_FIELDS: usize = 64;
const MOST_METHOD: usize = 32;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";
const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
];

/// Whether a segment begins with a whole start line.
pub(in crate::payload) fn looks_like_head(from: End, segment: &[u8]) -> bool {
    let mut head = Head::default();
    let mut bytes = segment;
    head.take(0, &mut bytes) == Found::StartLine && head.start_line(from).is_some()
}

impl Head {
    /// Takes its bytes from the front of `bytes`, up to the next thing found.
    pub(super) fn take(&mut self, mono_ns: u64, bytes: &mut &[u8]) -> Found {
        while let Some((byte, rest)) = bytes.split_first() {
            *bytes = rest;
            if self.bytes.is_empty() {
                if matches!(byte, b'\r' | b'\n') {
                    continue;
                }
                self.start_ns = mono_ns;
            }
            if self.bytes.len() == MOST_BYTES || !is_text(*byte) {
                return Found::NoHead;
            }
            self.bytes.push(*byte);
            let is_method = !self.bytes.contains(&b' ');
            if !self.started && is_method && self.bytes.len() > MOST_METHOD {
                return Found::NoHead;
            }
            if *byte == b'\n' {
                let line = self.bytes.get(self.line..).unwrap_or_default();
                let is_last = matches!(line, b"\n" | b"\r\n");
                self.line = self.bytes.len();
                if !self.started {
                    self.started = true;
                    return Found::StartLine;
                }
                if is_last {
                    return Found::End;
                }
            }
        }
        Found::More
    }

    /// Whether it says that HTTP/2 follows (RFC 9113, section 3.4).
    pub(super) fn is_preface(&self) -> bool {
        self.bytes == PREFACE
    }

    /// Whether it began like HTTP/1.x, whatever follows.
    pub(super) fn begins_like_http(&self, from: End) -> bool {
        let line = self.bytes.split(|byte| *byte == b'\n').next();
        let line = line.unwrap_or_default();
        match from {
            End::Server => line.starts_with(b"HTTP/1."),
            End::Client if self.started => line.windows(7).any(|part| part == b" HTTP/1"),
            End::Client => METHODS.iter().any(|method| line.starts_with(method)),
        }
    }

    /// Reads its start line.
    pub(super) fn start_line(&self, from: End) -> Option<StartLine> {
        let line = self.bytes.split_inclusive(|byte| *byte == b'\n').next()?;
        let alone = [line, b"\r\n"].concat();
        match from {
            End::Client => {
                let mut request = Request::new(&mut []);
                request.parse(&alone).ok()?;
                Some(StartLine::Request {
                    method: request.method?.to_owned(),
                    target: escape(request.path?.as_bytes()),
                    version: version(request.version)?,
                })
            }
            End::Server => {
                let mut response = Response::new(&mut []);
                response.parse(&alone).ok()?;
                let reason = line.splitn(3, |byte| *byte == b' ').nth(2);
                Some(StartLine::Response {
                    status: response.code?,
                    reason: escape(reason.unwrap_or_default().trim_ascii()),
                    version: version(response.version)?,
                })
            }
        }
    }

    /// Reads its fields, those of whole lines where it was cut off.
    pub(super) fn fields(&self) -> Result<Fields, &'static str> {
        let whole = self.bytes.get(..self.line).unwrap_or_default();
        let start = whole.iter().position(|byte| *byte == b'\n');
        let lines = whole.get(start.map_or(0, |end| end + 1)..);
        let block = [lines.unwrap_or_default(), b"\r\n"].concat();
        let mut headers = [EMPTY_HEADER; MOST_FIELDS];
        let headers = match httparse::parse_headers(&block, &mut headers) {
            Ok(httparse::Status::Complete((_, headers))) => headers,
            Ok(httparse::Status::Partial) => return Err("an HTTP head that does not end"),
            Err(httparse::Error::TooManyHeaders) => return Err("more than 64 HTTP fields"),
            Err(_) => return Err("a line of an HTTP head that is no field"),
        };
        let mut fields = Fields::default();
        for header in headers {
            fields.read(header.name, header.value)?;
        }
        Ok(fields)
    }
}

impl Fields {
    fn read(&mut self, name: &str, value: &[u8]) -> Result<(), &'static str> {
        if name.eq_ignore_ascii_case("host") {
            self.host = Some(escape(value.trim_ascii()));
        } else if name.eq_ignore_ascii_case("content-length") {
            for number in value.split(|byte| *byte == b',') {
                let length = decimal(number.trim_ascii()).ok_or("Content-Length not a number")?;
                if self.content_length.is_some_and(|known| known != length) {
                    return Err("two different Content-Lengths");
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

    /// The body that they announce (RFC 9112, section 6.3), if they say so.
    pub(super) const fn body(&self) -> Option<Body> {
        match (self.transfer_encoding, self.chunked, self.content_length) {
            (true, true, _) => Some(Body::chunked()),
            (true, false, _) => Some(Body::Open),
            (false, _, Some(length)) => Some(Body::Length(length)),
            (false, _, None) => None,
        }
    }
}

/// Whether a head may hold a byte: visible ones, blanks, and those of other alphabets (RFC 9110,
/// section 5.5).
const fn is_text(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n' | 0x80..)
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
