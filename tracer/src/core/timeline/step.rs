//! One step of a phase, and how it is known.

use std::borrow::Cow;

use rustix::io::Errno;
use serde::Serialize;

use super::Origin;
use crate::core::{dialogue::Milestone, end::End, segment::Flags};

/// How a number or a step is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// Seen to happen.
    Observed,
    /// Follows from what was seen.
    Inferred,
    /// Not seen.
    Unknown,
}

/// One step of a phase: a segment, or several that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `SYN`, `SYN-ACK`, `ACK`, `FIN`, `FIN-ACK` or `RST`.
    pub name: &'static str,
    /// When; `null` where unknown.
    pub at_ns: Option<u64>,
    /// Who sent it.
    pub from: End,
    /// How it is known.
    pub certainty: Certainty,
    /// The kernel's event that it is known by, at the end named first.
    pub known_by: Cow<'static, str>,
    /// Whether it was sent before and is sent again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retransmit: bool,
    /// Why it did not leave this machine, an errno: EPERM for a filter's (netfilter) drop; absent
    /// where it left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_back: Option<u32>,
    /// Its relative sequence number; absent where the segment itself was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u32>,
    /// Its relative acknowledgment number, likewise; absent without the flag ACK.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack: Option<u32>,
    /// Bytes of payload that it carries, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub len: Option<u32>,
    /// What it means, in a sentence; where explanations were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<String>,
}

impl Step {
    pub(super) fn inferred(
        name: &'static str,
        from: End,
        at_ns: Option<u64>,
        known_by: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            name,
            at_ns,
            from,
            certainty: if at_ns.is_some() {
                Certainty::Inferred
            } else {
                Certainty::Unknown
            },
            known_by: known_by.into(),
            retransmit: false,
            held_back: None,
            seq: None,
            ack: None,
            len: None,
            explain: None,
        }
    }

    /// The segment itself, seen where it was sent or where it arrived.
    pub(super) fn seen(name: &'static str, told: &Milestone, origin: Origin) -> Self {
        let known_by = match (told.seen_leaving, told.from) {
            (true, End::Client) => "cgroup_skb egress, client",
            (true, End::Server) => "cgroup_skb egress, server",
            (false, End::Client) => "cgroup_skb ingress, server",
            (false, End::Server) => "cgroup_skb ingress, client",
        };
        Self {
            name,
            at_ns: Some(origin.since(told.mono_ns)),
            from: told.from,
            certainty: Certainty::Observed,
            known_by: known_by.into(),
            retransmit: told.is_retransmission,
            held_back: None,
            seq: Some(told.seq),
            ack: told.flags.has(Flags::ACK).then_some(told.ack),
            len: Some(told.len),
            explain: None,
        }
    }

    pub(super) fn observed(
        name: &'static str,
        from: End,
        at_ns: u64,
        tracepoint: &'static str,
    ) -> Self {
        Self {
            name,
            at_ns: Some(at_ns),
            from,
            certainty: Certainty::Observed,
            known_by: tracepoint.into(),
            retransmit: false,
            held_back: None,
            seq: None,
            ack: None,
            len: None,
            explain: None,
        }
    }

    /// An attempt to send it that failed with an errno.
    pub(super) const fn held_back(mut self, error: u32) -> Self {
        self.held_back = Some(error);
        self
    }

    /// Whether a filter of this machine did not let it out.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        self.held_back == Some(Errno::PERM.raw_os_error().unsigned_abs())
    }

    /// The same segment, sent once more.
    pub(super) fn again(mut self) -> Self {
        self.retransmit = true;
        self
    }
}
