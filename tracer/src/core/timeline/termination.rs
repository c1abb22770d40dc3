//! How the connection was closed: RFC 9293, section 3.6.

use upload_protocol::{
    End, Flags, State,
    timeline::{Certainty, Ending, Evidence, MissingClose, Step, StepName, Termination},
};

use super::{Origin, step};
use crate::core::connection::{Connection, Ended, Transition, View};

/// `opened_ns`: when the initiation ended, from the connection's beginning.
pub(super) fn termination(
    connection: &Connection,
    opened_ns: Option<u64>,
    closed_ns: Option<u64>,
    origin: Origin,
) -> Termination {
    let mut steps = seen_steps(connection, origin);
    if steps.is_empty() {
        steps = inferred_steps(connection, origin);
    }
    steps.retain(|step| step.at_ns >= opened_ns);
    let ended = connection.ended();
    let is_reset = ended.is_some_and(|ended| !ended.gave_up);
    let is_closed = closed_ns.is_some();
    let start_ns =
        start(connection, &steps, ended, origin).map(|at| at.max(opened_ns.unwrap_or(at)));
    let last_step = steps.iter().filter_map(|step| step.at_ns).max();
    Termination {
        start_ns,
        end_ns: closed_ns.map(|at| {
            let closed = origin.since(at).max(last_step.unwrap_or_default());
            closed.max(start_ns.unwrap_or_default())
        }),
        certainty: if start_ns.is_some() && is_closed {
            Certainty::Observed
        } else {
            Certainty::Unknown
        },
        missing: if is_reset {
            Vec::new()
        } else {
            missing(connection, &steps, is_closed)
        },
        ending: match ended {
            Some(ended) if ended.gave_up => Some(Ending::Error),
            Some(_) => Some(Ending::Rst),
            None => is_closed.then(|| ending(connection, &steps)),
        },
        ended_by: ended.map(|ended| ended.by),
        cause: ended.map(|ended| ended.cause).unwrap_or_default(),
        open_end: ended.and_then(|ended| open_end(connection, ended.by)),
        half_close: closed_first(connection, ended)
            .is_some_and(|end| connection.received_after_fin(end)),
        closed_first: closed_first(connection, ended),
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

/// The first step, or when a kernel gave up, or else when the first end left ESTABLISHED: a process may
/// close its end long before its kernel has sent all data and the FIN.
fn start(
    connection: &Connection,
    steps: &[Step],
    ended: Option<Ended>,
    origin: Origin,
) -> Option<u64> {
    let first_step = steps.iter().filter_map(|step| step.at_ns).min();
    let ended_ns = ended.map(|ended| origin.since(ended.mono_ns));
    let left = connection
        .views()
        .flat_map(|(_, view)| &view.transitions)
        .filter(|seen| seen.old == State::Established)
        .map(|seen| origin.since(seen.mono_ns));
    match first_step {
        Some(first) => Some(first.min(ended_ns.unwrap_or(first))),
        None => left.chain(ended_ns).min(),
    }
}

/// The end that sent the first FIN, or ended the connection before that.
fn closed_first(connection: &Connection, ended: Option<Ended>) -> Option<End> {
    match (connection.first_close(), ended) {
        (Some((at, _)), Some(ended)) if ended.mono_ns < at => Some(ended.by),
        (Some(_), _) => connection.closed_first(),
        (None, ended) => ended.map(|ended| ended.by),
    }
}

/// The other end, if its socket was open to the last.
fn open_end(connection: &Connection, ended_by: End) -> Option<End> {
    let other = ended_by.other();
    let is_known = connection.unfinished.is_none() && connection.lost == 0;
    let is_open = connection.view(other)?.last()?.new != State::Close;
    (is_known && is_open).then_some(other)
}

/// The segments that closed the connection; empty if no FIN and no RST was seen.
fn seen_steps(connection: &Connection, origin: Origin) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut fins: Vec<(End, u32)> = Vec::new();
    let is_reset = connection.was_reset();
    for segment in &connection.dialogue.steps {
        let is_acknowledged = |(from, number): &(End, u32)| {
            (*from != segment.from || connection.is_its_own_peer())
                && segment.flags.has(Flags::ACK)
                && segment.ack == *number
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
    }
    steps.sort_by_key(|step| step.at_ns.unwrap_or(u64::MAX));
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

/// How a closed connection ended that was not reset, and that no kernel gave up.
fn ending(connection: &Connection, steps: &[Step]) -> Ending {
    // A socket that is connected to itself sends one FIN, and receives it.
    let fins_sent = if connection.is_its_own_peer() { 1 } else { 2 };
    if fins(steps) == fins_sent || connection.was_orphaned() {
        Ending::Fin
    } else {
        Ending::Error
    }
}

fn missing(connection: &Connection, steps: &[Step], is_closed: bool) -> Vec<MissingClose> {
    let mut missing = Vec::new();
    let was_told = steps.iter().any(|step| step.name == StepName::Rst);
    match fins(steps) {
        _ if was_told => {}
        0 => missing.push(MissingClose::NoFinNoRst),
        1 if connection.is_its_own_peer() => {}
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
