//! The lines of `tracer -o ndjson`, distinguished by `type`.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};

pub use crate::segment::SegmentLine;
use crate::{
    ConnectionId, Cookie, End, Moment, State,
    tcp::is_false,
    timeline::{Certainty, Clocks, Timeline},
    upload::Outcome,
};

/// One line, borrowed where it is written and owned where it is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "borrowed where many are written; owned one at a time where they are read"
)]
pub enum Line<'a> {
    /// A socket changed state.
    State(Cow<'a, StateLine>),
    /// A segment passed; only with `--segments`.
    Segment(Cow<'a, SegmentLine>),
    /// An upload ended.
    Upload(Cow<'a, UploadLine>),
    /// A connection ended, or the tracer did.
    Timeline(Cow<'a, Timeline>),
    /// Records were lost.
    Lost(Cow<'a, LostLine>),
    /// Totals; the last line.
    Summary(Cow<'a, SummaryLine>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateLine {
    #[serde(flatten)]
    pub at: Moment,
    pub connection: ConnectionId,
    pub end: End,
    pub old: State,
    pub new: State,
    /// The owner's process id, if it is known by now.
    pub pid: Option<u32>,
    /// The owner's process name, likewise.
    pub comm: Option<Arc<str>>,
    /// Inferred where the segments of a capture show the change. Absent where the kernel reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certainty: Option<Certainty>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadLine {
    /// When the response had been sent, or else the server's last event of the upload.
    #[serde(flatten)]
    pub at: Moment,
    /// The server's name for the upload; for an inferred one, the connection's name and a number.
    pub id: String,
    /// The connection that carried it; `null` where the tracer did not see that connection.
    pub connection: Option<ConnectionId>,
    /// The file's name.
    pub name: Option<String>,
    /// Bytes of the file that arrived; `null` where they were not counted.
    pub bytes: Option<u64>,
    /// Status of the response, for FTP the code of the final reply; `null` where none was sent.
    pub status: Option<u16>,
    /// How it ended; `null` where unknown.
    pub outcome: Option<Outcome>,
    /// Observed where the server reported the upload, else inferred.
    pub certainty: Certainty,
    /// What went wrong; absent where nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The requests that carried parts of it: their accepted sockets, and when their heads were complete,
    /// CLOCK_MONOTONIC; not in the line.
    #[serde(skip)]
    pub parts: Vec<(Cookie, u64)>,
    /// The accepted sockets that carried parts of it before the last one did; not in the line.
    #[serde(skip)]
    pub earlier: Vec<Cookie>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostLine {
    /// When the loss was noticed.
    #[serde(flatten)]
    pub at: Moment,
    pub count: u64,
    /// Whether there may have been fewer, or none: not every skipped run of a program would have made
    /// a record, and not every handshake becomes a connection.
    #[serde(default, skip_serializing_if = "is_false")]
    pub at_most: bool,
    pub hop: Hop,
    /// They were lost after this moment, CLOCK_MONOTONIC …
    pub from_ns: u64,
    /// … and before this one.
    pub to_ns: u64,
}

/// The places where something can be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hop {
    /// The ring buffer had no room.
    Ring,
    /// The map of traced sockets had no room: changes of state are reported, the rest is not.
    Sockets,
    /// The kernel does not nest a program in itself.
    Recursion,
    /// The bytes were no record.
    Decode,
    /// Too many connections: the idlest were dropped. Counts connections, not records.
    Table,
    /// Too many pending handshakes: segments of the oldest were dropped.
    #[serde(rename = "early")]
    Handshakes,
    /// A sink could not keep up.
    Sink,
    /// The upload server's feed went on while the tracer did not read it. Counts uploads, not records.
    Feed,
    /// The collector did not take spans (`--otlp`). Counts spans, not records.
    Otlp,
}

impl Hop {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Sockets => "sockets",
            Self::Recursion => "recursion",
            Self::Decode => "decode",
            Self::Table => "table",
            Self::Handshakes => "early",
            Self::Sink => "sink",
            Self::Feed => "feed",
            Self::Otlp => "otlp",
        }
    }

    /// Whether the count may include things that made no record.
    #[must_use]
    pub const fn is_at_most(self) -> bool {
        matches!(self, Self::Recursion | Self::Handshakes | Self::Feed)
    }

    /// What is counted, in the singular, as a person reads it.
    #[must_use]
    pub const fn counts(self) -> &'static str {
        match self {
            Self::Otlp => "span",
            _ => "record",
        }
    }

    /// The cause, in words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Ring => "the ring buffer had no room (a larger --ring-size helps)",
            Self::Sockets => "too many sockets at once: only their states were recorded",
            Self::Recursion => "the kernel skipped programs that would have interrupted themselves",
            Self::Decode => "the bytes were not a valid record",
            Self::Table => "too many connections at once (a larger --max-connections helps)",
            Self::Handshakes => "too many pending handshakes at once",
            Self::Sink => "the output could not keep up",
            Self::Feed => "the upload server reported uploads while its feed was not read",
            Self::Otlp => "the collector did not take these spans",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryLine {
    /// When the tracer ended.
    #[serde(flatten)]
    pub at: Moment,
    /// Connections reported.
    pub connections: u64,
    /// Uploads reported.
    pub uploads: u64,
    /// Records decoded.
    pub events: u64,
    /// Records made in the kernel: those decoded, and those lost at the hops `ring` and `decode`.
    /// Absent where they were not counted (`--audit`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emitted: Option<u64>,
    /// Records lost, at whatever hop.
    pub lost: u64,
    /// Whether there may have been fewer: see [`LostLine::at_most`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub lost_at_most: bool,
    /// Connections of which something was left out: see [`Timeline::left_out`]; absent for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// What the kernel lacks; absent where it lacks nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// What each program cost, where the kernel counts it (`kernel.bpf_stats_enabled`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<ProgramLine>,
    /// What became of the spans for a collector; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spans: Option<ExportTotals>,
    /// What became of the points of metrics for it; absent where none are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_points: Option<ExportTotals>,
    /// What became of a capture's frames; absent where no capture was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<CaptureTotals>,
    /// How far apart the clocks of two captures are; absent where there are not two of one connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clocks: Option<Clocks>,
}

/// What became of what was sent to a collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportTotals {
    /// The collector took these.
    pub exported: u64,
    /// It did not take these, or there was no room for them while it took none.
    pub lost: u64,
}

/// The frames of a capture: each has a TCP segment, or is counted under the reason why none was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaptureTotals {
    /// Frames in the capture.
    pub frames: u64,
    /// TCP segments read.
    pub segments: u64,
    /// Of those, segments that the capture has twice, as a mirror port makes them.
    pub duplicates: u64,
    /// Segments whose payload is cut by the capture's snap length.
    pub cut: u64,
    /// Frames with another protocol than TCP.
    pub not_tcp: u64,
    /// Fragments of IP packets, but the last to come of each packet that could be put together.
    pub fragments: u64,
    /// Frames that end within a header.
    pub cut_headers: u64,
    /// Frames with a header that cannot be one.
    pub malformed: u64,
    /// Frames of a link type that is not read.
    pub unknown_link: u64,
    /// Frames of a wireless network that are encrypted.
    pub encrypted: u64,
    /// Frames of a wireless network with several packets each (A-MSDU), which are not read.
    pub aggregated: u64,
}

impl CaptureTotals {
    /// The frames from which no segment was read: how many, and why.
    pub fn unread(&self) -> impl Iterator<Item = (u64, &'static str)> {
        let counts = [
            (self.not_tcp, "without TCP"),
            (self.fragments, "fragments of IP packets"),
            (self.cut_headers, "cut within a header"),
            (self.malformed, "malformed"),
            (self.unknown_link, "of a link type that is not read"),
            (self.encrypted, "encrypted on a wireless network"),
            (self.aggregated, "with several packets in each (A-MSDU)"),
        ];
        counts.into_iter().filter(|(count, _)| *count > 0)
    }
}

/// A part that the running kernel lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The part.
    pub what: String,
    /// What is unknown without it.
    pub lost: String,
}

/// What an eBPF program cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramLine {
    pub name: String,
    /// How often it ran.
    pub runs: u64,
    /// How long a run took, on average, in nanoseconds.
    pub ns_per_run: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}
