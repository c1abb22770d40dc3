//! Parses TLS, HTTP and FTP from the captured heads of a connection's payload. Decrypts nothing, keeps no
//! body, and leaves out what was not captured.

mod begun;
mod found;
mod ftp;
mod http;
mod http2;
mod marks;
mod omissions;
mod proxy;
mod sender;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod turns;

use upload_protocol::{
    End,
    timeline::{Defect, Malformed},
};

pub(crate) use self::stream::{MAX_AHEAD, nearest};
use self::{
    begun::{Begun, begin},
    proxy::{HeldBack, ProxyHeader, Taken},
    stream::{NewBytes, Stream},
};
pub use self::{
    ftp::{Command, Transfer},
    http::{Content, Finished, FormFile, HttpExchange, HttpRequest},
    marks::Marks,
    sender::sender,
    tls::Tls,
    turns::{Turn, Turns},
};
#[cfg(test)]
pub(crate) use self::{http::HttpResponse, tls::TlsStep};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Payload {
    client: Stream,
    server: Stream,
    /// How many of the client's bytes the server had acknowledged when it last sent.
    acknowledged: u64,
    /// Whether the server has answered since that was last asked.
    answered: bool,
    parser: Parser,
    /// Whether it is passed whole and in order, as far as it was captured: then bodies are read, too.
    is_whole: bool,
    /// Boxed and mostly `None`: see [`Kept`].
    kept: Option<Box<Kept>>,
}

/// What is kept of some connections alone.
#[derive(Clone, Debug, Default, PartialEq)]
struct Kept {
    /// Where it changes its direction, if a proxy passes it on.
    turns: Option<Turns>,
    /// What begins in it, where segments are shown.
    begun: Begun,
}

/// A segment's payload.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// When the segment was sent, CLOCK_MONOTONIC.
    pub mono_ns: u64,
    /// The end that sent it.
    pub from: End,
    /// Its offset in the stream.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u32,
    /// The captured bytes.
    pub head: &'a [u8],
    /// For the first payload after some of the peer's: when the peer's last payload passed.
    pub turned_ns: Option<u64>,
    /// How many bytes of the peer's stream its sender had received in order, modulo 2^32.
    pub received: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum Parser {
    #[default]
    Unknown,
    /// What a proxy sends first.
    Proxy(Box<ProxyHeader>),
    Tls(Box<tls::Conversation>),
    Http(Box<http::Conversation>),
    Http2(Box<http2::Conversation>),
    Ftp(Box<ftp::Conversation>),
    Other,
}

/// A parser's verdict on new bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// They are its protocol, or may become it.
    Ours,
    /// They are not its protocol, and never were.
    NotOurs,
    /// A hole hides the bytes that would decide.
    Undecided,
    /// They announce HTTP/2.
    Http2,
    /// The rest of both directions is HTTP/2, to which they agreed.
    H2c,
}

impl Payload {
    /// Payload that is passed whole and in order, as far as it was captured.
    #[must_use]
    pub fn whole() -> Self {
        Self {
            is_whole: true,
            ..Self::default()
        }
    }

    /// Whether it is.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Takes a segment's payload. Skips bytes below an offset that was passed before: they are
    /// repeated.
    pub fn feed(&mut self, burst: &Chunk<'_>) {
        let (own, peer) = match burst.from {
            End::Client => (&mut self.client, &mut self.server),
            End::Server => (&mut self.server, &mut self.client),
        };
        if let Some(received) = burst.received.filter(|_| burst.from == End::Server) {
            let known = self.acknowledged.max(peer.position());
            self.acknowledged = self.acknowledged.max(nearest(known, received));
            self.answered |= burst.turned_ns.is_some();
        }
        let peer_silent = peer.is_silent();
        let Some(mut new_bytes) = own.take(burst) else {
            return;
        };
        if let Some(turns) = self.kept.as_mut().and_then(|kept| kept.turns.as_mut()) {
            turns.record(&new_bytes);
        }
        if burst.from == End::Client {
            if self.parser == Parser::Unknown && ProxyHeader::may_begin(&new_bytes) {
                self.parser = Parser::Proxy(Box::default());
            }
            if let Parser::Proxy(header) = &mut self.parser {
                let taken = header.take(&mut new_bytes);
                if let Some(addresses) = header.addresses() {
                    let kept = self.kept.get_or_insert_default();
                    kept.turns.get_or_insert_default().record_proxied(addresses);
                }
                if taken == Taken::All {
                    return;
                }
                self.parser = Parser::Unknown;
                if let Taken::None(held_back) = taken {
                    self.replay(&held_back, &new_bytes, peer_silent);
                }
            }
        }
        self.parse(&new_bytes, peer_silent);
    }

    /// Parses bytes that were held back: they are no header of a proxy.
    fn replay(&mut self, held_back: &HeldBack, next: &NewBytes<'_>, peer_silent: bool) {
        let HeldBack { bytes, mono_ns } = held_back;
        if bytes.is_empty() {
            return;
        }
        self.parse(
            &NewBytes {
                mono_ns: *mono_ns,
                offset: next.offset.saturating_sub(bytes.len() as u64),
                is_start: true,
                gap: 0,
                rest: 0,
                turned_ns: None,
                received: None,
                from: next.from,
                bytes,
            },
            peer_silent,
        );
    }

    fn parse(&mut self, new_bytes: &NewBytes<'_>, peer_silent: bool) {
        let from = new_bytes.from;
        if self.parser == Parser::Unknown {
            self.parser = open(new_bytes, peer_silent, self.is_whole);
        }
        let mut unkept = None;
        let begun = match &mut self.kept {
            Some(kept) => &mut kept.begun,
            None => &mut unkept,
        };
        let verdict = match &mut self.parser {
            Parser::Tls(conversation) => conversation.feed(new_bytes, begun),
            Parser::Http(conversation) => conversation.feed(new_bytes, begun),
            Parser::Http2(conversation) => {
                conversation.feed(new_bytes, begun);
                return;
            }
            Parser::Ftp(conversation) => {
                conversation.feed(new_bytes, begun);
                return;
            }
            Parser::Unknown | Parser::Proxy(_) | Parser::Other => return,
        };
        match verdict {
            Verdict::Ours => {}
            Verdict::NotOurs => self.parser = neither(from, peer_silent),
            Verdict::Undecided => self.parser = Parser::Unknown,
            Verdict::Http2 => {
                begin(begun, || "Magic");
                let conversation = http2::Conversation::new(new_bytes, self.is_whole, begun);
                self.parser = Parser::Http2(Box::new(conversation));
            }
            Verdict::H2c => {
                let mut begun = begun.take();
                self.upgrade(new_bytes, &mut begun);
                if let Some(kept) = &mut self.kept {
                    kept.begun = begun;
                }
            }
        }
    }

    /// Goes on with HTTP/2, from a place in the server's bytes.
    fn upgrade(&mut self, new_bytes: &NewBytes<'_>, begun: &mut Begun) {
        let Parser::Http(before) = std::mem::take(&mut self.parser) else {
            return;
        };
        let Some((exchanges, first, offset)) = before.into_h2c() else {
            return;
        };
        let mut conversation = http2::Conversation::upgraded(exchanges, first);
        let passed = offset.saturating_sub(new_bytes.offset);
        let mut rest = NewBytes {
            gap: 0,
            ..*new_bytes
        };
        rest.skip(usize::try_from(passed).unwrap_or(usize::MAX));
        conversation.feed(&rest, begun);
        self.parser = Parser::Http2(Box::new(conversation));
    }
}

/// Picks the parser by the first byte. In the middle of a stream, only bytes that begin like a whole
/// record or a whole start line decide.
fn open(new_bytes: &NewBytes<'_>, peer_silent: bool, is_whole: bool) -> Parser {
    let tls = || Parser::Tls(Box::new(tls::Conversation::new(new_bytes, peer_silent)));
    let http = || {
        let conversation = http::Conversation::new(new_bytes, peer_silent, is_whole);
        Parser::Http(Box::new(conversation))
    };
    let Some(first) = new_bytes.bytes.first() else {
        return Parser::Unknown;
    };
    let ftp = || Parser::Ftp(Box::new(ftp::Conversation::new(new_bytes.is_start)));
    if new_bytes.is_start {
        if is_whole && peer_silent && http2::looks_like_first(new_bytes.from, new_bytes.bytes) {
            return Parser::Http2(Box::new(http2::Conversation::whole()));
        }
        match first {
            _ if peer_silent && ftp::looks_like_greeting(new_bytes.from, new_bytes.bytes) => ftp(),
            0x15 | 0x16 => tls(),
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'\r' | b'\n') => http(),
            _ => neither(new_bytes.from, peer_silent),
        }
    } else if tls::looks_like_record(new_bytes.bytes) {
        tls()
    } else if http::looks_like_head(new_bytes.from, new_bytes.bytes) {
        http()
    } else if ftp::looks_like_command(new_bytes.from, new_bytes.bytes) {
        ftp()
    } else {
        Parser::Unknown
    }
}

/// A server whose client was not seen may speak HTTP/2; otherwise the first bytes decide.
fn neither(from: End, peer_silent: bool) -> Parser {
    if from == End::Client || peer_silent {
        Parser::Other
    } else {
        Parser::Unknown
    }
}

/// Adds a defect to the list, each once: the list is at most as long as there are kinds, for each end.
fn record_malformed(list: &mut Vec<Malformed>, from: End, defect: Defect) {
    let malformed = Malformed { from, defect };
    if !list.contains(&malformed) {
        list.push(malformed);
    }
}
