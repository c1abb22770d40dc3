//! How the connection was closed: RFC 9293, section 3.6.

use upload_protocol::{
    End, Flags, State,
    timeline::{Certainty, Ending, Evidence, MissingClose, Step, StepName, Termination},
};

use super::{Origin, step};
use crate::core::connection::{Connection, Transition, View};

pub(super) fn termination(
    connection: &Connection,
    closed_ns: Option<u64>,
    origin: Origin,
) -> Termination {
    let mut steps = seen_steps(connection, origin);
    if steps.is_empty() {
        steps = inferred_steps(connection, origin);
    }
    let reset = steps.iter().find(|step| step.name == StepName::Rst);
    let is_reset = reset.is_some();
    let is_closed = closed_ns.is_some();
    let gave_up = connection.gave_up_before_reset();
    let closed_first = connection
        .closed_first()
        .or(gave_up)
        .or(reset.map(|step| step.from));
    let start = connection
        .views()
        .flat_map(|(_, view)| &view.transitions)
        .filter(|seen| seen.old == State::Established)
        .map(|seen| seen.mono_ns)
        .min();
    Termination {
        start_ns: start.map(|at| origin.since(at)),
        end_ns: closed_ns.map(|at| origin.since(at)),
        certainty: if start.is_some() && is_closed {
            Certainty::Observed
        } else {
            Certainty::Unknown
        },
        missing: if is_reset {
            Vec::new()
        } else {
            missing(connection, &steps, is_closed)
        },
        ending: if is_reset && gave_up.is_none() {
            Some(Ending::Rst)
        } else {
            is_closed.then(|| ending(connection, &steps))
        },
        half_close: closed_first.is_some_and(|end| connection.received_after_fin(end)),
        closed_first,
        simultaneous: connection
            .views()
            .any(|(_, view)| view.entered(State::Closing).is_some()),
        time_wait: if is_reset {
            None
        } else {
            connection.time_wait()
        },
        steps,
    }
}

/// The segments that closed the connection; empty if no FIN and no RST was seen.
fn seen_steps(connection: &Connection, origin: Origin) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut fins: Vec<(End, u32)> = Vec::new();
    let is_reset = connection.was_reset();
    for segment in &connection.dialogue.steps {
        let is_acknowledged = |(from, number): &(End, u32)| {
            *from != segment.from && segment.flags.has(Flags::ACK) && segment.ack == *number
        };
        let is_new = !steps
            .iter()
            .any(|step| step.from == segment.from && step.ack == Some(segment.ack));
        let acknowledges = fins.iter().any(is_acknowledged) && is_new;
        let name = match segment.flags {
            flags if flags.has(Flags::SYN) => continue,
            // Any host can forge a RST: it counts only if the socket took it.
            flags if flags.has(Flags::RST) && !is_reset => continue,
            flags if flags.has(Flags::RST) => StepName::Rst,
            flags if flags.has(Flags::FIN) && acknowledges => StepName::FinAck,
            flags if flags.has(Flags::FIN) => StepName::Fin,
            _ if acknowledges => StepName::Ack,
            _ => continue,
        };
        if segment.flags.has(Flags::FIN) {
            fins.push((
                segment.from,
                segment.seq.wrapping_add(segment.len).wrapping_add(1),
            ));
        }
        steps.push(step::seen(name, segment, origin));
    }
    steps
}

/// The steps inferred from changes of state.
fn inferred_steps(connection: &Connection, origin: Origin) -> Vec<Step> {
    let fin_sender = connection.first_closer();
    let mut steps = fin_sender.map_or_else(Vec::new, |end| fin_steps(connection, end, origin));
    if let Some(reset) = connection.first_reset() {
        let at = origin.since(reset.mono_ns);
        steps.push(step::traced(
            StepName::Rst,
            reset.from,
            at,
            reset.tracepoint,
        ));
        steps.sort_by_key(|step| step.at_ns.unwrap_or(u64::MAX));
    }
    steps
}

/// The steps of an orderly close that `first` began, as far as it went.
fn fin_steps(connection: &Connection, first: End, origin: Origin) -> Vec<Step> {
    let second = first.other();
    let seen = |end: End, found: fn(&View) -> Option<&Transition>| {
        connection
            .view(end)
            .and_then(found)
            .map(|seen| (origin.since(seen.mono_ns), step::transition(end, seen)))
    };
    let left_fin_wait2 = || {
        connection
            .fin_after_fin_wait2(first)
            .map(|seen| (origin.since(seen.mono_ns), step::transition(first, seen)))
    };
    let fin = seen(first, |view| view.entered(State::FinWait1))
        .or_else(|| seen(second, |view| view.entered(State::CloseWait)));
    let ack = seen(first, |view| {
        view.entered(State::FinWait2)
            .or_else(|| view.entered(State::Closing))
    })
    .or_else(|| seen(second, |view| view.entered(State::CloseWait)));
    let second_fin = seen(second, |view| {
        view.entered(State::LastAck).or_else(|| {
            view.entered(State::FinWait1)
                .filter(|_| view.entered(State::Closing).is_some())
        })
    })
    .or_else(left_fin_wait2);
    let second_ack = seen(second, |view| {
        let last = view.last()?;
        let orderly = matches!(last.old, State::LastAck | State::Closing);
        (orderly && last.new == State::Close && !view.was_reset()).then_some(last)
    })
    .or_else(|| match connection.view(second) {
        None => left_fin_wait2(),
        Some(_) => None,
    });

    let combined = matches!((&ack, &second_fin), (Some(ack), Some(fin)) if connection.view(second).is_some() && ack.0 > fin.0);
    let mut steps = Vec::with_capacity(4);
    let mut push = |name, from, seen: Option<(u64, Evidence)>| {
        if let Some((at, known_by)) = seen {
            steps.push(step::inferred(name, from, Some(at), known_by));
        }
    };
    push(StepName::Fin, first, fin);
    if combined {
        push(StepName::FinAck, second, second_fin);
    } else {
        push(StepName::Ack, second, ack);
        push(StepName::Fin, second, second_fin);
    }
    push(StepName::Ack, first, second_ack);
    steps
}

/// How a closed connection ended that was not reset.
fn ending(connection: &Connection, steps: &[Step]) -> Ending {
    let is_orderly =
        (fins(steps) == 2 || connection.was_orphaned()) && !connection.gave_up_closing();
    if is_orderly {
        Ending::Fin
    } else {
        Ending::Error
    }
}

fn missing(connection: &Connection, steps: &[Step], is_closed: bool) -> Vec<MissingClose> {
    let mut missing = Vec::new();
    match fins(steps) {
        0 => missing.push(MissingClose::NoFinNoRst),
        1 if connection.was_orphaned() => {
            missing.push(MissingClose::SecondFinUnseen);
        }
        1 => missing.push(MissingClose::NoSecondFin),
        _ => {}
    }
    if connection.gave_up_closing() {
        missing.push(MissingClose::FinUnacknowledged);
    }
    if !is_closed {
        missing.push(match connection.lost {
            0 => MissingClose::NotClosedYet,
            _ => MissingClose::EndUnseen,
        });
    }
    missing
}

/// The number of ends that sent a FIN.
fn fins(steps: &[Step]) -> usize {
    [End::Client, End::Server]
        .into_iter()
        .filter(|end| {
            steps
                .iter()
                .any(|step| step.from == *end && step.name.is_fin())
        })
        .count()
}
