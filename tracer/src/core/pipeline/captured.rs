//! Takes the frames of a capture.

use std::{net::IpAddr, num::NonZeroU64, sync::Arc};

use upload_protocol::{
    ConnectionId,
    line::{CaptureTotals, StateLine},
    timeline::Certainty,
};

use super::Pipeline;
use crate::core::{
    address::Address,
    connection::Unfinished,
    connection_table::Passed,
    output::Output,
    packet::{Fragments, Packet, Streams, Unread},
    points::{Point, Points},
    segment::Segment,
};

/// How long after the last segment of a closed connection its timeline is emitted: a FIN may be sent again.
const QUIET_NS: u64 = 1_000_000_000;

/// Which connections of a capture are shown: those with one of the ports, and one of the addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Any, if empty.
    pub ports: Vec<u16>,
    /// Any, if empty.
    pub addresses: Vec<IpAddr>,
}

/// What was read of a capture so far.
#[derive(Debug, Default)]
pub(super) struct Captured {
    selection: Selection,
    /// Of each of two captures; of the first alone if there is one.
    of: [OneCapture; 2],
    totals: CaptureTotals,
    /// What two captures of the same conversations have in common.
    pub(super) points: Option<Arc<Points>>,
    /// When segments were last looked for that wait in vain.
    pub(super) looked_ns: u64,
    /// Empty, with room for the segments that follow from one.
    passed: Vec<Passed>,
}

#[derive(Debug, Default)]
struct OneCapture {
    streams: Streams,
    fragments: Fragments,
    frames: u64,
}

impl Selection {
    fn has(&self, ends: &[Address]) -> bool {
        let is_any = |has: &dyn Fn(Address) -> bool| ends.iter().copied().any(has);
        (self.ports.is_empty() || is_any(&|end| self.ports.contains(&end.port())))
            && (self.addresses.is_empty() || is_any(&|end| self.addresses.contains(&end.ip())))
    }
}

impl Captured {
    /// `None` if no capture was read.
    pub(super) fn totals(&self) -> Option<CaptureTotals> {
        Some(self.totals).filter(|totals| totals.frames > 0)
    }
}

impl Pipeline {
    /// Shows only these connections of a capture.
    #[must_use]
    pub fn with_selection(mut self, selection: Selection) -> Self {
        self.captured.selection = selection;
        self
    }

    pub(super) fn packet(&mut self, packet: &Packet<'_>, out: &mut Vec<Output>) {
        self.captured.totals.frames += 1;
        let point = packet.capture.min(1);
        let of = &mut self.captured.of[point];
        of.frames += 1;
        match packet.segment() {
            Ok(segment) => self.captured_segment(point, segment, out),
            Err(Unread::Fragment) => match packet.put_together(&mut of.fragments) {
                Some(whole) => match whole.segment() {
                    Ok(segment) => self.captured_segment(point, segment, out),
                    Err(unread) => self.count_unread(point, &whole, unread),
                },
                None => self.count_unread(point, packet, Unread::Fragment),
            },
            Err(unread) => self.count_unread(point, packet, unread),
        }
    }

    /// A frame without a segment. Its conversation may have a number nevertheless.
    fn count_unread(&mut self, point: Point, packet: &Packet<'_>, unread: Unread) {
        unread.count(&mut self.captured.totals);
        if let Some(header) = packet.conversation() {
            let _ = self.captured.of[point].streams.number(&header);
        }
    }

    fn captured_segment(
        &mut self,
        point: Point,
        mut segment: Segment<&[u8]>,
        out: &mut Vec<Output>,
    ) {
        let Captured {
            selection,
            of,
            totals,
            points,
            ..
        } = &mut self.captured;
        let of = &mut of[point];
        totals.segments += 1;
        totals.cut += u64::from(segment.is_cut());
        segment.frame = NonZeroU64::new(of.frames);
        // Numbers count all conversations, as tshark's do.
        let stream = of.streams.number(&(&segment).into());
        let points = points.clone();
        let pair = points
            .as_deref()
            .and_then(|points| Some((points, points.pair(point, stream.number)?)));
        let is_selected = match pair {
            Some((_, pair)) => selection.has(pair.ends.as_flattened()),
            None => selection.has(&[segment.source, segment.destination]),
        };
        if !is_selected {
            return;
        }
        let name = |number| {
            let points = points.as_deref();
            ConnectionId::captured(number, points.and_then(|points| points.number(point)))
        };
        self.totals.events += 1;
        let replaced = stream.replaces;
        if let Some(before) = replaced.and_then(|before| self.table.find_captured(name(before))) {
            if self.closed.remove(&before).is_none() {
                self.table.leave_unfinished(before, Unfinished::Gone);
            }
            self.emit(before, out);
        }
        if let Some(pair) = pair {
            return self.point_segment(pair, point, segment, out);
        }
        let id = name(stream.number);
        let mut passed = std::mem::take(&mut self.captured.passed);
        self.table.pass(id, segment, &mut passed);
        for one in passed.drain(..) {
            let mono_ns = one.segment.mono_ns();
            self.report_passed(id, one, mono_ns, out);
        }
        self.captured.passed = passed;
        self.make_room(out);
    }

    /// Reports the segments of connections that were open before the capture, if it stays unseen which end is
    /// the client.
    pub(super) fn report_undecided(&mut self, out: &mut Vec<Output>) {
        for (id, passed) in self.table.decide_due(self.tick.mono_ns) {
            self.report_all_passed(id, passed, out);
        }
    }

    pub(super) fn report_passed(
        &mut self,
        connection: ConnectionId,
        passed: Passed,
        mono_ns: u64,
        out: &mut Vec<Output>,
    ) {
        self.captured.totals.duplicates += u64::from(passed.segment.is_duplicate());
        let clock = self.host.clock;
        if !self.without_states {
            for change in passed.changes {
                out.push(Output::State(StateLine {
                    at: clock.moment(mono_ns),
                    connection,
                    end: change.end,
                    old: change.old,
                    new: change.new,
                    pid: None,
                    comm: None,
                    certainty: Some(Certainty::Inferred),
                }));
            }
        }
        if self.segments {
            let mut traced = passed.segment.traced(clock, connection);
            if self.without_packets {
                traced.packet = Box::default();
            }
            out.push(Output::Segment(Box::new(traced)));
        }
        if let Some(key) = passed.key.filter(|_| passed.is_closed) {
            self.closed.insert(key, mono_ns.saturating_add(QUIET_NS));
        }
    }
}
