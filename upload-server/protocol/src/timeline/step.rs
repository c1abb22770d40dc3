//! One step of a phase, and how it is known.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    names::names,
    tcp::{End, SegmentOptions, State, is_false},
};

/// How a number or a step is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// Seen to happen.
    Observed,
    /// Follows from what was seen.
    Inferred,
    /// Not seen.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Certainty {
    /// As in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Inferred => "inferred",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

names! {
    /// A segment's part in opening or closing a connection.
    pub enum StepName {
        Syn = "SYN",
        SynAck = "SYN-ACK",
        Ack = "ACK",
        Fin = "FIN",
        FinAck = "FIN-ACK",
        Rst = "RST",
    }
}

impl StepName {
    /// Whether the segment closes its sender's direction.
    #[must_use]
    pub const fn is_fin(self) -> bool {
        matches!(self, Self::Fin | Self::FinAck)
    }
}

/// One step of a phase: a segment, or several that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub name: StepName,
    /// `null` where unknown.
    #[serde(default)]
    pub at_ns: Option<u64>,
    /// The end that sent it.
    pub from: End,
    #[serde(default)]
    pub certainty: Certainty,
    /// The kernel's event that the step is known by.
    #[serde(default)]
    pub known_by: Evidence,
    /// Whether the segment was sent before and is sent again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub retransmit: bool,
    /// Why the segment did not leave this machine, an errno: EPERM for a filter's (netfilter) drop;
    /// absent where it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<u32>,
    /// Its relative sequence number; absent where the segment itself was not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u32>,
    /// Its relative acknowledgment number, likewise; absent without the flag ACK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack: Option<u32>,
    /// Bytes of payload that it carries, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub len: Option<u32>,
    /// The window that it announces in bytes, scaled where a scale was agreed on, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// Its options, likewise; SACK blocks are relative, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Box<SegmentOptions>>,
    /// How long the segment was on its way between two captures; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_way_delay_ns: Option<u64>,
}

impl Step {
    /// Whether a filter of this machine did not let the segment out.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        /// `errno.h`, the same on every Linux.
        const EPERM: u32 = 1;
        self.held_back == Some(EPERM)
    }
}

/// The kernel's event that a step is known by, in JSON as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The segment itself, as it left a socket or reached it (`cgroup_skb`).
    Segment {
        /// Whether it left; else it arrived.
        leaving: bool,
        /// The end whose socket it passed.
        at: End,
    },
    /// A socket's change of state (`inet_sock_set_state`).
    StateChange { end: End, old: State, new: State },
    /// The segment itself, in a capture.
    Captured,
    /// A tracepoint, by its name.
    Tracepoint(Cow<'static, str>),
}

const CAPTURED: &str = "the capture";

impl Default for Evidence {
    fn default() -> Self {
        Self::Tracepoint("".into())
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment { leaving: true, at } => write!(f, "cgroup_skb egress, {at}"),
            Self::Segment { leaving: false, at } => write!(f, "cgroup_skb ingress, {at}"),
            Self::StateChange { end, old, new } => write!(f, "{end} {old}→{new}"),
            Self::Captured => f.write_str(CAPTURED),
            Self::Tracepoint(name) => f.write_str(name),
        }
    }
}

impl FromStr for Evidence {
    type Err = std::convert::Infallible;

    /// Text of another form is taken for a tracepoint's name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let end = |name: &str| match name {
            "client" => Some(End::Client),
            "server" => Some(End::Server),
            _ => None,
        };
        let segment = || {
            let (hook, at) = text.split_once(", ")?;
            let leaving = match hook {
                "cgroup_skb egress" => true,
                "cgroup_skb ingress" => false,
                _ => return None,
            };
            Some(Self::Segment {
                leaving,
                at: end(at)?,
            })
        };
        let state_change = || {
            let (at, states) = text.split_once(' ')?;
            let (old, new) = states.split_once('→')?;
            Some(Self::StateChange {
                end: end(at)?,
                old: State::named(old)?,
                new: State::named(new)?,
            })
        };
        let captured = || (text == CAPTURED).then_some(Self::Captured);
        Ok(segment()
            .or_else(state_change)
            .or_else(captured)
            .unwrap_or_else(|| Self::Tracepoint(text.to_owned().into())))
    }
}

impl Serialize for Evidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Evidence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}
