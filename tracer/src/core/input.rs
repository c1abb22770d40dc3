//! Everything that can reach the core, live or from a recording.

mod open_socket;
mod readings;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use upload_protocol::upload::FeedLine;

pub use self::{
    open_socket::{Counters, Holder, OpenSocket, Present},
    readings::{Reading, Readings},
};
use crate::core::packet::Packet;

/// One input of the [`Pipeline`](crate::core::pipeline::Pipeline).
#[derive(Clone, Debug, PartialEq)]
pub enum Input<'a> {
    /// One record from the ring buffers, as it came.
    Kernel(Cow<'a, [u8]>),
    /// A frame of a capture.
    Packet(Packet<'a>),
    /// News of the upload server.
    Feed(Feed),
    /// A socket that was there before the tracer: one that listens, or a connection's.
    Socket(Box<OpenSocket>),
    /// How many connections may be kept at once; at the start, where it is said at all.
    Room(usize),
    /// The ports that were chosen; at the start, where connections in front of theirs are traced, too.
    ChosenPorts(Vec<u16>),
    /// The sockets that there were, after records were lost. What the kernel said of them before has
    /// been handed over.
    Present(Box<Present>),
    /// What open sockets have counted; for an overview alone, so that no recording has it.
    Readings(Box<Readings>),
    /// What a cgroup is called.
    Cgroup(CgroupName),
    /// What the kernel lacks, at the start and where it lacks something.
    Missing(Vec<Missing>),
    /// What the programs cost, at the end and where the kernel counts it.
    Cost(Vec<ProgramCost>),
    /// Time goes on; the kernel's records up to this moment have been handed over.
    Tick(Tick),
    /// Nothing follows.
    Shutdown,
}

/// What the upload feed says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feed {
    /// A line of the server's.
    Line(Box<FeedLine>),
    /// The server does not answer any more.
    Gone,
}

/// A cgroup (v2) and its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupName {
    pub id: u64,
    /// Its path below the mounted root, with a slash at its beginning.
    pub path: String,
}

/// A part that this kernel lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub what: String,
    /// What is unknown without it.
    pub lost: String,
}

impl CgroupName {
    /// When so many were named, a cgroup that is still seen is named once more; others may be
    /// forgotten. Containers come and go without end.
    pub const MAX: usize = 1 << 14;
}

/// What a program cost (`kernel.bpf_stats_enabled`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramCost {
    /// The program.
    pub name: String,
    /// How often it ran.
    pub runs: u64,
    /// How long it took altogether, in nanoseconds.
    pub run_ns: u64,
}

/// The clocks and the loss counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// CLOCK_MONOTONIC in nanoseconds.
    pub mono_ns: u64,
    /// CLOCK_REALTIME at that moment, in nanoseconds since the Unix epoch.
    pub realtime_ns: i64,
    /// How long the machine was suspended since it started, when CLOCK_MONOTONIC stood still.
    #[serde(default)]
    pub suspended_ns: u64,
    /// When the counters below were read, CLOCK_MONOTONIC.
    #[serde(default)]
    pub counted_ns: u64,
    /// Records that found no room in the ring buffers since the start.
    pub lost_ring: u64,
    /// Sockets that the map of traced sockets had no room for since the start.
    #[serde(default)]
    pub lost_sockets: u64,
    /// Runs of a program that the kernel skipped since the start.
    pub lost_recursion: u64,
    /// Records that were made since the start, those that found no room too; where they are counted,
    /// once no more can follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emitted: Option<u64>,
}

/// What whoever takes the inputs says after each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// More is wanted.
    GoOn,
    /// More is wanted, and no connection is under way.
    NothingOpen,
    /// Nothing more is wanted.
    Enough,
}
