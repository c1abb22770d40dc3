//! What a timeline must not say, whatever happened: its phases follow one another, each step lies within
//! its phase, nothing ends before it begins, and what held an upload back adds up.

use super::{
    Diagnosis, Exchange, Initiation, KnownBy, Maintenance, Phase, Span, Step, Termination, Timeline,
};
use crate::tcp::End;

/// Ten years. A longer time is a subtraction that went below 0.
const MAX_NS: u64 = 10 * 365 * 24 * 3600 * 1_000_000_000;

/// Each contradiction of a timeline, in words; none of a right one.
#[must_use]
pub fn contradictions(timeline: &Timeline) -> Vec<String> {
    let mut found = of_phases(timeline);
    found.extend(of_payload(timeline));
    found.extend(of_diagnoses(timeline));
    found
}

/// Of the phases, their order and their steps.
#[must_use]
pub fn of_phases(timeline: &Timeline) -> Vec<String> {
    let mut found = Found::default();
    found.check(timeline.complete == timeline.incomplete.is_empty(), || {
        "complete and incomplete contradict each other".to_owned()
    });
    let names: Vec<usize> = timeline.phases.iter().map(rank).collect();
    found.check(names == [0] || names == [0, 1, 2], || {
        format!("the phases are {names:?}")
    });
    let failed = timeline
        .initiation()
        .is_some_and(|phase| phase.failure.is_some());
    found.check(failed == (names.len() == 1), || {
        "a connection that never opened has an initiation alone, any other three phases".to_owned()
    });
    let mut before = ("the beginning", Some(0));
    for phase in &timeline.phases {
        let (name, start_ns, end_ns) = span(phase);
        found.in_order(before.0, before.1, name, start_ns);
        found.in_order(name, start_ns, "its end", end_ns);
        found.steps(name, steps(phase), start_ns, end_ns);
        before = (name, end_ns.or(start_ns).or(before.1));
    }
    found.0
}

/// Of the TLS handshake and the exchanges: they lie within the maintenance. A request may begin before it,
/// if a segment of the handshake had payload; and what the end that did not close first still sends, or
/// an end sends again, may pass after it.
#[must_use]
pub fn of_payload(timeline: &Timeline) -> Vec<String> {
    let mut found = Found::default();
    let Some(phase) = timeline.maintenance() else {
        return Vec::new();
    };
    let initiation = timeline.initiation();
    let opens_with_payload = initiation.is_some_and(opens_with_payload);
    let start_ns = phase.start_ns.filter(|_| !opens_with_payload);
    for exchange in &phase.exchanges {
        found.exchange(exchange);
        let first = exchange.request.span.start_ns;
        found.in_order("the maintenance", start_ns, "a request", first);
        if exchange.known_by == KnownBy::Segments {
            let (request, response) = (exchange.request.span, exchange.response.span);
            for (name, from, at) in [
                ("a request", End::Client, request.end_ns),
                ("a body", End::Client, exchange.body.span.end_ns),
                ("a response", End::Server, response.end_ns),
            ] {
                let end_ns = phase.end_ns.filter(|_| !may_go_on(timeline, from));
                found.in_order(name, at, "the end of the maintenance", end_ns);
            }
        }
    }
    if let Some(tls) = &phase.tls {
        found.in_order("the maintenance", start_ns, "TLS", tls.start_ns);
        found.in_order("TLS", tls.start_ns, "its end", tls.end_ns);
        for step in &tls.steps {
            let end_ns = phase.end_ns.filter(|_| !may_go_on(timeline, step.from));
            found.in_order(
                "the maintenance",
                start_ns,
                "a step of TLS",
                Some(step.at_ns),
            );
            found.in_order("a step of TLS", Some(step.at_ns), "its end", end_ns);
        }
    }
    found.0
}

/// Of the diagnoses: a course has no gap, and is as long as the shares together.
fn of_diagnoses(timeline: &Timeline) -> Vec<String> {
    let mut found = Found::default();
    for diagnosis in timeline.uploads.iter().flat_map(|upload| &upload.diagnosis) {
        found.course(diagnosis);
    }
    found.0
}

/// Whether a SYN or the third ACK had payload (RFC 7413, or a client that delays its ACK).
fn opens_with_payload(phase: &Initiation) -> bool {
    phase.steps.iter().any(|step| step.len.unwrap_or(0) > 0)
}

/// Whether payload of this end may pass after the first FIN or RST: the other end's FIN closes one
/// direction alone, and what is sent again comes late. A process may close its end first, and its FIN
/// follow its data last.
fn may_go_on(timeline: &Timeline, from: End) -> bool {
    let first = timeline.termination().and_then(|phase| {
        let step = phase.steps.first().map(|step| step.from);
        step.or(phase.closed_first)
    });
    first != Some(from) || timeline.retransmits > 0
}

const fn rank(phase: &Phase) -> usize {
    match phase {
        Phase::Initiation(_) => 0,
        Phase::Maintenance(_) => 1,
        Phase::Termination(_) => 2,
    }
}

fn span(phase: &Phase) -> (&'static str, Option<u64>, Option<u64>) {
    match phase {
        Phase::Initiation(Initiation {
            start_ns, end_ns, ..
        }) => ("the initiation", Some(*start_ns), *end_ns),
        Phase::Maintenance(phase) => {
            let Maintenance {
                start_ns, end_ns, ..
            } = **phase;
            ("the maintenance", start_ns, end_ns)
        }
        Phase::Termination(Termination {
            start_ns, end_ns, ..
        }) => ("the termination", *start_ns, *end_ns),
    }
}

fn steps(phase: &Phase) -> &[Step] {
    match phase {
        Phase::Initiation(phase) => &phase.steps,
        Phase::Maintenance(_) => &[],
        Phase::Termination(phase) => &phase.steps,
    }
}

#[derive(Default)]
struct Found(Vec<String>);

impl Found {
    fn check(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.0.push(otherwise());
        }
    }

    /// Unknown times contradict nothing.
    fn in_order(&mut self, first: &str, at: Option<u64>, second: &str, then: Option<u64>) {
        for (name, time) in [(first, at), (second, then)] {
            self.check(time.is_none_or(|time| time < MAX_NS), || {
                format!("{name} is at {time:?}")
            });
        }
        if let (Some(at), Some(then)) = (at, then) {
            self.check(at <= then, || {
                format!("{second} is at {then}, before {first} at {at}")
            });
        }
    }

    fn steps(&mut self, phase: &str, steps: &[Step], start_ns: Option<u64>, end_ns: Option<u64>) {
        let mut before = start_ns;
        for step in steps.iter().filter(|step| step.at_ns.is_some()) {
            let name = step.name.name();
            self.in_order(phase, start_ns, name, step.at_ns);
            self.in_order(name, step.at_ns, phase, end_ns);
            self.in_order("the step before", before, name, step.at_ns);
            before = step.at_ns;
        }
    }

    fn course(&mut self, diagnosis: &Diagnosis) {
        let course = &diagnosis.course;
        for (number, span) in course.iter().enumerate() {
            let before = course[..number]
                .last()
                .map_or(span.start_ns, |span| span.end_ns);
            self.check(
                before == span.start_ns && span.start_ns < span.end_ns,
                || {
                    format!(
                        "after {before} comes a span from {} to {}",
                        span.start_ns, span.end_ns
                    )
                },
            );
        }
        let ends = course.first().zip(course.last());
        let length = ends.map_or(0, |(first, last)| {
            last.end_ns.saturating_sub(first.start_ns)
        });
        let shares: u64 = diagnosis.shares.iter().map(|share| share.ns).sum();
        self.check(length == shares, || {
            format!("the course takes {length}, and the shares {shares}")
        });
    }

    fn exchange(&mut self, exchange: &Exchange) {
        // The server's clock readings are its own.
        if exchange.known_by == KnownBy::Server {
            return;
        }
        let Exchange {
            request,
            body,
            wait,
            response,
            ..
        } = exchange;
        for (
            name,
            Span {
                start_ns, end_ns, ..
            },
        ) in [
            ("a request", request.span),
            ("a body", body.span),
            ("a wait", *wait),
            ("a response", response.span),
        ] {
            self.in_order(name, start_ns, "its end", end_ns);
        }
        self.in_order(
            "a request",
            request.span.end_ns,
            "its body",
            body.span.start_ns,
        );
        self.in_order("a request", request.span.end_ns, "the wait", wait.start_ns);
        self.in_order("a body", body.span.end_ns, "the wait", wait.start_ns);
        self.in_order(
            "a wait",
            wait.end_ns,
            "the response",
            response.span.start_ns,
        );
    }
}

#[cfg(test)]
mod tests;
