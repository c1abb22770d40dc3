//! Segments as lines of a packet list.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use upload_protocol::{
    ConnectionId, End, Flags, SegmentOptions,
    line::SegmentLine,
    segment::Analysis,
    timeline::LostAt,
    units::{duration, plain},
};

use super::{chart::put, separated::Separated};

#[derive(Default)]
pub(super) struct PacketList {
    /// When the first segment of each connection passed.
    beginnings: HashMap<ConnectionId, u64>,
}

impl PacketList {
    pub(super) fn write(&mut self, out: &mut Vec<u8>, segment: &SegmentLine) -> io::Result<()> {
        let now = segment.at.mono_ns;
        let beginning = *self.beginnings.entry(segment.connection).or_insert(now);
        let since = now.saturating_sub(beginning);
        let (seconds, micros) = (since / 1_000_000_000, since % 1_000_000_000 / 1000);
        let connection = &segment.connection;
        let arrow = match segment.from {
            End::Client => "client → server",
            End::Server => "server → client",
        };
        write!(out, "{connection:>6} {seconds:>4}.{micros:06}  {arrow}  ")?;
        describe(out, segment)?;
        out.push(b'\n');
        Ok(())
    }

    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.beginnings.remove(&connection);
    }
}

/// Options behind other fields.
pub(super) fn write_options(out: &mut impl Write, options: &SegmentOptions) -> io::Result<()> {
    if options.are_unnamed() {
        return Ok(());
    }
    write!(out, " {options}")
}

fn describe(out: &mut Vec<u8>, segment: &SegmentLine) -> io::Result<()> {
    let mut flags = Separated::by(", ");
    put(out, "[");
    for flag in segment.flags.names() {
        flags.next(out);
        put(out, flag);
    }
    write!(out, "] Seq={}", segment.seq)?;
    if segment.flags.has(Flags::ACK) {
        write!(out, " Ack={}", segment.ack)?;
    }
    write!(out, " Win={} Len={}", segment.window, segment.len)?;
    write_options(out, &segment.options)?;
    if segment.ecn == 3 {
        put(out, " [congestion experienced]");
    }
    if segment.duplicate {
        put(out, " [duplicate in the capture]");
    }
    if let Some(delay) = segment.one_way_delay_ns {
        write!(out, " [arrived after {}]", duration(delay))?;
    }
    match segment.lost {
        Some(LostAt::Between) => put(out, " [lost between the captures]"),
        Some(LostAt::Beyond) => put(out, " [lost beyond the second capture]"),
        None => {}
    }
    if let Some(capture) = segment.missing_in {
        write!(out, " [missing in capture {capture}]")?;
    }
    for remark in &segment.analysis {
        let remark = match remark {
            Analysis::Retransmission => " [retransmission]",
            Analysis::FastRetransmission => " [fast retransmission]",
            Analysis::SpuriousRetransmission => " [spurious retransmission]",
            Analysis::OutOfOrder => " [out of order]",
            Analysis::PreviousSegmentNotSeen => " [previous segment not seen]",
            Analysis::ZeroWindow => " [zero window]",
            Analysis::DuplicateAck => " [duplicate ACK]",
            Analysis::KeepAlive => " [keep-alive]",
            Analysis::KeepAliveAck => " [keep-alive ACK]",
            Analysis::WindowFull => " [window full]",
            Analysis::WindowUpdate => " [window update]",
            Analysis::ZeroWindowProbe => " [zero window probe]",
            Analysis::ZeroWindowProbeAck => " [zero window probe ACK]",
            Analysis::AckedUnseenSegment => " [ACKed unseen segment]",
        };
        put(out, remark);
    }
    if let Some(info) = &segment.info {
        put(out, "  ");
        put(out, &plain(info));
    }
    Ok(())
}
