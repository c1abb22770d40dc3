//! A capture's bytes: decompressed, parsed, and through the whole core and every sink.

use std::io::Cursor;

use tracer::internals::{
    core::{
        input::{Flow, Input, Tick},
        scope::Scope,
    },
    source::capture::Capture,
};

use crate::{
    hidden,
    recording::{check_lines, replay, timeline},
};

/// Compressed bytes may give very many packets.
const MAX_PACKETS: usize = 10_000;

/// A capture is refused, or gives the same lines each time; each is described by the schema, and no timeline
/// contradicts itself.
pub fn check(bytes: &[u8]) {
    let inputs = inputs(bytes);
    let scope = Scope {
        uploads_only: false,
        segments: true,
        every_segment: true,
    };
    let outputs = replay(&inputs, scope);
    assert_eq!(
        outputs,
        replay(&inputs, scope),
        "the same input, other outputs"
    );
    check_lines(&outputs, scope);
    hidden::check_outputs(&outputs, scope);
    if lasts_ns(&inputs) < YEAR_NS {
        outputs.iter().for_each(timeline::check);
    }
}

/// A capture's times may be any. Longer ones are taken for a subtraction that went below 0.
const YEAR_NS: u64 = 365 * 24 * 3600 * 1_000_000_000;

fn lasts_ns(inputs: &[Input<'_>]) -> u64 {
    let ticks = inputs.iter().filter_map(|input| match input {
        Input::Tick(tick) => Some(tick.mono_ns),
        _ => None,
    });
    ticks.max().unwrap_or_default()
}

/// The packets up to the first damage, with the ticks between them.
fn inputs(bytes: &[u8]) -> Vec<Input<'static>> {
    let mut inputs = Vec::new();
    let Ok(mut capture) = Capture::open(Cursor::new(bytes.to_vec())) else {
        return inputs;
    };
    let mut now_ns = 0;
    // What was read before the damage is what counts.
    let _ = capture.read(|packet, first_ns| {
        now_ns = packet.mono_ns.max(now_ns);
        inputs.push(Input::Tick(Tick {
            mono_ns: now_ns,
            realtime_ns: i64::try_from(first_ns.saturating_add(now_ns)).unwrap_or(i64::MAX),
            ..Tick::default()
        }));
        inputs.push(Input::Packet(packet.into_owned()));
        if inputs.len() < 2 * MAX_PACKETS {
            Flow::GoOn
        } else {
            Flow::Enough
        }
    });
    inputs
}
