//! The samples of a connection, as outputs have them.

use std::sync::Arc;

use tracer_ebpf::record::{SAMPLED_FROM_BYTES, Sample};
use upload_protocol::{
    End,
    timeline::{Samples, TakenAt},
};

use super::Origin;
use crate::core::connection::{Connection, SegmentCourse, Thinned, View};

/// Of the payload of each end: what its segments showed, what its socket was, and what that of its peer was.
pub(super) fn samples(connection: &Connection, origin: Origin) -> Vec<Arc<Samples>> {
    let Some(known) = connection.samples.as_deref() else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for from in [End::Client, End::Server] {
        let segments = known.of_segments(from);
        let segments = segments.filter(|course| course.length() >= SAMPLED_FROM_BYTES);
        all.extend(segments.map(|course| of_segments(from, course, origin)));
        for (end, taken_at) in [(from, TakenAt::Sender), (from.other(), TakenAt::Receiver)] {
            let Some((view, samples)) = connection.view(end).zip(known.of_socket(end)) else {
                continue;
            };
            all.extend(match taken_at {
                TakenAt::Sender => of_sender(end, view, samples, origin),
                _ => of_receiver(from, samples, origin),
            });
        }
    }
    all.into_iter().map(Arc::new).collect()
}

fn of_segments(from: End, course: &SegmentCourse, origin: Origin) -> Samples {
    let points = course.points();
    let mut samples = Samples {
        from,
        taken_at: TakenAt::Segments,
        taken: points.taken(),
        ..Samples::default()
    };
    for point in points.points() {
        samples.at_ns.push(origin.since(point.mono_ns));
        samples.sent.push(point.sent);
        samples.acked.push(point.acked);
        samples.in_flight.push(point.in_flight);
        samples.window.push(point.window);
        samples.rtt_ns.push(point.rtt_ns);
        samples.retransmits.push(point.retransmits);
    }
    samples
}

/// `None` if it sent little.
fn of_sender(end: End, view: &View, sampled: &Thinned<Sample>, origin: Origin) -> Option<Samples> {
    let last = sampled.points().next_back()?;
    if last.bytes_acked < SAMPLED_FROM_BYTES {
        return None;
    }
    // The kernel counts the SYN of a client; the first byte has the number 1.
    let before = u64::from(!acknowledged_syn(end, view));
    let mut samples = Samples {
        from: end,
        taken_at: TakenAt::Sender,
        taken: sampled.taken(),
        ..Samples::default()
    };
    for point in sampled.points() {
        let acked = point.bytes_acked.saturating_add(before);
        let cwnd = u64::from(point.snd_cwnd) * u64::from(point.mss);
        let srtt_ns = u64::from(point.srtt_us_8) * 1000 / 8;
        samples.at_ns.push(origin.since(point.header.mono_ns));
        samples
            .sent
            .push(acked.saturating_add(point.in_flight.into()));
        samples.acked.push(acked);
        samples.in_flight.push(point.in_flight);
        samples.window.push(Some(point.peer_window));
        samples.cwnd.push(cwnd);
        samples.rtt_ns.push(Some(srtt_ns).filter(|ns| *ns > 0));
        samples.retransmits.push(point.total_retrans);
    }
    Some(samples)
}

/// `None` if it received little.
fn of_receiver(from: End, sampled: &Thinned<Sample>, origin: Origin) -> Option<Samples> {
    let last = sampled.points().next_back()?;
    if last.bytes_received < SAMPLED_FROM_BYTES {
        return None;
    }
    let mut samples = Samples {
        from,
        taken_at: TakenAt::Receiver,
        taken: sampled.taken(),
        ..Samples::default()
    };
    for point in sampled.points() {
        samples.at_ns.push(origin.since(point.header.mono_ns));
        samples.acked.push(point.bytes_received.saturating_add(1));
        samples.window.push(Some(point.own_window));
    }
    Some(samples)
}

/// Whether the SYN counts among the acknowledged bytes of a socket; of one that was found open, the client's does.
fn acknowledged_syn(end: End, view: &View) -> bool {
    let was_found = view.found_ns.is_some() && !view.incidents().restored;
    view.sent_syn() || was_found && end == End::Client
}
