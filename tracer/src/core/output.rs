//! The outputs of the core, which go to every sink.

use upload_protocol::{
    Timeline,
    line::{LostLine, SegmentLine, StateLine, SummaryLine, UploadLine},
};

/// One output of the [`Pipeline`](crate::core::pipeline::Pipeline).
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A socket changed state.
    State(StateLine),
    /// A segment passed; only if segments are traced.
    Segment(Box<TracedSegment>),
    /// An upload ended.
    Upload(Box<UploadLine>),
    /// A connection ended, or the tracer did.
    Timeline(Box<Timeline>),
    /// The timeline so far of an open connection whose upload has ended. The final timeline follows
    /// when the connection is closed.
    Progress(Box<Timeline>),
    /// The same, earlier and more often, for a sink that replaces its previous timeline.
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
    /// The captured part of the packet.
    pub packet: Box<[u8]>,
}
