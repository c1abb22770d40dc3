//! A connection's name, and how its sockets' owners and its roles are known.

use std::{
    fmt,
    num::{NonZeroU8, NonZeroU64},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A connection's name in every output: the cookie of the socket that was seen first. If that socket
/// had another connection before, a dot and a number follow. In a capture, the number of its conversation;
/// where there are two captures of one, the capture's number and a colon come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    cookie: u64,
    /// Which connection of the socket it is; from `CAPTURES` on, which capture has it.
    again: Option<NonZeroU64>,
}

/// More connections than one socket can have.
const CAPTURES: u64 = 1 << 63;

impl ConnectionId {
    /// `again` distinguishes the connections of one socket; `None` for its first.
    #[must_use]
    pub const fn new(cookie: u64, again: Option<NonZeroU64>) -> Self {
        Self { cookie, again }
    }

    /// The conversation with this number in a capture, or in one of several.
    #[must_use]
    pub fn captured(stream: u64, capture: Option<NonZeroU8>) -> Self {
        let capture = capture.map(|capture| CAPTURES + u64::from(capture.get()));
        Self {
            cookie: stream,
            again: capture.and_then(NonZeroU64::new),
        }
    }

    /// Which of several captures has it, counted from 1.
    #[must_use]
    pub fn capture(self) -> Option<u8> {
        let capture = self.again?.get().checked_sub(CAPTURES)?;
        u8::try_from(capture).ok()
    }

    /// The cookie, or the number of a capture's conversation.
    #[must_use]
    pub const fn stream(self) -> u64 {
        self.cookie
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cookie, again } = self;
        match again.map(NonZeroU64::get) {
            None => cookie.fmt(f),
            Some(capture) if capture >= CAPTURES => {
                f.pad(&format!("{}:{cookie}", capture - CAPTURES))
            }
            Some(number) => f.pad(&format!("{cookie}.{number}")),
        }
    }
}

impl FromStr for ConnectionId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((capture, stream)) = text.split_once(':') {
            return Ok(Self::captured(stream.parse()?, Some(capture.parse()?)));
        }
        let (cookie, again) = text
            .split_once('.')
            .map_or((text, None), |(cookie, again)| (cookie, Some(again)));
        Ok(Self {
            cookie: cookie.parse()?,
            again: again.map(str::parse).transpose()?,
        })
    }
}

impl Serialize for ConnectionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ConnectionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The name of an MPTCP connection at one end (RFC 8684, section 3.2), in hexadecimal, as `ss -M` prints
/// it. The other end has another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MptcpToken(pub u32);

impl fmt::Display for MptcpToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl Serialize for MptcpToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MptcpToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        let token = u32::from_str_radix(&text, 16);
        token.map(Self).map_err(de::Error::custom)
    }
}

/// How it is known which end of a connection is the client, the best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RolesFrom {
    /// An end was seen to open it, actively or passively.
    Opening,
    /// Both ends opened it actively (simultaneous open): the one that is called the client began first,
    /// or, where only one is on this machine, is that one.
    Simultaneous,
    /// It was open already, and at one end's address and port a socket listened.
    Listener,
    /// It was open already, and the first payload of a capture is such as one end alone sends: a request, a
    /// response, or a hello of TLS.
    Payload,
    /// It was open already, and the lower port is taken for the server's.
    #[default]
    Ports,
}

/// How a socket's owner was learned, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OwnerFrom {
    /// It called `connect`.
    Connect,
    /// The upload server reported that the socket with this cookie is its own.
    Cookie,
    /// It read from the socket.
    Read,
    /// It sent on the socket.
    Send,
    /// It held the socket when `/proc` was read.
    Proc,
    /// It closed the socket.
    Close,
}
