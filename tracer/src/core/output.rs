//! What the core makes of its inputs, on its way to every sink.

use upload_protocol::{
    Timeline,
    line::{LostLine, SegmentLine, StateLine, SummaryLine, UploadLine},
};

/// One output of the [`Pipeline`](crate::core::pipeline::Pipeline).
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A socket changed state.
    State(StateLine),
    /// A segment passed; only where segments were asked for.
    Segment(Box<TracedSegment>),
    /// An upload came to its end.
    Upload(Box<UploadLine>),
    /// A connection came to its end, or the tracer did.
    Timeline(Box<Timeline>),
    /// An upload came to its end and its connection stays open: its timeline so far. The final
    /// timeline follows when the connection is closed.
    Progress(Box<Timeline>),
    /// The same earlier and more often, for a sink that replaces what it showed before.
    Snapshot(Box<Timeline>),
    /// Records were lost.
    Lost(LostLine),
    /// The last output.
    Summary(Box<SummaryLine>),
}

/// A segment, and its packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedSegment {
    pub line: SegmentLine,
    /// Length of the packet from the IP header on.
    pub packet_len: u32,
    /// As much of the packet as was captured.
    pub packet: Box<[u8]>,
}
