//! A request as bytes, in both versions of HTTP. What hostile clients send is written here byte by byte: a
//! library would not send it.

/// What a client asks for.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) target: String,
    /// In lower case.
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Option<Body>,
}

/// The content of a request.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Sent in chunks, or frames of DATA, of this many bytes.
    pub(super) piece: usize,
    /// Of unknown length.
    pub(super) is_chunked: bool,
    /// Nothing is missing.
    pub(super) ends: bool,
}

impl Request {
    pub(super) fn new(method: &'static str, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            ..Self::default()
        }
    }

    pub(super) fn field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    pub(super) fn body(mut self, body: Body) -> Self {
        self.body = Some(body);
        self
    }

    /// In HTTP/1.1 (RFC 9112).
    pub(super) fn write_http1(&self, script: &mut Vec<u8>) {
        let head = format!(
            "{} {} HTTP/1.1\r\nhost: localhost\r\n",
            self.method, self.target
        );
        script.extend(head.bytes());
        for (name, value) in &self.fields {
            script.extend(format!("{name}: {value}\r\n").bytes());
        }
        let Some(body) = &self.body else {
            script.extend(b"\r\n");
            return;
        };
        if !body.is_chunked {
            let length = body.bytes.len() + if body.ends { 0 } else { MISSING };
            script.extend(format!("content-length: {length}\r\n\r\n").bytes());
            script.extend(&body.bytes);
            return;
        }
        script.extend(b"transfer-encoding: chunked\r\n\r\n");
        for chunk in body.bytes.chunks(body.piece.max(1)) {
            script.extend(format!("{:x};a\r\n", chunk.len()).bytes());
            script.extend(chunk);
            script.extend(b"\r\n");
        }
        if body.ends {
            script.extend(b"0\r\n\r\n");
        }
    }
}

/// How many bytes of a body are announced and never sent.
const MISSING: usize = 1_000_000;

/// The frames of a connection of HTTP/2 (RFC 9113).
pub(super) struct Http2<'a> {
    script: &'a mut Vec<u8>,
    next_stream: u32,
    /// How many fields the compression table of this connection has (RFC 7541, 2.3.2).
    table: u32,
}

/// As many as the server's table has room for, each with a name of two bytes.
const MOST_IN_TABLE: u32 = 60;

/// As much as the server takes in a frame.
const MOST_IN_FRAME: usize = 16_384;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

impl<'a> Http2<'a> {
    /// A client that takes this many bytes of each answer.
    pub(super) fn begin(script: &'a mut Vec<u8>, window: u32) -> Self {
        script.extend(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut connection = Self {
            script,
            next_stream: 1,
            table: 0,
        };
        const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];
        let settings = [&INITIAL_WINDOW_SIZE[..], &window.to_be_bytes()].concat();
        connection.frame(SETTINGS, 0, 0, &settings);
        connection.frame(SETTINGS, ACK, 0, &[]);
        if window > 65_535 {
            connection.frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
        }
        connection
    }

    pub(super) fn frame(&mut self, kind: u8, flags: u8, stream: u32, content: &[u8]) {
        let length = u32::try_from(content.len())
            .unwrap_or_default()
            .to_be_bytes();
        self.script.extend(&length[1..]);
        self.script.extend([kind, flags]);
        self.script.extend(stream.to_be_bytes());
        self.script.extend(content);
    }

    /// A request, with further fields that take a byte each: they are in the compression table.
    pub(super) fn request(&mut self, request: &Request, indexed: u32) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        let mut block = Vec::new();
        literal(&mut block, b":method", request.method.as_bytes());
        literal(&mut block, b":path", request.target.as_bytes());
        // `:scheme: http`, from the static table.
        block.push(0x86);
        literal(&mut block, b":authority", b"localhost");
        for (name, value) in &request.fields {
            literal(&mut block, name.as_bytes(), value.as_bytes());
        }
        if indexed > 0 {
            while self.table < MOST_IN_TABLE {
                // With incremental indexing (6.2.1).
                block.push(0x40);
                string(&mut block, format!("{:02}", self.table).as_bytes());
                string(&mut block, b"");
                self.table += 1;
            }
            // The dynamic table begins at 62.
            block.extend(
                (0..indexed).map(|field| {
                    0x80 | u8::try_from(62 + field % MOST_IN_TABLE).unwrap_or_default()
                }),
            );
        }
        let body = request.body.as_ref();
        let ends = if body.is_none() { END_STREAM } else { 0 };
        self.headers(stream, ends, &block, true);
        if let Some(body) = body {
            self.data(stream, body);
        }
        stream
    }

    /// A block of fields, with an end or without.
    pub(super) fn headers(&mut self, stream: u32, flags: u8, block: &[u8], ends: bool) {
        let mut frames = block.chunks(MOST_IN_FRAME).peekable();
        let mut kind = (HEADERS, flags);
        while let Some(frame) = frames.next() {
            let end = if ends && frames.peek().is_none() {
                END_HEADERS
            } else {
                0
            };
            self.frame(kind.0, kind.1 | end, stream, frame);
            kind = (CONTINUATION, 0);
        }
    }

    fn data(&mut self, stream: u32, body: &Body) {
        for piece in body.bytes.chunks(body.piece.clamp(1, MOST_IN_FRAME)) {
            self.frame(DATA, 0, stream, piece);
        }
        if body.ends {
            self.frame(DATA, END_STREAM, stream, &[]);
        }
    }

    /// Gives a request up.
    pub(super) fn reset(&mut self, stream: u32) {
        const CANCEL: u32 = 8;
        self.frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
    }
}

/// A field that stays out of the table (RFC 7541, 6.2.2).
fn literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    string(block, name);
    string(block, value);
}

/// RFC 7541, 5.2, without Huffman's code.
fn string(block: &mut Vec<u8>, text: &[u8]) {
    const PREFIX: usize = 127;
    if text.len() < PREFIX {
        block.extend(u8::try_from(text.len()));
    } else {
        block.push(0x7f);
        let mut rest = text.len() - PREFIX;
        while rest >= 128 {
            block.extend(u8::try_from(rest % 128 + 128));
            rest /= 128;
        }
        block.extend(u8::try_from(rest));
    }
    block.extend(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_in_the_rfc() {
        let of = |length| {
            let mut block = Vec::new();
            string(&mut block, &vec![b'a'; length]);
            block.truncate(block.len() - length);
            block
        };
        assert_eq!(of(10), [10]);
        assert_eq!(of(127), [0x7f, 0]);
        assert_eq!(of(127 + 1337 - 31), [0x7f, 0x9a, 0x0a]);
    }
}
