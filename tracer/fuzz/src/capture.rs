//! A capture's bytes: decompressed, parsed, and through the whole core and every sink.

use std::io::Cursor;

use tracer::internals::{
    core::{
        input::{Flow, Input, Tick},
        output::Output,
        packet::Packet,
        pipeline::Pipeline,
        scope::Scope,
    },
    source::capture::Capture,
};
use upload_protocol::line::{CaptureTotals, SummaryLine};

use crate::{
    hidden,
    recording::{check_lines, replay_through, timeline},
};

/// Compressed bytes may give very many packets.
const MAX_PACKETS: usize = 10_000;
/// A capture's times may be any. Longer ones are taken for a subtraction that went below 0.
const YEAR_NS: u64 = 365 * 24 * 3600 * 1_000_000_000;

const SCOPE: Scope = Scope {
    uploads_only: false,
    segments: true,
    every_segment: true,
};

/// A packet and its time, in nanoseconds since the Unix epoch.
pub(crate) type Timed = (u64, Packet<'static>);

/// A capture is refused, or gives the same lines each time; each is described by the schema, and no timeline
/// contradicts itself.
pub fn check(bytes: &[u8]) {
    let packets = packets(bytes);
    let first_ns = packets.first().map_or(0, |(time_ns, _)| *time_ns);
    let packets = packets.into_iter().map(|(_, packet)| packet);
    check_packets(first_ns, packets, || Pipeline::new(true).with_samples());
}

/// The packets up to the first damage.
pub(crate) fn packets(bytes: &[u8]) -> Vec<Timed> {
    let mut packets = Vec::new();
    let Ok(mut capture) = Capture::open(Cursor::new(bytes.to_vec())) else {
        return packets;
    };
    // What was read before the damage is what counts.
    let _ = capture.read(|packet, first_ns| {
        let time_ns = first_ns.saturating_add(packet.mono_ns);
        packets.push((time_ns, packet.into_owned()));
        if packets.len() < MAX_PACKETS {
            Flow::GoOn
        } else {
            Flow::Enough
        }
    });
    packets
}

/// Checks what a pipeline makes of packets; `first_ns` is what their times count from, in nanoseconds since
/// the Unix epoch.
pub(crate) fn check_packets(
    first_ns: u64,
    packets: impl Iterator<Item = Packet<'static>>,
    pipeline: impl Fn() -> Pipeline,
) -> Vec<Output> {
    let mut inputs = Vec::new();
    let mut now_ns = 0;
    let mut frames = 0;
    for packet in packets {
        now_ns = packet.mono_ns.max(now_ns);
        frames += 1;
        inputs.push(Input::Tick(Tick {
            mono_ns: now_ns,
            realtime_ns: i64::try_from(first_ns.saturating_add(now_ns)).unwrap_or(i64::MAX),
            ..Tick::default()
        }));
        inputs.push(Input::Packet(packet));
    }
    let outputs = replay_through(pipeline(), &inputs);
    assert_eq!(
        outputs,
        replay_through(pipeline(), &inputs),
        "the same input, other outputs"
    );
    check_lines(&outputs, SCOPE);
    hidden::check_outputs(&outputs, SCOPE);
    check_counts(&outputs, frames);
    if now_ns < YEAR_NS {
        outputs.iter().for_each(timeline::check);
    }
    outputs
}

/// Each frame was read, or has a reason why not; each connection that was counted has a timeline.
fn check_counts(outputs: &[Output], frames: u64) {
    let summary = summary(outputs);
    let Some(totals) = &summary.capture else {
        return assert_eq!(frames, 0, "frames were read, and none is counted");
    };
    let unread: u64 = totals.unread().map(|(count, _)| count).sum();
    assert_eq!(totals.frames, frames);
    assert_eq!(totals.segments + unread, frames, "{totals:?}");
    let CaptureTotals {
        segments,
        duplicates,
        cut,
        ..
    } = *totals;
    assert!(duplicates <= segments && cut <= segments, "{totals:?}");
    assert_eq!(summary.events, segments);
    let count = |is_one: fn(&Output) -> bool| {
        let found = outputs.iter().filter(|output| is_one(output));
        found.count() as u64
    };
    let shown = count(|output| matches!(output, Output::Segment(_)));
    assert!(shown <= segments, "{shown} segments of {segments}");
    let timelines = count(|output| matches!(output, Output::Timeline(_)));
    assert!(timelines <= summary.connections);
}

pub(crate) fn summary(outputs: &[Output]) -> &SummaryLine {
    match outputs.last() {
        Some(Output::Summary(summary)) => summary,
        last => panic!("the last output is no summary: {last:?}"),
    }
}
