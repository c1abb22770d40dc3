//! How the connection was closed: RFC 9293, section 3.6.

use serde::Serialize;

use super::{Certainty, Origin, Step, fin_after_fin_wait2, first_reset};
use crate::{
    connection::{Connection, End, Transition, View},
    event::State,
};

/// The phase from the first FIN or RST to the last end's CLOSE.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Termination {
    /// When the first end began to close; `null` while none has.
    pub start_ns: Option<u64>,
    /// When the last end that was seen was in CLOSE; `null` while it is not.
    pub end_ns: Option<u64>,
    /// How the two are known.
    pub certainty: Certainty,
    /// FIN, ACK, FIN, ACK; FIN, FIN-ACK, ACK; or RST.
    pub steps: Vec<Step>,
    /// How it ended; `null` while it has not.
    pub how: Option<How>,
    /// Which end closed first, or sent the RST.
    pub closed_first: Option<End>,
    /// Whether the end that closed first went on receiving data: a half-closed connection.
    pub half_close: bool,
    /// Which end holds the connection in TIME_WAIT, inferred: that state has no event.
    pub time_wait: Option<End>,
    /// What an orderly termination would have had and this one has not.
    pub missing: Vec<&'static str>,
}

/// The two ways to end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Both directions were closed in order.
    Fin,
    /// It was reset.
    Rst,
    /// The socket was closed by an error of its own, such as a time-out, without a RST seen.
    Error,
}

impl Termination {
    pub(super) fn of(connection: &Connection, origin: Origin) -> Self {
        let fin_sender = first_closer(connection);
        let reset = first_reset(connection);
        let mut steps = fin_sender.map_or_else(Vec::new, |end| fin_steps(connection, end, origin));
        if let Some((from, at, known_by)) = reset {
            steps.push(Step::observed("RST", from, origin.since(at), known_by));
            steps.sort_by_key(|step| step.at_ns.unwrap_or(u64::MAX));
        }
        let closed_first = fin_sender.or(reset.map(|(from, ..)| from));
        let closed = connection.closed_ns();
        let start = connection
            .views()
            .flat_map(|(_, view)| &view.transitions)
            .filter(|seen| seen.old == State::Established)
            .map(|seen| seen.mono_ns)
            .min();
        Self {
            start_ns: start.map(|at| origin.since(at)),
            end_ns: closed.map(|at| origin.since(at)),
            certainty: if start.is_some() && closed.is_some() {
                Certainty::Observed
            } else {
                Certainty::Unknown
            },
            missing: missing(connection, &steps, reset.is_some()),
            how: how(connection, &steps, reset.is_some()),
            closed_first,
            half_close: fin_sender.is_some_and(|end| received_after_fin(connection.view(end))),
            time_wait: if reset.is_some() {
                None
            } else {
                time_wait(connection)
            },
            steps,
        }
    }
}

/// The end whose FIN came first, by its own FIN_WAIT1 or by its peer's CLOSE_WAIT.
fn first_closer(connection: &Connection) -> Option<End> {
    let candidates = [End::Client, End::Server].into_iter().filter_map(|end| {
        let own = connection
            .view(end)
            .and_then(|view| view.entered(State::FinWait1));
        let heard = connection
            .view(end.other())
            .and_then(|view| view.entered(State::CloseWait));
        let at = own.or(heard)?.mono_ns;
        Some((at, end))
    });
    candidates.min_by_key(|(at, _)| *at).map(|(_, end)| end)
}

/// The four steps of an orderly close that `first` began, as far as they went.
fn fin_steps(connection: &Connection, first: End, origin: Origin) -> Vec<Step> {
    let second = first.other();
    let seen = |end: End, found: fn(&View) -> Option<&Transition>| {
        connection
            .view(end)
            .and_then(found)
            .map(|seen| (origin.since(seen.mono_ns), describe(end, seen)))
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
    .or_else(|| seen(first, fin_after_fin_wait2));
    let second_ack = seen(second, |view| {
        let last = view.last()?;
        let orderly = matches!(last.old, State::LastAck | State::Closing);
        (orderly && last.new == State::Close && view.resets.is_empty()).then_some(last)
    })
    .or_else(|| match connection.view(second) {
        None => seen(first, fin_after_fin_wait2),
        Some(_) => None,
    });

    let combined = matches!((&ack, &second_fin), (Some(ack), Some(fin)) if connection.view(second).is_some() && ack.0 > fin.0);
    let mut steps = Vec::with_capacity(4);
    let mut push = |name, from, seen: Option<(u64, String)>| {
        if let Some((at, known_by)) = seen {
            steps.push(Step::inferred(name, from, Some(at), known_by));
        }
    };
    push("FIN", first, fin);
    if combined {
        push("FIN-ACK", second, second_fin);
    } else {
        push("ACK", second, ack);
        push("FIN", second, second_fin);
    }
    push("ACK", first, second_ack);
    steps
}

fn describe(end: End, seen: &Transition) -> String {
    format!("{} {}→{}", end.name(), seen.old, seen.new)
}

fn how(connection: &Connection, steps: &[Step], reset: bool) -> Option<How> {
    if reset {
        return Some(How::Rst);
    }
    connection.closed_ns()?;
    let fins = steps.iter().filter(|step| step.name.starts_with("FIN"));
    Some(if fins.count() == 2 {
        How::Fin
    } else {
        How::Error
    })
}

fn missing(connection: &Connection, steps: &[Step], reset: bool) -> Vec<&'static str> {
    if reset {
        return Vec::new();
    }
    let fins = steps
        .iter()
        .filter(|step| step.name.starts_with("FIN"))
        .count();
    let mut missing = Vec::new();
    match fins {
        0 => missing.push("no FIN and no RST"),
        1 => missing.push("no second FIN"),
        _ => {}
    }
    if connection.closed_ns().is_none() {
        missing.push("not closed yet");
    }
    missing
}

/// The end that closed first counts bytes after its FIN: more than the peer's FIN is data.
fn received_after_fin(view: Option<&View>) -> bool {
    let Some((fin, last)) = view.and_then(|view| view.entered(State::FinWait1).zip(view.last()))
    else {
        return false;
    };
    let peer_fin = u64::from(view.is_some_and(super::received_fin));
    last.counters.bytes_received > fin.counters.bytes_received + peer_fin
}

fn time_wait(connection: &Connection) -> Option<End> {
    connection
        .views()
        .find(|(_, view)| {
            view.last().is_some_and(|last| {
                matches!(last.old, State::FinWait2 | State::Closing) && last.new == State::Close
            })
        })
        .map(|(end, _)| end)
}
