//! What a timeline leaves out.

use serde::{Deserialize, Serialize};

use crate::names::names;

/// Something that was not kept, or not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Omission {
    pub what: LeftOut,
    /// How many; absent where they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl Omission {
    #[must_use]
    pub const fn counted(what: LeftOut, count: u64) -> Self {
        Self {
            what,
            count: Some(count),
        }
    }

    #[must_use]
    pub const fn uncounted(what: LeftOut) -> Self {
        Self { what, count: None }
    }
}

names! {
    /// A kind of thing that has a limit.
    pub enum LeftOut {
        Requests = "requests after the first 1,000",
        RequestsWithLongTargets = "requests after the first 1 MiB of targets",
        Uploads = "uploads after the first 1,000",
        RequestsUnanswered = "requests behind 1,000 without an answer",
        Heads = "HTTP heads not read to their end",
        Files = "files in forms",
        Frames = "HTTP/2 frames",
        TlsRecords = "TLS records",
        TlsSteps = "TLS messages",
        TlsAlerts = "TLS alerts",
        TlsHellos = "TLS hellos not read to their end",
        Steps = "segments that open or close it",
        Processes = "processes that used a socket",
        Resets = "resets",
        SynRetransmits = "SYNs and SYN-ACKs sent again",
        Samples = "samples: too many connections had some at once",
    }
}
