//! How the connection was closed: RFC 9293, section 3.6.

use serde::Serialize;

use super::{Certainty, Origin, Step, fin_after_fin_wait2, first_reset};
use crate::core::{
    connection::{Connection, Transition, View},
    end::End,
    event::State,
    segment::Flags,
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
    /// Whether each end closed before the other's FIN reached it (RFC 9293, section 3.6, case 3).
    pub simultaneous: bool,
    /// Which end holds the connection in TIME_WAIT, inferred: that state has no event. After a
    /// simultaneous close both do; this is one of them.
    pub time_wait: Option<End>,
    /// What an orderly termination would have had and this one has not.
    pub missing: Vec<&'static str>,
    /// What it means, in a sentence; where explanations were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<String>,
}

/// The two ways to end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Both directions were closed in order.
    Fin,
    /// It was reset.
    Rst,
    /// The socket was closed by an error of its own, such as a time-out, before any RST.
    Error,
}

impl Termination {
    pub(super) fn of(connection: &Connection, closed_ns: Option<u64>, origin: Origin) -> Self {
        let mut steps = seen_steps(connection, origin);
        if steps.is_empty() {
            steps = inferred_steps(connection, origin);
        }
        let reset = steps.iter().find(|step| step.name == "RST");
        let is_reset = reset.is_some();
        let is_closed = closed_ns.is_some();
        let gave_up = gave_up_before_reset(connection);
        let closed_first = first_closer(connection)
            .or(gave_up)
            .or(reset.map(|step| step.from));
        let start = connection
            .views()
            .flat_map(|(_, view)| &view.transitions)
            .filter(|seen| seen.old == State::Established)
            .map(|seen| seen.mono_ns)
            .min();
        Self {
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
            how: if is_reset && gave_up.is_none() {
                Some(How::Rst)
            } else {
                is_closed.then(|| how(connection, &steps))
            },
            half_close: closed_first.is_some_and(|end| received_after_fin(connection, end)),
            closed_first,
            simultaneous: connection
                .views()
                .any(|(_, view)| view.entered(State::Closing).is_some()),
            time_wait: if is_reset {
                None
            } else {
                time_wait(connection)
            },
            steps,
            explain: None,
        }
    }
}

/// The segments that closed the connection; none where no FIN and no RST was seen.
fn seen_steps(connection: &Connection, origin: Origin) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut fins: Vec<(End, u32)> = Vec::new();
    let is_reset = connection.views().any(|(_, view)| super::was_reset(view));
    for told in &connection.dialogue.steps {
        let is_acknowledged = |(from, number): &(End, u32)| {
            *from != told.from && told.flags.has(Flags::ACK) && told.ack == *number
        };
        let is_new = !steps
            .iter()
            .any(|step| step.from == told.from && step.ack == Some(told.ack));
        let acknowledges = fins.iter().any(is_acknowledged) && is_new;
        let name = match told.flags {
            flags if flags.has(Flags::SYN) => continue,
            // Anybody can send a RST; the kernel's word that it counted is the socket's.
            flags if flags.has(Flags::RST) && !is_reset => continue,
            flags if flags.has(Flags::RST) => "RST",
            flags if flags.has(Flags::FIN) && acknowledges => "FIN-ACK",
            flags if flags.has(Flags::FIN) => "FIN",
            _ if acknowledges => "ACK",
            _ => continue,
        };
        if told.flags.has(Flags::FIN) {
            fins.push((told.from, told.seq.wrapping_add(told.len).wrapping_add(1)));
        }
        steps.push(Step::seen(name, told, origin));
    }
    steps
}

/// The same from changes of state.
fn inferred_steps(connection: &Connection, origin: Origin) -> Vec<Step> {
    let fin_sender = first_closer(connection);
    let mut steps = fin_sender.map_or_else(Vec::new, |end| fin_steps(connection, end, origin));
    if let Some((from, at, known_by)) = first_reset(connection) {
        steps.push(Step::observed("RST", from, origin.since(at), known_by));
        steps.sort_by_key(|step| step.at_ns.unwrap_or(u64::MAX));
    }
    steps
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
    let left_fin_wait2 = || {
        fin_after_fin_wait2(connection, first)
            .map(|seen| (origin.since(seen.mono_ns), describe(first, seen)))
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
        (orderly && last.new == State::Close && view.incidents().resets.is_empty()).then_some(last)
    })
    .or_else(|| match connection.view(second) {
        None => left_fin_wait2(),
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

/// How a closed connection ended that was not reset.
fn how(connection: &Connection, steps: &[Step]) -> How {
    let is_orderly = (fins(steps) == 2 || was_let_go(connection)) && !gave_up(connection);
    if is_orderly { How::Fin } else { How::Error }
}

fn missing(connection: &Connection, steps: &[Step], is_closed: bool) -> Vec<&'static str> {
    let mut missing = Vec::new();
    match fins(steps) {
        0 => missing.push("no FIN and no RST"),
        1 if was_let_go(connection) => {
            missing.push("the second FIN was not seen: the kernel had let the socket go");
        }
        1 => missing.push("no second FIN"),
        _ => {}
    }
    if gave_up(connection) {
        missing.push("a FIN was never acknowledged");
    }
    if !is_closed {
        missing.push(match connection.lost {
            0 => "not closed yet",
            _ => "its end was not seen",
        });
    }
    missing
}

/// Whether a socket was closed by an error after it had sent its FIN.
fn gave_up(connection: &Connection) -> bool {
    connection.views().any(|(_, view)| {
        view.last().is_some_and(|last| {
            let closing = matches!(last.old, State::FinWait1 | State::LastAck | State::Closing);
            closing && last.new == State::Close && last.error != 0
        })
    })
}

/// The end that an error of its own closed, such as a time-out, where no RST had come or gone: one
/// that comes later finds nobody.
fn gave_up_before_reset(connection: &Connection) -> Option<End> {
    let reset = first_reset(connection).map_or(u64::MAX, |(_, at, _)| at);
    connection
        .views()
        .filter_map(|(end, view)| Some((end, view, view.last()?)))
        .filter(|(_, view, last)| {
            let open = matches!(last.old, State::Established | State::CloseWait);
            let closed = open && last.new == State::Close && last.error != 0;
            closed && view.incidents().resets.is_empty() && last.mono_ns < reset
        })
        .min_by_key(|(_, _, last)| last.mono_ns)
        .map(|(end, _, _)| end)
}

/// How many ends have sent a FIN.
fn fins(steps: &[Step]) -> usize {
    [End::Client, End::Server]
        .into_iter()
        .filter(|end| {
            steps
                .iter()
                .any(|step| step.from == *end && step.name.starts_with("FIN"))
        })
        .count()
}

/// Nobody held the socket any more, so the kernel replaced it in FIN_WAIT2 by a TIME_WAIT entry,
/// which no hook sees (`tcp_time_wait` with `TCP_FIN_WAIT2`).
fn was_let_go(connection: &Connection) -> bool {
    connection.views().any(|(_, view)| {
        view.last()
            .is_some_and(|last| last.old == State::FinWait2 && last.new == State::Close)
    })
}

/// The end that closed first counts bytes after its FIN: more than the peer's FIN is data.
fn received_after_fin(connection: &Connection, end: End) -> bool {
    let view = connection.view(end);
    let Some((fin, last)) = view.and_then(|view| view.entered(State::FinWait1).zip(view.last()))
    else {
        return false;
    };
    let peer_fin = u64::from(super::received_fin(connection, end));
    last.bytes_received > fin.bytes_received.saturating_add(peer_fin)
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
