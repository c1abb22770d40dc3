//! What the core says: each variant is one line of NDJSON, told apart by `type`.

use std::sync::Arc;

use serde::Serialize;
use upload_server::record::{Cookie, Outcome};

use crate::core::{
    connection::ConnectionId,
    dialogue::Told,
    end::End,
    event::State,
    input::{Missing, ProgramCost},
    moment::Moment,
    timeline::{Certainty, Timeline},
};

/// One output of the [`Pipeline`](crate::core::pipeline::Pipeline), on its way to every sink.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Output {
    /// A socket changed state.
    State(StateLine),
    /// A segment passed; only where they were asked for.
    Segment(Box<SegmentLine>),
    /// An upload came to its end.
    Upload(Box<UploadLine>),
    /// A connection came to its end, or the tracer did.
    Timeline(Box<Timeline>),
    /// An upload came to its end and its connection stays open: its timeline so far. The line
    /// `timeline` follows when the connection is closed.
    Progress(Box<Timeline>),
    /// The same earlier and more often, for whoever replaces what was told before.
    Snapshot(Box<Timeline>),
    /// Records were lost.
    Lost(LostLine),
    /// The last line.
    Summary(Box<SummaryLine>),
}

/// A socket changed state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateLine {
    /// When.
    #[serde(flatten)]
    pub at: Moment,
    /// The connection's name.
    pub connection: ConnectionId,
    /// Which end of it.
    pub end: End,
    /// The state it left.
    pub old: State,
    /// The state it entered.
    pub new: State,
    /// The owner's process id, if it is known by now.
    pub pid: Option<u32>,
    /// The owner's process name, likewise.
    pub comm: Option<Arc<str>>,
}

/// A segment passed: once, as its sender's socket let it go, or else as it arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentLine {
    /// When.
    #[serde(flatten)]
    pub at: Moment,
    /// The connection's name.
    pub connection: ConnectionId,
    /// The segment.
    #[serde(flatten)]
    pub told: Told,
}

/// An upload came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UploadLine {
    /// When the response had been sent, or else the last thing the server saw of it.
    #[serde(flatten)]
    pub at: Moment,
    /// The server's name for it.
    pub id: String,
    /// The connection that carried it; `null` where the tracer did not see that connection.
    pub connection: Option<ConnectionId>,
    /// The file's name.
    pub name: Option<String>,
    /// Bytes of the file that arrived; `null` where they were not counted.
    pub bytes: Option<u64>,
    /// Status of the response; `null` where none was sent.
    pub status: Option<u16>,
    /// How it ended; `null` where that cannot be told.
    pub outcome: Option<Outcome>,
    /// Observed where the server reported it, else inferred.
    pub certainty: Certainty,
    /// What went wrong; absent where nothing did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The accepted sockets that carried parts of it before the last one did.
    #[serde(skip)]
    pub earlier: Vec<Cookie>,
}

/// Records were lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostLine {
    /// When it was noticed.
    #[serde(flatten)]
    pub at: Moment,
    /// How many.
    pub count: u64,
    /// Whether there may have been fewer, or none: skipped runs of a program are counted, and not
    /// every run makes a record; and not every handshake becomes a connection.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub at_most: bool,
    /// Where.
    pub hop: Hop,
    /// They were lost after this moment, CLOCK_MONOTONIC …
    pub from_ns: u64,
    /// … and before this one.
    pub to_ns: u64,
}

/// The places where something can be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Hop {
    /// The ring buffer had no room.
    Ring,
    /// The map of traced sockets had no room: changes of state are told, the rest is not.
    Sockets,
    /// The kernel does not nest a program in itself.
    Recursion,
    /// The bytes were no record.
    Decode,
    /// There were too many connections: the idlest were dropped. Counts these, not records.
    Table,
    /// Too many handshakes at once that had not become connections: segments of theirs were dropped.
    Early,
    /// A sink could not keep up.
    Sink,
}

impl Hop {
    /// Whether what is counted there may have been no record.
    #[must_use]
    pub const fn is_at_most(self) -> bool {
        matches!(self, Self::Recursion | Self::Early)
    }

    /// In words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Ring => "the ring buffer had no room (a larger --ring-size helps)",
            Self::Sockets => "too many sockets at once to note more than their states",
            Self::Recursion => "the kernel does not nest a program in itself",
            Self::Decode => "the bytes were no record",
            Self::Table => "too many connections at once (a larger --max-connections helps)",
            Self::Early => "too many handshakes at once that had not become connections",
            Self::Sink => "the output could not keep up",
        }
    }
}

/// Totals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SummaryLine {
    /// When the tracer ended.
    #[serde(flatten)]
    pub at: Moment,
    /// Connections told of.
    pub connections: u64,
    /// Uploads told of.
    pub uploads: u64,
    /// Records decoded.
    pub events: u64,
    /// Records that were made in the kernel: those decoded, and those lost at the hops `ring` and
    /// `decode`. Absent where they were not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emitted: Option<u64>,
    /// Records lost, at whatever hop.
    pub lost: u64,
    /// Whether there may have been fewer: see [`LostLine::at_most`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lost_at_most: bool,
    /// What the kernel lacks; absent where it lacks nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// What each program cost, where the kernel counts it (`kernel.bpf_stats_enabled`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<ProgramLine>,
}

/// What a program cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramLine {
    /// The program.
    pub name: String,
    /// How often it ran.
    pub runs: u64,
    /// How long a run took, on average, in nanoseconds.
    pub ns_per_run: u64,
}

impl ProgramLine {
    /// The cost per run.
    #[must_use]
    pub fn of(cost: ProgramCost) -> Self {
        Self {
            ns_per_run: cost.run_ns.checked_div(cost.runs).unwrap_or_default(),
            name: cost.name,
            runs: cost.runs,
        }
    }
}
