//! What a timeline must not say of records that are in the order of time.

use tracer::internals::core::output::Output;
use upload_protocol::timeline::{Exchange, KnownBy, Phase, Step};

/// Nothing ends before it begins, and no step comes before an earlier one.
pub(super) fn check(output: &Output) {
    let (Output::Timeline(timeline) | Output::Progress(timeline) | Output::Snapshot(timeline)) =
        output
    else {
        return;
    };
    assert_eq!(timeline.complete, timeline.incomplete.is_empty());
    for phase in &timeline.phases {
        match phase {
            Phase::Initiation(phase) => {
                in_order("initiation", Some(phase.start_ns), phase.end_ns);
                steps_in_order(&phase.steps);
            }
            Phase::Maintenance(phase) => {
                in_order("maintenance", phase.start_ns, phase.end_ns);
                phase.exchanges.iter().for_each(exchange);
            }
            Phase::Termination(phase) => {
                in_order("termination", phase.start_ns, phase.end_ns);
                steps_in_order(&phase.steps);
            }
        }
    }
}

/// The server's clock readings are its own.
fn exchange(exchange: &Exchange) {
    if exchange.known_by == KnownBy::Segments {
        let spans = [
            ("request", exchange.request.span),
            ("body", exchange.body.span),
            ("wait", exchange.wait),
            ("response", exchange.response.span),
        ];
        for (name, span) in spans {
            in_order(name, span.start_ns, span.end_ns);
        }
    }
}

fn steps_in_order(steps: &[Step]) {
    let known = steps.iter().filter_map(|step| step.at_ns);
    assert!(known.is_sorted(), "{steps:?}");
}

fn in_order(name: &str, start_ns: Option<u64>, end_ns: Option<u64>) {
    if let (Some(start), Some(end)) = (start_ns, end_ns) {
        assert!(
            start <= end,
            "{name} ends at {end}, before it begins at {start}"
        );
    }
}
