//! What one upload is, and what must be told of it.

use std::fmt;

use serde::{Deserialize, Serialize};
use upload_protocol::timeline::{HeldBackBy, Side};

use super::SeenFrom;

/// One upload over a wire of its own.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// Its kind, a colon, and what it is.
    pub(crate) name: &'static str,
    /// The wire from the client to the server, as [`slow_wire::Way`] reads it …
    pub(crate) up: &'static str,
    /// … and back.
    pub(crate) down: &'static str,
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) truth: Truth,
}

/// Who takes the upload.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Server {
    /// The server of [`slow_wire::ENDS`] with these options.
    Ends(&'static str),
    /// A shell script that becomes a server on `$PORT`.
    Shell(&'static str),
    /// nginx with this in its block `server`, which listens on `$PORT`.
    Nginx(&'static str),
    /// The same, in front of the server of [`slow_wire::ENDS`] on `$BACKEND`, with these options.
    Proxy(&'static str, &'static str),
}

/// Who makes it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Client {
    /// The client of [`slow_wire::ENDS`] with these options.
    Ends(&'static str),
    /// The same over IPv6.
    Ends6(&'static str),
    /// The same over the loopback of the server's namespace, where both ends are seen.
    Loopback(&'static str),
    /// A shell script.
    Shell(&'static str),
}

/// What held it back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Truth {
    /// Nothing: there must be neither verdict nor advice.
    Nothing,
    /// This, for so much of its time.
    Held(HeldBackBy, Share),
    /// The same, where nothing of it reaches the server: a path that is silent looks like a client that is.
    OutOfSight(HeldBackBy, Share),
    /// Either of two that take turns.
    Either(HeldBackBy, HeldBackBy),
}

/// The part of an upload's time that a cause has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Share {
    /// At least so many hundredths.
    AtLeast(u32),
    /// Between so many hundredths.
    Within(u32, u32),
    /// As long as the ends say that they held it back, to 5 hundredths.
    Timed,
    /// So many milliseconds, to 5 hundredths.
    Lasts(u32),
}

/// What an end held back on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) cause: HeldBackBy,
    pub(crate) ns: u64,
}

impl Scenario {
    /// Whether it can be seen from there.
    pub(crate) const fn is_seen(&self, from: SeenFrom) -> bool {
        let is_loopback = matches!(self.client, Client::Loopback(_));
        !is_loopback || matches!(from, SeenFrom::Both | SeenFrom::ServerCapture)
    }
}

impl Held {
    /// Of a line `held CAUSE NANOSECONDS`.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("held ")?.split(' ');
        Some(Self {
            cause: HeldBackBy::named(words.next()?)?,
            ns: words.next()?.parse().ok()?,
        })
    }
}

impl Truth {
    /// The verdicts that are right from where the upload is seen.
    pub(crate) fn verdicts(self, from: SeenFrom) -> Vec<HeldBackBy> {
        match self {
            Self::Nothing => Vec::new(),
            Self::OutOfSight(..) if from == SeenFrom::Server => vec![HeldBackBy::ClientSide],
            Self::OutOfSight(cause, _) if from == SeenFrom::ServerCapture => {
                vec![HeldBackBy::ClientSide, cause]
            }
            Self::Held(cause, _) | Self::OutOfSight(cause, _) => seen(cause, from),
            Self::Either(one, other) => [seen(one, from), seen(other, from)].concat(),
        }
    }

    /// The side that the cause is at; `None` where nothing held it back.
    pub(crate) fn sides(self) -> Vec<Option<Side>> {
        match self {
            Self::Nothing => vec![None],
            Self::Held(cause, _) | Self::OutOfSight(cause, _) => vec![cause.side()],
            Self::Either(one, other) => vec![one.side(), other.side()],
        }
    }

    /// Whether there may be no verdict: the server's end cannot tell a delayed acknowledgment from a short
    /// upload.
    pub(crate) fn may_be_silent(self, from: SeenFrom) -> bool {
        let from = from.measured().unwrap_or(from);
        let is_little_seen = matches!(
            self,
            Self::Held(HeldBackBy::Nagle, _) | Self::OutOfSight(..)
        );
        matches!(self, Self::Nothing) || is_little_seen && from == SeenFrom::Server
    }

    /// The share that the cause must have.
    pub(crate) const fn share(self) -> Option<Share> {
        match self {
            Self::Held(_, share) | Self::OutOfSight(_, share) => Some(share),
            Self::Nothing | Self::Either(..) => None,
        }
    }
}

/// As what a cause may be told.
fn seen(cause: HeldBackBy, from: SeenFrom) -> Vec<HeldBackBy> {
    use HeldBackBy as By;
    match (cause, from) {
        // Whether a process has accepted a connection, no segment shows.
        (By::Accept, SeenFrom::ClientCapture | SeenFrom::ServerCapture) => {
            vec![By::ServerThinks, By::ServerNotReading]
        }
        (_, SeenFrom::ClientCapture) => seen(cause, SeenFrom::Client),
        // In a network without a delay, the server's end is the client's as well.
        (_, SeenFrom::ServerCapture) => {
            let mut causes = seen(cause, SeenFrom::Server);
            if !causes.contains(&cause) {
                causes.push(cause);
            }
            causes
        }
        (
            By::ClientApplication | By::WaitsForPeer | By::ClientSendBuffer | By::Nagle,
            SeenFrom::Server,
        ) => vec![By::ClientSide],
        // A queue at the client is one of the path for all that its server can see.
        (By::ClientQueue, SeenFrom::Server) => vec![By::ClientSide, By::Path],
        // The client's end sees that the server is late, and not with what.
        (By::Accept, SeenFrom::Client) => vec![By::ServerThinks, By::ServerNotReading],
        _ => vec![cause],
    }
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(f, "nothing"),
            Self::Held(cause, share) | Self::OutOfSight(cause, share) => {
                write!(f, "{} {share}", cause.name())
            }
            Self::Either(one, other) => write!(f, "{} or {}", one.name(), other.name()),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "≥ {least} %"),
            Self::Within(least, most) => write!(f, "{least}–{most} %"),
            Self::Timed => write!(f, "as long as it took"),
            Self::Lasts(ms) => write!(f, "{ms} ms"),
        }
    }
}
