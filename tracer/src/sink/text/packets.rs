//! Segments in the words of a packet list.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{self, Write},
};

use crate::{
    connection::ConnectionId, dialogue::Remark, end::End, output::SegmentLine, segment::Options,
};

/// See the module.
#[derive(Default)]
pub(super) struct PacketList {
    /// When the first segment of each connection passed.
    beginnings: HashMap<ConnectionId, u64>,
}

impl PacketList {
    pub(super) fn write(&mut self, out: &mut impl Write, segment: &SegmentLine) -> io::Result<()> {
        let now = segment.at.mono_ns;
        let beginning = *self.beginnings.entry(segment.connection).or_insert(now);
        let since = now.saturating_sub(beginning);
        let (seconds, micros) = (since / 1_000_000_000, since % 1_000_000_000 / 1000);
        let connection = &segment.connection;
        let arrow = match segment.told.from {
            End::Client => "client → server",
            End::Server => "server → client",
        };
        let line = describe(segment);
        writeln!(
            out,
            "{connection:>6} {seconds:>4}.{micros:06}  {arrow}  {line}"
        )
    }

    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.beginnings.remove(&connection);
    }
}

fn describe(segment: &SegmentLine) -> String {
    let flags: Vec<&str> = segment.told.flags.names().collect();
    let mut line = format!("[{}] Seq={}", flags.join(", "), segment.told.seq);
    if flags.contains(&"ACK") {
        let _ = write!(line, " Ack={}", segment.told.ack);
    }
    let _ = write!(
        line,
        " Win={} Len={}",
        segment.told.window, segment.told.len
    );
    describe_options(&mut line, &segment.told.options);
    if segment.told.ecn == 3 {
        line.push_str(" [congestion experienced]");
    }
    for remark in &segment.told.analysis {
        line.push_str(match remark {
            Remark::Retransmission => " [retransmission]",
            Remark::FastRetransmission => " [fast retransmission]",
            Remark::SpuriousRetransmission => " [spurious retransmission]",
            Remark::OutOfOrder => " [out of order]",
            Remark::PreviousSegmentNotSeen => " [previous segment not seen]",
            Remark::ZeroWindow => " [zero window]",
            Remark::DuplicateAck => " [duplicate ACK]",
            Remark::KeepAlive => " [keep-alive]",
        });
    }
    line
}

fn describe_options(line: &mut String, options: &Options) {
    if let Some(mss) = options.mss {
        let _ = write!(line, " MSS={mss}");
    }
    if options.sack_permitted {
        line.push_str(" SACK_PERM");
    }
    if let (Some(value), Some(echo)) = (options.tsval, options.tsecr) {
        let _ = write!(line, " TSval={value} TSecr={echo}");
    }
    if let Some(shift) = options.window_scale {
        let _ = write!(line, " WS={}", 1_u32 << shift.min(14));
    }
    for (left, right) in &options.sack {
        let _ = write!(line, " SLE={left} SRE={right}");
    }
    if let Some(cookie) = &options.fast_open {
        let _ = write!(line, " TFO={cookie}");
    }
    if options.malformed {
        line.push_str(" [malformed options]");
    }
}
