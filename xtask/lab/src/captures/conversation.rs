//! What two programs tell of each conversation: its requests and responses, its TLS handshake, its length.

use std::collections::BTreeMap;

/// One conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conversation {
    pub(super) requests: Vec<Message>,
    pub(super) responses: Vec<Message>,
    pub(super) is_tls: bool,
    /// Facts of the TLS handshake, by name.
    pub(super) tls: BTreeMap<&'static str, String>,
    /// Payload of each end, the client's first, in bytes, each once; `None` where it was not counted.
    pub(super) bytes: [Option<u64>; 2],
    /// From the first segment to the last.
    pub(super) duration_ns: Option<u64>,
    /// What the tracer says that the capture lacks.
    pub(super) incomplete: Vec<String>,
    /// What the tracer says that is malformed.
    pub(super) malformed: Vec<String>,
    /// Whether tshark counts its numbers anew, after another SYN-ACK.
    pub(super) is_numbered_anew: bool,
}

/// A request or a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// Method and target, or the status.
    pub(super) head: String,
    /// Of the body, without chunks around it.
    pub(super) bytes: Option<u64>,
    /// Why its end is missing, if it is.
    pub(super) missing_end: Option<String>,
}

/// The conversations of a capture, by tshark's numbers.
pub(super) type Conversations = BTreeMap<String, Conversation>;
