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

use self::stream::{Piece, Stream};
pub use self::{
    http::{HttpExchange, HttpRequest, HttpResponse},
    tls::{Tls, TlsAlert, TlsRecord, TlsStep},
};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Payload {
    client: Stream,
    server: Stream,
    talk: Talk,
}

/// A segment's payload.
#[derive(Clone, Copy, Debug)]
pub struct Burst<'a> {
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
enum Talk {
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
    pub fn hear(&mut self, burst: &Burst<'_>) {
        let from = burst.from;
        let (own, peer) = match from {
            End::Client => (&mut self.client, &self.server),
            End::Server => (&mut self.server, &self.client),
        };
        let peer_silent = peer.is_silent();
        let Some(piece) = own.take(burst) else {
            return;
        };
        if self.talk == Talk::Unknown {
            self.talk = open(&piece, peer_silent);
        }
        let verdict = match &mut self.talk {
            Talk::Tls(conversation) => conversation.hear(&piece),
            Talk::Http(conversation) => conversation.hear(&piece),
            Talk::Http2(conversation) => {
                conversation.hear(&piece);
                return;
            }
            Talk::Unknown | Talk::Other => return,
        };
        match verdict {
            Verdict::Ours => {}
            Verdict::NotOurs => self.talk = neither(from, peer_silent),
            Verdict::Undecided => self.talk = Talk::Unknown,
            Verdict::Http2 => {
                self.talk = Talk::Http2(Box::new(http2::Conversation::new(&piece)));
            }
        }
    }

    /// What the payload is, as far as it is told yet.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match &self.talk {
            Talk::Tls(conversation) if conversation.is_confirmed() => Protocol::Tls,
            Talk::Http(conversation) if conversation.is_confirmed() => Protocol::Http1,
            Talk::Tls(_) | Talk::Http(_) | Talk::Unknown => Protocol::Unknown,
            Talk::Http2(_) => Protocol::Http2,
            Talk::Other => Protocol::Other,
        }
    }

    /// What TLS said, where it is TLS.
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        match &self.talk {
            Talk::Tls(conversation) if conversation.is_confirmed() => Some(conversation.tls()),
            _ => None,
        }
    }

    /// The requests and responses of HTTP/1.x in clear text, in order, the first 1,000.
    #[must_use]
    pub fn exchanges(&self) -> &[HttpExchange] {
        match &self.talk {
            Talk::Http(conversation) => conversation.exchanges(),
            _ => &[],
        }
    }

    /// How many exchanges came after those.
    #[must_use]
    pub fn exchanges_left_out(&self) -> usize {
        match &self.talk {
            Talk::Http(conversation) => conversation.left_out(),
            _ => 0,
        }
    }

    /// The frames of HTTP/2 in clear text.
    #[must_use]
    pub fn http2_frames(&self) -> Option<&Http2Frames> {
        match &self.talk {
            Talk::Http2(conversation) => Some(conversation.frames()),
            _ => None,
        }
    }

    /// What was malformed, each kind once per end.
    #[must_use]
    pub fn malformed(&self) -> &[Malformed] {
        match &self.talk {
            Talk::Tls(conversation) => conversation.malformed(),
            Talk::Http(conversation) => conversation.malformed(),
            Talk::Unknown | Talk::Http2(_) | Talk::Other => &[],
        }
    }
}

/// Picks the parser by the first byte; past a stream's start, only by what begins like a whole
/// record or a whole start line.
fn open(piece: &Piece<'_>, peer_silent: bool) -> Talk {
    let tls = || Talk::Tls(Box::new(tls::Conversation::new(piece, peer_silent)));
    let http = || Talk::Http(Box::new(http::Conversation::new(piece, peer_silent)));
    let Some(first) = piece.bytes.first() else {
        return Talk::Unknown;
    };
    if piece.is_start {
        match first {
            0x15 | 0x16 => tls(),
            byte if byte.is_ascii_alphanumeric() => http(),
            _ => neither(piece.from, peer_silent),
        }
    } else if tls::looks_like_record(piece.bytes) {
        tls()
    } else if http::looks_like_head(piece.from, piece.bytes) {
        http()
    } else {
        Talk::Unknown
    }
}

/// A server that answers something unseen may speak HTTP/2; else the first bytes tell.
fn neither(from: End, peer_silent: bool) -> Talk {
    if from == End::Client || peer_silent {
        Talk::Other
    } else {
        Talk::Unknown
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
