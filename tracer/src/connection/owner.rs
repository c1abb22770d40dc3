//! Whose a socket is, and how that is known.

use std::sync::Arc;

use serde::Serialize;

use crate::event::{Holding, Task};

/// The process that a socket belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The process.
    pub task: Arc<Task>,
    /// What it did when it was seen.
    pub learned: Learned,
}

/// How an owner was learned, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Learned {
    /// It called `connect`.
    Connect,
    /// The upload server said that the socket with this cookie is its own.
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

impl Learned {
    /// How an owner is learned from what it did.
    #[must_use]
    pub const fn by(holding: Holding) -> Self {
        match holding {
            Holding::Read => Self::Read,
            Holding::Send => Self::Send,
            Holding::Release => Self::Close,
        }
    }
}
