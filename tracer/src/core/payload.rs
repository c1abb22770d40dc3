//! What TLS and HTTP said on a connection, from the captured heads of its payload. Nothing is
//! decrypted, no body is kept, and what lay in a hole of the capture is left out.

mod http;
mod http2;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use upload_protocol::{
    End,
    timeline::{Defect, Http2Frames, Malformed, Protocol},
};

use self::stream::{NewBytes, Stream};
#[cfg(test)]
pub(crate) use self::{http::HttpResponse, tls::TlsStep};
pub use self::{
    http::{HttpExchange, HttpRequest},
    tls::Tls,
};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Payload {
    client: Stream,
    server: Stream,
    parser: Parser,
}

/// A segment's payload.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// When the segment was sent, CLOCK_MONOTONIC.
    pub mono_ns: u64,
    /// Who sent it.
    pub from: End,
    /// Where it stands in its stream.
    pub offset: u64,
    /// How many bytes it has.
    pub len: u32,
    /// As many of them as were captured.
    pub head: &'a [u8],
    /// Where it is the first after some of the peer's: when the last of that passed.
    pub turned_ns: Option<u64>,
    /// How many bytes of the peer's stream its sender had received in order, modulo 2^32.
    pub received: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum Parser {
    #[default]
    Unknown,
    Tls(Box<tls::Conversation>),
    Http(Box<http::Conversation>),
    Http2(Box<http2::Conversation>),
    Other,
}

/// What a parser makes of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is its protocol, or may yet be.
    Ours,
    /// It is not its protocol, and never was.
    NotOurs,
    /// A hole swallowed what would have told.
    Undecided,
    /// It announced HTTP/2.
    Http2,
}

impl Payload {
    /// Takes in what a segment carried. Bytes below an offset that was passed before are a
    /// repetition.
    pub fn feed(&mut self, burst: &Chunk<'_>) {
        let from = burst.from;
        let (own, peer) = match from {
            End::Client => (&mut self.client, &self.server),
            End::Server => (&mut self.server, &self.client),
        };
        let peer_silent = peer.is_silent();
        let Some(new_bytes) = own.take(burst) else {
            return;
        };
        if self.parser == Parser::Unknown {
            self.parser = open(&new_bytes, peer_silent);
        }
        let verdict = match &mut self.parser {
            Parser::Tls(conversation) => conversation.feed(&new_bytes),
            Parser::Http(conversation) => conversation.feed(&new_bytes),
            Parser::Http2(conversation) => {
                conversation.feed(&new_bytes);
                return;
            }
            Parser::Unknown | Parser::Other => return,
        };
        match verdict {
            Verdict::Ours => {}
            Verdict::NotOurs => self.parser = neither(from, peer_silent),
            Verdict::Undecided => self.parser = Parser::Unknown,
            Verdict::Http2 => {
                self.parser = Parser::Http2(Box::new(http2::Conversation::new(&new_bytes)));
            }
        }
    }

    /// What the payload is, as far as it is told yet.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match &self.parser {
            Parser::Tls(conversation) if conversation.is_confirmed() => Protocol::Tls,
            Parser::Http(conversation) if conversation.is_confirmed() => Protocol::Http1,
            Parser::Tls(_) | Parser::Http(_) | Parser::Unknown => Protocol::Unknown,
            Parser::Http2(_) => Protocol::Http2,
            Parser::Other => Protocol::Other,
        }
    }

    /// What TLS said, where it is TLS.
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        match &self.parser {
            Parser::Tls(conversation) if conversation.is_confirmed() => Some(conversation.tls()),
            _ => None,
        }
    }

    /// The requests and responses of HTTP/1.x in clear text, in order, the first 1,000.
    #[must_use]
    pub fn exchanges(&self) -> &[HttpExchange] {
        match &self.parser {
            Parser::Http(conversation) => conversation.exchanges(),
            _ => &[],
        }
    }

    /// How many exchanges came after those.
    #[must_use]
    pub fn exchanges_left_out(&self) -> usize {
        match &self.parser {
            Parser::Http(conversation) => conversation.left_out(),
            _ => 0,
        }
    }

    /// The frames of HTTP/2 in clear text.
    #[must_use]
    pub fn http2_frames(&self) -> Option<&Http2Frames> {
        match &self.parser {
            Parser::Http2(conversation) => Some(conversation.frames()),
            _ => None,
        }
    }

    /// What was malformed, each kind once per end.
    #[must_use]
    pub fn malformed(&self) -> &[Malformed] {
        match &self.parser {
            Parser::Tls(conversation) => conversation.malformed(),
            Parser::Http(conversation) => conversation.malformed(),
            Parser::Unknown | Parser::Http2(_) | Parser::Other => &[],
        }
    }
}

/// Picks the parser by the first byte; past a stream's start, only by what begins like a whole
/// record or a whole start line.
fn open(new_bytes: &NewBytes<'_>, peer_silent: bool) -> Parser {
    let tls = || Parser::Tls(Box::new(tls::Conversation::new(new_bytes, peer_silent)));
    let http = || Parser::Http(Box::new(http::Conversation::new(new_bytes, peer_silent)));
    let Some(first) = new_bytes.bytes.first() else {
        return Parser::Unknown;
    };
    if new_bytes.is_start {
        match first {
            0x15 | 0x16 => tls(),
            byte if byte.is_ascii_alphanumeric() => http(),
            _ => neither(new_bytes.from, peer_silent),
        }
    } else if tls::looks_like_record(new_bytes.bytes) {
        tls()
    } else if http::looks_like_head(new_bytes.from, new_bytes.bytes) {
        http()
    } else {
        Parser::Unknown
    }
}

/// A server that answers something unseen may speak HTTP/2; else the first bytes tell.
fn neither(from: End, peer_silent: bool) -> Parser {
    if from == End::Client || peer_silent {
        Parser::Other
    } else {
        Parser::Unknown
    }
}

/// Adds a defect to the list, each once.
fn record_malformed(list: &mut Vec<Malformed>, from: End, defect: Defect) {
    const MAX: usize = 32;
    let malformed = Malformed { from, defect };
    if list.len() < MAX && !list.contains(&malformed) {
        list.push(malformed);
    }
}
