//! Where an upload goes on without TCP.

use serde::{Deserialize, Serialize};

use super::{Certainty, HopEvidence, Process, known_only};
use crate::names::names;

/// What the server of a connection passed an upload on to: the end of what TCP shows of its way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PassedTo {
    pub kind: PassedToKind,
    /// Where the socket is bound: a path, as the process that listens gave it, or an abstract name after `@`.
    pub path: String,
    /// The process that called `listen` (`SO_PEERCRED`): perhaps the parent of the one that accepted, or systemd;
    /// `null` where it is not known.
    pub process: Option<Process>,
    /// When the server first sent on it, CLOCK_MONOTONIC.
    pub mono_ns: u64,
    /// How many bytes it sent on it, heads and framing included; `null` until it has answered.
    pub bytes: Option<u64>,
    /// How certain it is that this was the upload.
    pub certainty: Certainty,
    /// How it is known: `request` and `bytes`.
    #[serde(deserialize_with = "known_only")]
    pub evidence: Vec<HopEvidence>,
}

names! {
    /// How two processes of one machine exchange bytes.
    #[derive(Default)]
    pub enum PassedToKind {
        /// A Unix socket.
        #[default]
        Unix = "unix",
    }
}
