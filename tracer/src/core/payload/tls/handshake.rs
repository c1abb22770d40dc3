//! Handshake messages of one direction, put together from records (RFC 8446, section 4 and 5.1).
//! Keeps the two hellos, and only the length of the others.

use super::names;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
const HEADER: usize = 4;
/// Bytes kept of a hello.
const MAX_KEPT: usize = 8192;

/// A handshake message's beginning or its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message {
    /// Its header was read.
    Begins { kind: u8, length: u64, mono_ns: u64 },
    /// A hello was read, as far as it was captured.
    Hello(Hello),
}

/// A ClientHello or ServerHello.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hello {
    pub(super) from_client: bool,
    /// When its first byte was sent.
    pub(super) mono_ns: u64,
    pub(super) body: Vec<u8>,
    /// Whether bytes are missing at the end.
    pub(super) cut: bool,
}

/// The position of a direction within its messages.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Messages {
    Header {
        bytes: Vec<u8>,
        mono_ns: u64,
        /// After a hole: the length of the record that it must fit into to count as a message.
        doubtful: Option<u16>,
    },
    Body {
        left: u64,
        hello: Option<Hello>,
    },
    /// The start of the next is unknown.
    Adrift,
}

impl Messages {
    pub(super) const fn new() -> Self {
        Self::Header {
            bytes: Vec::new(),
            mono_ns: 0,
            doubtful: None,
        }
    }

    /// Whether a message began and has not ended.
    pub(super) fn is_inside(&self) -> bool {
        match self {
            Self::Header { bytes, .. } => !bytes.is_empty(),
            Self::Body { .. } => true,
            Self::Adrift => false,
        }
    }

    /// A record of `length` bytes begins.
    pub(super) fn begin_record(&mut self, length: u16) {
        if *self == Self::Adrift {
            *self = Self::Header {
                bytes: Vec::new(),
                mono_ns: 0,
                doubtful: Some(length),
            };
        }
    }

    /// Takes from `content` up to the next message's beginning or end.
    pub(super) fn next(&mut self, now_ns: u64, content: &mut &[u8]) -> Option<Message> {
        while !content.is_empty() {
            match self {
                Self::Header {
                    bytes,
                    mono_ns,
                    doubtful,
                } => {
                    if bytes.is_empty() {
                        *mono_ns = now_ns;
                    }
                    let (front, rest) = content.split_at((HEADER - bytes.len()).min(content.len()));
                    bytes.extend_from_slice(front);
                    *content = rest;
                    let &[kind, high, middle, low] = bytes.as_slice() else {
                        return None;
                    };
                    let length = u64::from(u32::from_be_bytes([0, high, middle, low]));
                    let mono_ns = *mono_ns;
                    if doubtful.is_some_and(|record| !is_likely(kind, length, record)) {
                        *self = Self::Adrift;
                        return None;
                    }
                    *self = Self::body(kind, length, mono_ns);
                    return Some(Message::Begins {
                        kind,
                        length,
                        mono_ns,
                    });
                }
                Self::Body { left, hello } => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX);
                    let (front, rest) = content.split_at(most.min(content.len()));
                    *left -= front.len() as u64;
                    *content = rest;
                    if let Some(hello) = hello {
                        hello.keep(front);
                    }
                    if *left == 0
                        && let Some(hello) = self.end()
                    {
                        return Some(hello);
                    }
                }
                Self::Adrift => return None,
            }
        }
        None
    }

    /// Skips content that was not captured.
    pub(super) fn skip(&mut self, mut hole: u64) -> Option<Message> {
        if hole == 0 {
            return None;
        }
        let mut ended = None;
        if let Self::Body { left, hello } = self {
            if let Some(hello) = hello {
                hello.cut = true;
            }
            let skipped = (*left).min(hole);
            *left -= skipped;
            hole -= skipped;
            if *left > 0 {
                return None;
            }
            ended = self.end();
        }
        if hole > 0 {
            *self = Self::Adrift;
        }
        ended
    }

    /// The rest lies in a hole.
    pub(super) fn lose(&mut self) -> Option<Message> {
        let ended = match self {
            Self::Body { hello, .. } => hello.take(),
            _ => None,
        };
        *self = Self::Adrift;
        ended.map(|hello| Message::Hello(Hello { cut: true, ..hello }))
    }

    fn body(kind: u8, length: u64, mono_ns: u64) -> Self {
        let hello = matches!(kind, CLIENT_HELLO | SERVER_HELLO).then(|| Hello {
            from_client: kind == CLIENT_HELLO,
            mono_ns,
            body: Vec::new(),
            cut: false,
        });
        match (length, hello) {
            (0, None) => Self::new(),
            (left, hello) => Self::Body { left, hello },
        }
    }

    fn end(&mut self) -> Option<Message> {
        match std::mem::replace(self, Self::new()) {
            Self::Body { hello, .. } => hello.map(Message::Hello),
            _ => None,
        }
    }
}

impl Hello {
    fn keep(&mut self, bytes: &[u8]) {
        if self.cut {
            return;
        }
        let room = MAX_KEPT - self.body.len().min(MAX_KEPT);
        self.body.extend(bytes.iter().take(room));
        self.cut = bytes.len() > room;
    }
}

/// After a hole, bytes count as a message if its kind is known and it fits into its record.
fn is_likely(kind: u8, length: u64, record: u16) -> bool {
    names::handshake_type(kind).is_some()
        && (kind == CERTIFICATE || length + HEADER as u64 <= u64::from(record))
}
