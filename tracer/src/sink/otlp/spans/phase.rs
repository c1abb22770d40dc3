//! The span of a phase, with its steps as events.

use std::ops::Range;

use opentelemetry_proto::tonic::trace::v1::{Span, span::Event};
use opentelemetry_semantic_conventions::attribute::ERROR_TYPE;
use upload_protocol::{
    End,
    timeline::{
        Ending, Failure, Initiation, Maintenance, Phase, Retransmission, Step, Termination, TlsStep,
    },
};

use super::{Described, What};
use crate::sink::otlp::attributes::{Attributes, own};

pub(super) fn phase(described: Described<'_>, phase: &Phase) -> Span {
    match phase {
        Phase::Initiation(phase) => initiation(described, phase),
        Phase::Maintenance(phase) => maintenance(described, phase),
        Phase::Termination(phase) => termination(described, phase),
    }
}

fn initiation(described: Described<'_>, phase: &Initiation) -> Span {
    let mut attributes = Attributes::default();
    attributes.text(own::CERTAINTY, phase.certainty.name());
    attributes.seconds(own::RTT_FIRST, phase.rtt_ns);
    attributes.some_number(own::MSS, phase.options.map(|options| options.mss));
    attributes.seconds(own::ACCEPT_WAIT, phase.accept_wait_ns);
    let mut span = below(
        described,
        What::Initiation,
        "TCP initiation",
        (Some(phase.start_ns), phase.end_ns),
    );
    if let Some(failure) = phase.failure.map(Failure::name) {
        attributes.text(ERROR_TYPE, &failure.replace(' ', "_"));
        span.status = super::error(failure.to_owned());
    }
    span.events = steps(described, &phase.steps);
    if let Some(at_ns) = phase.accepted_ns {
        span.events
            .push(described.event(at_ns, "accepted", Attributes::default()));
    }
    span.attributes = attributes.0;
    span
}

fn maintenance(described: Described<'_>, phase: &Maintenance) -> Span {
    let mut attributes = Attributes::default();
    attributes.text(own::CERTAINTY, phase.certainty.name());
    attributes.seconds(own::RTT_LAST, phase.rtt_ns);
    attributes.seconds(own::RTT_MIN, phase.min_rtt_ns);
    let tls = phase.tls.iter().flat_map(|tls| &tls.steps);
    let tls = tls.map(|step| tls_step(described, step));
    let until = phase.end_ns.unwrap_or(u64::MAX);
    Span {
        attributes: attributes.0,
        events: tls.chain(retransmitted(described, 0..until)).collect(),
        ..below(
            described,
            What::Maintenance,
            "TCP maintenance",
            (phase.start_ns, phase.end_ns),
        )
    }
}

fn termination(described: Described<'_>, phase: &Termination) -> Span {
    let mut attributes = Attributes::default();
    attributes.text(own::CERTAINTY, phase.certainty.name());
    attributes.some_text(own::ENDING, phase.ending.map(Ending::name));
    attributes.some_text(own::CLOSED_FIRST, phase.closed_first.map(End::name));
    let mut events = steps(described, &phase.steps);
    if let Some(start) = phase.start_ns {
        events.extend(retransmitted(described, start..u64::MAX));
    }
    Span {
        attributes: attributes.0,
        events,
        ..below(
            described,
            What::Termination,
            "TCP termination",
            (phase.start_ns, phase.end_ns),
        )
    }
}

/// A phase below its connection. A begin that is not known is that of the timeline, and an end the last moment
/// that is known of the connection.
fn below(
    described: Described<'_>,
    what: What,
    name: &str,
    (start, end): (Option<u64>, Option<u64>),
) -> Span {
    let start = start.unwrap_or_default();
    let end = end.unwrap_or_else(|| described.timeline.last_ns());
    let parent = described.id(What::Connection);
    described.span(what, name, Some(parent), (start, end))
}

/// The steps whose time is known.
fn steps(described: Described<'_>, steps: &[Step]) -> Vec<Event> {
    let event = |step: &Step| {
        let mut attributes = Attributes::default();
        attributes.text(own::FROM, step.from.name());
        attributes.text(own::CERTAINTY, step.certainty.name());
        if step.retransmit {
            attributes.flag(own::RETRANSMIT, true);
        }
        attributes.some_number(own::SEQ, step.seq);
        attributes.some_number(own::ACK, step.ack);
        attributes.some_number(own::LEN, step.len);
        attributes.some_number(own::WINDOW, step.window);
        Some(described.event(step.at_ns?, step.name.name(), attributes))
    };
    steps.iter().filter_map(event).collect()
}

/// The segments that were sent again in this time.
fn retransmitted(described: Described<'_>, within: Range<u64>) -> impl Iterator<Item = Event> {
    let all = described.timeline.retransmitted.iter();
    let event = move |one: &Retransmission| {
        let mut attributes = Attributes::default();
        attributes.text(own::FROM, one.from.name());
        described.event(one.at_ns, "retransmit", attributes)
    };
    all.filter(move |one| within.contains(&one.at_ns))
        .map(event)
}

fn tls_step(described: Described<'_>, step: &TlsStep) -> Event {
    let mut attributes = Attributes::default();
    attributes.text(own::FROM, step.from.name());
    attributes.text(own::CERTAINTY, step.certainty.name());
    described.event(step.at_ns, step.name.name(), attributes)
}
