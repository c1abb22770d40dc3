//! One connection's story: its three phases, their steps, the uploads that it carried. Each number is
//! observed, inferred or unknown, and each step names the event that it is known by.

mod cause;
pub mod consistency;
mod diagnosis;
mod endpoint;
mod exchange;
mod hop;
mod http2;
mod initiation;
mod maintenance;
mod omission;
mod passed_to;
mod samples;
mod step;
mod termination;
mod tls;
mod trace_parent;
mod transit;
mod upload;

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

pub use self::{
    cause::{Cause, ResetReason, SocketError, Timer},
    diagnosis::{
        BlackHole, CauseSpan, Diagnosis, DiagnosisEvidence, EstimatedBy, HeldBackBy, NamedCause,
        NoVerdict, Share, Side, TimedOut, WaitedFor,
    },
    endpoint::{ContainerRuntime, Endpoint, Process},
    exchange::{Body, Exchange, KnownBy, MissingEnd, Request, Response, Span},
    hop::{HopEvidence, HopRole, PassedOn, UploadHop},
    http2::{FrameCount, Frames, Http2Frames},
    initiation::{AgreedOptions, Failure, InitialNumbers, Initiation, WindowScale},
    maintenance::{Defect, Maintenance, Malformed, Protocol},
    omission::{LeftOut, Omission},
    passed_to::{PassedTo, PassedToKind},
    samples::{Samples, TakenAt},
    step::{Certainty, Evidence, Step, StepName},
    termination::{Ending, MissingClose, Termination},
    tls::{
        AlertLevel, ContentType, TlsAlert, TlsHandshake, TlsMessage, TlsRecord, TlsStep, TlsVersion,
    },
    trace_parent::{NoTraceParent, TraceParent},
    transit::{CaptureStream, Clocks, LostAt, LostSegment, OneWayDelay, Passage, Transit},
    upload::UploadSummary,
};
use crate::{
    connection::{ConnectionId, RolesFrom},
    moment::Moment,
    names::names,
    tcp::{End, is_false},
};

/// One connection from its beginning to its end. All `*_ns` within it count from its beginning, which
/// is its own `mono_ns`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timeline {
    /// When the first record of the connection was made.
    #[serde(flatten)]
    pub at: Moment,
    pub connection: ConnectionId,
    /// The end that opened it.
    pub client: Endpoint,
    /// The end that was called.
    pub server: Endpoint,
    /// Initiation; maintenance and termination too where it opened.
    #[serde(deserialize_with = "known_only")]
    pub phases: Vec<Phase>,
    pub uploads: Vec<UploadSummary>,
    /// Payload that arrived in order.
    pub bytes: Bytes,
    /// Segments that each end retransmitted, as its kernel counts them (`tcpi_total_retrans`): SYNs,
    /// SYN-ACKs and FINs included. `null` for an end that is not on this machine.
    pub retransmits_by: PerEnd,
    /// The same of the ends that were seen, together.
    pub retransmits: u64,
    /// When segments were sent again, but for those of the handshake: the first 64 of each end, as its kernel reports
    /// them (`tcp_retransmit_skb`); absent for none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retransmitted: Vec<Retransmission>,
    /// How it is known which end is the client: observed where it was seen to open, else inferred.
    pub roles: Certainty,
    /// … and from what.
    pub roles_from: RolesFrom,
    /// Records lost meanwhile, of whichever connection.
    pub lost: u64,
    /// Whether there may have been fewer, or none.
    #[serde(skip_serializing_if = "is_false")]
    pub lost_at_most: bool,
    /// Whether everything that there was to see of it was seen, and nothing left out.
    pub complete: bool,
    /// Why not, where it was not.
    #[serde(deserialize_with = "known_only")]
    pub incomplete: Vec<Incomplete>,
    /// What was not kept, or not read to its end; absent where nothing was left out.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "known_only")]
    pub left_out: Vec<Omission>,
    /// Whether the connection was still open when this was written.
    pub open: bool,
    /// How long it had been seen to be open, where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_for_ns: Option<u64>,
    /// In a capture, how long before its end the last segment passed, if the connection was open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_for_ns: Option<u64>,
    /// What became of its segments between two captures of it; absent where there are not two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transit: Option<Box<Transit>>,
    /// How its payload went, where that was asked for, and it carried 64 KiB or more; else absent.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "known_only")]
    pub samples: Vec<Arc<Samples>>,
}

names! {
    /// Why a timeline does not have everything that there was to see.
    pub enum Incomplete {
        BeganBefore = "it began before the tracer did",
        BeganBeforeCapture = "it began before the capture did",
        /// The connection goes on after it left the table, and what was known of it is forgotten.
        Resumed = "its beginning is in an earlier timeline: there were too many connections",
        CaptureEnded = "the capture ended before it did",
        OneDirection = "the capture has the segments of one end alone",
        HolesInCapture = "the capture lacks some of its segments",
        /// The same where records had been lost: one of the two is the reason.
        BeginUnseen = "its beginning was not seen: it was lost, or before the tracer's",
        /// `TCP_REPAIR`, as CRIU uses it.
        Restored = "a process restored its socket (TCP_REPAIR): another socket opened it",
        Evicted = "it was idle, and there were too many connections",
        StillOpen = "it was still open",
        EndUnseen = "its end was not seen",
        Suspended = "the machine was suspended meanwhile, and its clock stood still",
        MayHaveLostRecords = "records may have been lost while it was open",
        LostRecords = "records were lost while it was open",
        /// [`Timeline::left_out`] lists it.
        LeftOut = "something was left out",
    }
}

/// Payload bytes that arrived in order, for each direction; `null` where unknown, as while the
/// connection is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bytes {
    pub client_to_server: Option<u64>,
    pub server_to_client: Option<u64>,
}

/// A count of each end's kernel; `null` for an end that is not on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PerEnd {
    pub client: Option<u64>,
    pub server: Option<u64>,
}

/// A segment that was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retransmission {
    pub at_ns: u64,
    /// The end that sent it.
    pub from: End,
}

/// A phase, told apart by `name`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Phase {
    Initiation(Initiation),
    Maintenance(Box<Maintenance>),
    Termination(Termination),
}

impl Timeline {
    /// Whether it was open already when the tracer, or the capture, began, or when its timeline did.
    #[must_use]
    pub fn began_before(&self) -> bool {
        [
            Incomplete::BeganBefore,
            Incomplete::BeganBeforeCapture,
            Incomplete::Resumed,
        ]
        .iter()
        .any(|reason| self.incomplete.contains(reason))
    }

    /// Whether its beginning was not seen, for whatever reason.
    #[must_use]
    pub fn lacks_begin(&self) -> bool {
        self.began_before() || self.incomplete.contains(&Incomplete::BeginUnseen)
    }

    #[must_use]
    pub fn initiation(&self) -> Option<&Initiation> {
        self.phases.iter().find_map(|phase| match phase {
            Phase::Initiation(found) => Some(found),
            _ => None,
        })
    }

    #[must_use]
    pub fn maintenance(&self) -> Option<&Maintenance> {
        self.phases.iter().find_map(|phase| match phase {
            Phase::Maintenance(found) => Some(&**found),
            _ => None,
        })
    }

    pub fn maintenance_mut(&mut self) -> Option<&mut Maintenance> {
        self.phases.iter_mut().find_map(|phase| match phase {
            Phase::Maintenance(found) => Some(&mut **found),
            _ => None,
        })
    }

    #[must_use]
    pub fn termination(&self) -> Option<&Termination> {
        self.phases.iter().find_map(|phase| match phase {
            Phase::Termination(found) => Some(found),
            _ => None,
        })
    }

    /// The requests that it carried.
    #[must_use]
    pub fn exchanges(&self) -> &[Exchange] {
        self.maintenance().map_or(&[], |phase| &phase.exchanges)
    }

    /// The last moment that anything is known of.
    #[must_use]
    pub fn last_ns(&self) -> u64 {
        let steps = |steps: &[Step]| steps.iter().filter_map(|step| step.at_ns).max();
        let spans = self.exchanges().iter().flat_map(|exchange| {
            [
                exchange.request.span.end_ns,
                exchange.body.span.end_ns,
                exchange.response.span.start_ns,
                exchange.response.span.end_ns,
            ]
        });
        let of_phases = self.phases.iter().flat_map(|phase| match phase {
            Phase::Initiation(phase) => [phase.end_ns, steps(&phase.steps)],
            Phase::Maintenance(phase) => [phase.end_ns, phase.start_ns],
            Phase::Termination(phase) => [phase.end_ns, steps(&phase.steps)],
        });
        spans.chain(of_phases).flatten().max().unwrap_or_default()
    }
}

/// Leaves out what a later version may have added to a list.
fn known_only<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Item<T> {
        Known(T),
        Unknown(IgnoredAny),
    }
    let items = Vec::<Item<T>>::deserialize(deserializer)?;
    Ok(items
        .into_iter()
        .filter_map(|item| match item {
            Item::Known(item) => Some(item),
            Item::Unknown(_) => None,
        })
        .collect())
}

#[cfg(test)]
mod tests;
