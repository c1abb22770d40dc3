//! What a connection is called in every output.

use std::{fmt, num::NonZeroU64};

use serde::{Serialize, Serializer};

/// The cookie of the socket that was seen first; where that socket had been another connection's
/// before, a dot and a number follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    cookie: u64,
    again: Option<NonZeroU64>,
}

impl ConnectionId {
    /// The connection of a socket; `again`, where it is not its first, tells it from the others.
    #[must_use]
    pub const fn new(cookie: u64, again: Option<NonZeroU64>) -> Self {
        Self { cookie, again }
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.again {
            None => self.cookie.fmt(f),
            Some(number) => f.pad(&format!("{}.{number}", self.cookie)),
        }
    }
}

impl Serialize for ConnectionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
