//! How the connection was opened: RFC 9293, section 3.5.

use serde::{Deserialize, Serialize};

use super::{Cause, Certainty, Step, known_only};
use crate::{names::names, tcp::AcceptQueue};

/// The phase from the SYN to the third ACK.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Initiation {
    /// When the client's `connect` put its socket into SYN_SENT, or else the first thing seen.
    pub start_ns: u64,
    /// When the client sent the third ACK, where it was seen; or else when the client's end was
    /// ESTABLISHED, or the server's where only that was seen; or when the attempt ended. `null` while none
    /// of these has happened.
    pub end_ns: Option<u64>,
    /// How the two are known: observed with the client's socket, unknown without.
    pub certainty: Certainty,
    /// SYN, SYN-ACK, ACK.
    #[serde(deserialize_with = "known_only")]
    pub steps: Vec<Step>,
    /// The initial sequence numbers, where both were seen. NAT keeps them: wherever the connection is traced,
    /// they are the same.
    #[serde(rename = "isn", skip_serializing_if = "Option::is_none")]
    pub initial_numbers: Option<InitialNumbers>,
    /// What the two ends agreed on.
    pub options: Option<AgreedOptions>,
    /// The client's first round-trip time, SYN to SYN-ACK, as the kernel measured it. In a capture, from the
    /// SYN to the third ACK.
    pub rtt_ns: Option<u64>,
    /// When the server's `accept` returned the connection; `null` where unknown.
    pub accepted_ns: Option<u64>,
    /// How long the connection waited for that in the accept queue.
    pub accept_wait_ns: Option<u64>,
    /// The listener's accept queue when a SYN reached it: the fullest; absent where none was seen to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_queue: Option<AcceptQueue>,
    /// Why the connection never opened, where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The facts behind it.
    #[serde(flatten)]
    pub cause: Cause,
}

/// The initial sequence number (ISN) of each end, as it is on the wire (RFC 9293, section 3.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InitialNumbers {
    pub client: u32,
    pub server: u32,
}

/// What was agreed on in the SYN and the SYN-ACK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgreedOptions {
    /// Largest segment that the seen end may send, in bytes of payload (RFC 9293, 3.7.1).
    pub mss: u16,
    /// Window scale, where it was agreed on (RFC 7323).
    pub window_scale: Option<WindowScale>,
    /// Selective acknowledgments (RFC 2018).
    pub sack_permitted: bool,
    /// Timestamps (RFC 7323).
    pub timestamps: bool,
}

/// The shift that each end announced for its own window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowScale {
    pub client: u8,
    pub server: u8,
}

names! {
    /// Why a connection never opened.
    pub enum Failure {
        /// A RST answered the SYN: no process listens there, or a firewall answered in its name.
        Refused = "refused",
        /// No answer, however often the SYN was sent.
        TimedOut = "timed out",
        /// No answer, because the listener's accept queue was full: the process there did not
        /// `accept`, and the kernel dropped each SYN.
        AcceptQueueFull = "accept queue full",
        /// No route, or an ICMP message said so: a router's, or a firewall's.
        Unreachable = "unreachable",
        /// A RST while it was opening.
        Reset = "reset",
        /// The process gave up: it closed the socket before an answer came.
        GivenUp = "given up",
        /// The socket was destroyed from outside, as `ss -K` does.
        Aborted = "aborted",
        /// Another error of the socket.
        Failed = "failed",
    }
}
