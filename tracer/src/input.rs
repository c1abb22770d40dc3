//! Everything that can reach the core, live or from a recording.

use serde::{Deserialize, Serialize};
use upload_server::record::FeedLine;

/// One input of the [`Pipeline`](crate::pipeline::Pipeline).
#[derive(Clone, Debug, PartialEq)]
pub enum Input<'a> {
    /// One record from the ring buffer, as it came.
    Kernel(&'a [u8]),
    /// News of the upload server.
    Feed(Feed),
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

/// The clocks and the loss counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// CLOCK_MONOTONIC in nanoseconds.
    pub mono_ns: u64,
    /// CLOCK_REALTIME at that moment, in nanoseconds since the Unix epoch.
    pub realtime_ns: i64,
    /// Records that found no room in the ring buffer since the start.
    pub lost_ring: u64,
    /// Sockets that the map of traced sockets had no room for since the start.
    #[serde(default)]
    pub lost_sockets: u64,
    /// Runs of a program that the kernel skipped since the start.
    pub lost_recursion: u64,
}
