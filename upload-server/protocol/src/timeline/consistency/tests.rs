//! Each contradiction is found, and a right timeline has none.

use super::contradictions;
use crate::{
    tcp::End,
    timeline::{
        CauseSpan, Diagnosis, Exchange, Failure, HeldBackBy, Incomplete, Initiation, Maintenance,
        Phase, Share, Span, Step, StepName, Termination, Timeline, UploadSummary,
    },
};

const fn span(start: u64, end: u64) -> Span {
    Span {
        start_ns: Some(start),
        end_ns: Some(end),
        certainty: crate::timeline::Certainty::Observed,
    }
}

fn step(name: StepName, at_ns: u64) -> Step {
    Step {
        name,
        at_ns: Some(at_ns),
        from: End::Client,
        certainty: crate::timeline::Certainty::Observed,
        known_by: crate::timeline::Evidence::default(),
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

/// An initiation to 10, a maintenance to 90 with one exchange, a termination to 100.
fn right() -> Timeline {
    let mut exchange = Exchange::default();
    exchange.request.span = span(20, 21);
    exchange.body.span = span(21, 30);
    exchange.wait = span(30, 40);
    exchange.response.span = span(40, 50);
    Timeline {
        phases: vec![
            Phase::Initiation(Initiation {
                end_ns: Some(10),
                steps: vec![step(StepName::Syn, 1), step(StepName::Ack, 10)],
                ..Initiation::default()
            }),
            Phase::Maintenance(Box::new(Maintenance {
                start_ns: Some(10),
                end_ns: Some(90),
                exchanges: vec![exchange],
                ..Maintenance::default()
            })),
            Phase::Termination(Termination {
                start_ns: Some(90),
                end_ns: Some(100),
                steps: vec![
                    Step {
                        from: End::Server,
                        ..step(StepName::Fin, 90)
                    },
                    step(StepName::Ack, 100),
                ],
                closed_first: Some(End::Server),
                ..Termination::default()
            }),
        ],
        uploads: vec![UploadSummary {
            diagnosis: Some(Box::new(diagnosis())),
            ..UploadSummary::default()
        }],
        complete: true,
        ..Timeline::default()
    }
}

/// Of an upload from 0 to 50.
fn diagnosis() -> Diagnosis {
    let ruled = |cause, start_ns, end_ns| CauseSpan {
        cause,
        start_ns,
        end_ns,
    };
    let share = |cause, ns| Share {
        cause,
        ns,
        share: 0.5,
    };
    Diagnosis {
        course: vec![
            ruled(HeldBackBy::Connect, 0, 10),
            ruled(HeldBackBy::Path, 10, 50),
        ],
        shares: vec![share(HeldBackBy::Path, 40), share(HeldBackBy::Connect, 10)],
        ..Diagnosis::default()
    }
}

#[test]
fn a_right_timeline_has_none() {
    assert_eq!(contradictions(&right()), Vec::<String>::new());
}

#[test]
fn each_is_found() {
    let initiation = |timeline: &mut Timeline, change: fn(&mut Initiation)| {
        if let Phase::Initiation(phase) = &mut timeline.phases[0] {
            change(phase);
        }
    };
    let termination = |timeline: &mut Timeline, change: fn(&mut Termination)| {
        if let Phase::Termination(phase) = &mut timeline.phases[2] {
            change(phase);
        }
    };
    let exchange = |timeline: &mut Timeline, change: fn(&mut Exchange)| {
        change(&mut timeline.maintenance_mut().unwrap().exchanges[0]);
    };
    let course = |timeline: &mut Timeline, change: fn(&mut Vec<CauseSpan>)| {
        change(&mut timeline.uploads[0].diagnosis.as_mut().unwrap().course);
    };
    let check = |change: &dyn Fn(&mut Timeline), expected: &str| {
        let mut timeline = right();
        change(&mut timeline);
        let found = contradictions(&timeline);
        assert!(found.iter().any(|one| one.contains(expected)), "{found:?}");
    };
    check(&|it| it.complete = false, "contradict each other");
    check(
        &|it| it.incomplete = vec![Incomplete::Suspended],
        "contradict",
    );
    check(&|it| drop(it.phases.pop()), "the phases are");
    check(&|it| it.phases.swap(1, 2), "the phases are");
    check(
        &|it| initiation(it, |phase| phase.failure = Some(Failure::Reset)),
        "never opened",
    );
    check(
        &|it| initiation(it, |phase| phase.end_ns = Some(9)),
        "the initiation is at 9, before ACK at 10",
    );
    check(
        &|it| initiation(it, |phase| phase.end_ns = Some(11)),
        "the maintenance is at 10, before the initiation at 11",
    );
    check(
        &|it| initiation(it, |phase| phase.steps[0].at_ns = Some(u64::MAX - 5)),
        "SYN is at",
    );
    check(
        &|it| termination(it, |phase| phase.start_ns = Some(91)),
        "FIN is at 90, before the termination at 91",
    );
    check(
        &|it| termination(it, |phase| phase.end_ns = Some(99)),
        "the termination is at 99, before ACK at 100",
    );
    check(
        &|it| termination(it, |phase| phase.steps.reverse()),
        "before the step before",
    );
    check(
        &|it| exchange(it, |one| one.request.span.start_ns = Some(9)),
        "a request is at 9, before the maintenance at 10",
    );
    check(
        &|it| exchange(it, |one| one.wait.start_ns = Some(29)),
        "the wait is at 29, before a body at 30",
    );
    check(
        &|it| exchange(it, |one| one.response.span.end_ns = Some(91)),
        "the end of the maintenance is at 90, before a response at 91",
    );
    check(
        &|it| course(it, |spans| spans[1].start_ns = 11),
        "after 10 comes a span from 11 to 50",
    );
    check(
        &|it| course(it, |spans| spans.truncate(1)),
        "the course takes 10, and the shares 50",
    );
}

/// Payload in the handshake, and behind the other end's FIN.
#[test]
fn what_may_lie_outside() {
    let mut timeline = right();
    if let Phase::Initiation(phase) = &mut timeline.phases[0] {
        phase.steps[0].len = Some(100);
    }
    let exchange = &mut timeline.maintenance_mut().unwrap().exchanges[0];
    exchange.request.span = span(1, 1);
    exchange.body.span = span(21, 95);
    exchange.wait = span(95, 96);
    exchange.response.span = span(96, 99);
    let found = contradictions(&timeline);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("a response"), "{found:?}");
    if let Phase::Termination(phase) = &mut timeline.phases[2] {
        // The process closed first, and the FIN comes behind its data.
        phase.closed_first = Some(End::Client);
    }
    let found = contradictions(&timeline);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("a response"), "{found:?}");
    if let Phase::Termination(phase) = &mut timeline.phases[2] {
        phase.steps[0].from = End::Client;
    }
    let found = contradictions(&timeline);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("a body"), "{found:?}");
}
