//! Takes the segments of two captures of one conversation, and adds to its timeline what became of them on
//! the way.

use std::sync::Arc;

use upload_protocol::{
    ConnectionId, End,
    timeline::{CaptureStream, Clocks, LostSegment, Phase, Timeline, Transit},
};

use super::Pipeline;
use crate::core::{
    connection::Captured,
    connection_table::{Key, Passed},
    output::Output,
    points::{Pair, Point, Points},
    segment::Segment,
};

/// How often segments are looked for that wait in vain.
const LOOK_EVERY_NS: u64 = 1_000_000_000;

impl Pipeline {
    /// Reads two captures of the same conversations.
    #[must_use]
    pub fn with_points(mut self, points: Points) -> Self {
        self.captured.points = Some(Arc::new(points));
        self
    }

    pub(super) fn point_segment(
        &mut self,
        (points, pair): (&Points, &Pair),
        point: Point,
        segment: Segment<&[u8]>,
        out: &mut Vec<Output>,
    ) {
        let id = ConnectionId::captured(pair.streams[0], points.number(0));
        let passed = self.table.pass_point((id, pair), points, point, segment);
        self.report_all_passed(id, passed, out);
        self.make_room(out);
    }

    /// Reports segments that waited for something that did not come.
    pub(super) fn report_waiting(&mut self, out: &mut Vec<Output>) {
        let now_ns = self.tick.mono_ns;
        let is_due = now_ns.saturating_sub(self.captured.looked_ns) >= LOOK_EVERY_NS;
        if self.captured.points.is_none() || !is_due {
            return;
        }
        self.captured.looked_ns = now_ns;
        for (id, passed) in self.table.release_waiting(now_ns) {
            self.report_all_passed(id, passed, out);
        }
    }

    /// Reports all segments that wait: nothing follows.
    pub(super) fn finish_waiting(&mut self, out: &mut Vec<Output>) {
        for (id, passed) in self.table.finish_waiting(self.tick.mono_ns) {
            self.report_all_passed(id, passed, out);
        }
    }

    /// Reports all segments that wait of a connection that leaves the table.
    pub(super) fn finish_held(&mut self, key: Key, out: &mut Vec<Output>) {
        if self.captured.totals().is_none() {
            return;
        }
        let id = self.table.get(key).map(|found| found.id);
        let passed = self.table.finish_held(key, self.tick.mono_ns);
        if let Some(id) = id {
            self.report_all_passed(id, passed, out);
        }
    }

    pub(super) fn report_all_passed(
        &mut self,
        id: ConnectionId,
        passed: Vec<Passed>,
        out: &mut Vec<Output>,
    ) {
        for one in passed {
            let mono_ns = one.segment.mono_ns();
            self.report_passed(id, one, mono_ns, out);
        }
    }

    /// How far apart the clocks of two captures are.
    pub(super) fn clocks(&self) -> Option<Clocks> {
        let points = self.captured.points.as_deref();
        let points = points.filter(|points| points.connections() > 0)?;
        let drift = points.clocks.drift_ppb;
        Some(Clocks {
            captures: points.names.to_vec(),
            offset_ns: points.clocks.offset_ns(),
            error_ns: points.clocks.error_ns,
            drift_ns_per_s: drift.map(|(drift, _)| drift),
            drift_error_ns_per_s: drift.map(|(_, error)| error),
            round_trip_ns: points.clocks.round_trip_ns,
            segments: points.segments,
            connections: points.connections(),
        })
    }

    /// Adds to a timeline what became of its segments between two captures.
    pub(super) fn add_transit(&self, timeline: &mut Timeline, captured: &Captured) {
        let Some(crossings) = &captured.crossings else {
            return;
        };
        let Some(points) = self.captured.points.as_deref() else {
            return;
        };
        let Some(pair) = points.pair_of(timeline.connection) else {
            return;
        };
        let origin_ns = timeline.at.mono_ns;
        let sender = |end| match end {
            End::Client => captured.client,
            End::Server => captured.server,
        };
        for steps in timeline.phases.iter_mut().map(|phase| match phase {
            Phase::Initiation(phase) => &mut phase.steps[..],
            Phase::Maintenance(_) => &mut [],
            Phase::Termination(phase) => &mut phase.steps[..],
        }) {
            for step in steps {
                step.one_way_delay_ns = step
                    .at_ns
                    .and_then(|at_ns| crossings.step_delay(sender(step.from), origin_ns + at_ns));
            }
        }
        let (losses, losses_left_out) = crossings.losses();
        let near_client = pair.near(captured.client);
        timeline.transit = Some(Box::new(Transit {
            captures: [near_client, 1 - near_client]
                .map(|point| CaptureStream {
                    capture: u8::from(point > 0) + 1,
                    file: points.names[point].clone(),
                    stream: pair.streams[point],
                })
                .to_vec(),
            client_to_server: crossings.passage(captured.client),
            server_to_client: crossings.passage(captured.server),
            losses: losses
                .iter()
                .map(|lost| LostSegment {
                    at_ns: lost.at_ns.saturating_sub(origin_ns),
                    ..*lost
                })
                .collect(),
            losses_left_out,
        }));
    }
}
