//! How the connection was closed: RFC 9293, section 3.6.

use serde::{Deserialize, Serialize};

use super::{Cause, Certainty, Step, known_only};
use crate::{names::names, tcp::End};

/// The phase from the first FIN or RST, or from the moment a kernel gave up, to the last end's CLOSE and
/// the last of its own segments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Termination {
    /// When the first FIN or RST was sent, where one was seen, or else when the first end left
    /// ESTABLISHED; `null` while none has.
    pub start_ns: Option<u64>,
    /// When the last end that was seen was in CLOSE, and no step followed; `null` while it is not.
    pub end_ns: Option<u64>,
    /// How the two are known.
    pub certainty: Certainty,
    /// FIN, ACK, FIN, ACK; FIN, FIN-ACK, ACK; or RST.
    #[serde(deserialize_with = "known_only")]
    pub steps: Vec<Step>,
    /// How it ended; `null` while it has not.
    #[serde(rename = "how")]
    pub ending: Option<Ending>,
    /// The end whose kernel ended it otherwise than with a FIN: by a RST, or because it gave up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<End>,
    /// With what.
    #[serde(flatten)]
    pub cause: Cause,
    /// The end that closed first, gave up first, or sent the RST. `null` if the FINs crossed and one end
    /// alone was seen.
    pub closed_first: Option<End>,
    /// The end whose socket is still open, where the other's was closed without a FIN: nothing has told
    /// it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_end: Option<End>,
    /// Whether the end that closed first went on receiving data: a half-closed connection.
    pub half_close: bool,
    /// Whether each end closed before the other's FIN reached it (RFC 9293, section 3.6, case 3).
    pub simultaneous: bool,
    /// The end that holds the connection in TIME_WAIT, inferred: that state has no event. After a
    /// simultaneous close both do; this is one of them.
    pub time_wait: Option<End>,
    /// What an orderly termination would have had and this one has not.
    #[serde(deserialize_with = "known_only")]
    pub missing: Vec<MissingClose>,
}

names! {
    /// The ways to end a connection.
    pub enum Ending {
        /// Both directions were closed in order.
        Fin = "fin",
        /// It was reset.
        Rst = "rst",
        /// A kernel gave up: the socket was closed by an error of its own, such as a time-out. A RST
        /// that its kernel sends then tells the peer, and is not the cause.
        Error = "error",
    }
}

names! {
    /// What an orderly termination would have had.
    pub enum MissingClose {
        NoFinNoRst = "no FIN and no RST",
        /// The kernel replaced the orphaned socket by a TIME_WAIT entry, which no hook sees.
        SecondFinUnseen = "the second FIN was not seen: the kernel had let the socket go",
        NoSecondFin = "no second FIN",
        FinUnacknowledged = "a FIN was never acknowledged",
        NotClosedYet = "not closed yet",
        EndUnseen = "its end was not seen",
    }
}
