//! Builds the steps of a phase, each with its evidence.

use upload_protocol::{
    End, Flags, State,
    timeline::{Certainty, Evidence, Step, StepName},
};

use super::Origin;
use crate::core::{connection::Transition, dialogue::Milestone};

/// A step that follows from another event; unknown if that event has no time.
pub(super) fn inferred(name: StepName, from: End, at_ns: Option<u64>, known_by: Evidence) -> Step {
    Step {
        name,
        at_ns,
        from,
        certainty: if at_ns.is_some() {
            Certainty::Inferred
        } else {
            Certainty::Unknown
        },
        known_by,
        retransmit: false,
        held_back: None,
        seq: None,
        ack: None,
        len: None,
        window: None,
        options: None,
        one_way_delay_ns: None,
    }
}

/// A step whose segment was seen, leaving or arriving.
pub(super) fn seen(name: StepName, segment: &Milestone, origin: Origin) -> Step {
    let leaving = segment.seen_leaving;
    Step {
        name,
        at_ns: Some(origin.since(segment.mono_ns)),
        from: segment.from,
        certainty: Certainty::Observed,
        known_by: if segment.is_captured {
            Evidence::Captured
        } else {
            Evidence::Segment {
                leaving,
                at: if leaving {
                    segment.from
                } else {
                    segment.from.other()
                },
            }
        },
        retransmit: segment.is_retransmission,
        held_back: None,
        seq: Some(segment.seq),
        ack: segment.flags.has(Flags::ACK).then_some(segment.ack),
        len: Some(segment.len),
        window: Some(segment.window),
        options: Some(Box::new(segment.options.get())),
        one_way_delay_ns: None,
    }
}

/// A step that a tracepoint reported.
pub(super) fn traced(name: StepName, from: End, at_ns: u64, tracepoint: &'static str) -> Step {
    Step {
        certainty: Certainty::Observed,
        ..inferred(
            name,
            from,
            Some(at_ns),
            Evidence::Tracepoint(tracepoint.into()),
        )
    }
}

/// A socket's change of state as evidence.
pub(super) const fn state_change(end: End, old: State, new: State) -> Evidence {
    Evidence::StateChange { end, old, new }
}

pub(super) const fn transition(end: End, seen: &Transition) -> Evidence {
    state_change(end, seen.old, seen.new)
}
