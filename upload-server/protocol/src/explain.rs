//! Explains each step of a timeline, in the field's terms: pure functions of the timeline, so that the
//! terminal, the NDJSON and the server's page agree.

mod container;
mod diagnosis;
mod hops;
mod passed_to;
mod tls;

use std::{fmt::Write as _, io};

pub use self::{
    container::{container, explain_place},
    diagnosis::diagnosis,
    hops::{ambiguous_hops, hop_remarks, hops, passed_on},
    passed_to::{explain_passed_to, passed_to},
    tls::tls_step,
};
use serde_json::{Map, Value};

use crate::{
    tcp::End,
    timeline::{
        Ending, Exchange, Failure, Initiation, Maintenance, Phase, Step, StepName, Termination,
        Timeline, Timer,
    },
    units::{bytes, duration, plain, status_text},
};

/// The timeline as JSON, with the sentences of each step, exchange, phase, end and diagnosis, and of each upload's way,
/// as `explain`.
#[must_use]
pub fn with_explanations(timeline: &Timeline) -> Value {
    let mut value = serde_json::to_value(timeline).unwrap_or_default();
    let phases = value.get_mut("phases").and_then(Value::as_array_mut);
    for (phase, value) in timeline.phases.iter().zip(phases.into_iter().flatten()) {
        match phase {
            Phase::Initiation(phase) => {
                let steps = phase.steps.iter();
                let sentences = steps.map(|step| initiation_step(step, phase, timeline));
                insert_each(&mut value["steps"], sentences);
                insert(value, initiation(phase));
            }
            Phase::Maintenance(phase) => {
                if let Some(handshake) = &phase.tls {
                    let steps = handshake.steps.iter();
                    let sentences = steps.map(|step| tls_step(step.name, handshake).0);
                    insert_each(&mut value["tls"]["steps"], sentences);
                }
                insert_each(
                    &mut value["exchanges"],
                    phase.exchanges.iter().map(exchange),
                );
                insert(value, Some(maintenance(timeline)));
            }
            Phase::Termination(phase) => {
                insert_each(&mut value["steps"], termination_steps(phase));
                insert(value, termination(phase));
            }
        }
    }
    for (end, endpoint) in [
        (End::Client, &timeline.client),
        (End::Server, &timeline.server),
    ] {
        let sentence = explain_place(end, &endpoint.owner);
        insert(&mut value[end.name()], sentence);
    }
    let uploads = value.get_mut("uploads").and_then(Value::as_array_mut);
    for (upload, value) in timeline.uploads.iter().zip(uploads.into_iter().flatten()) {
        if let Some(found) = &upload.diagnosis {
            insert(&mut value["diagnosis"], Some(diagnosis(found).join(" ")));
        }
        let mut way = match upload.hops.as_slice() {
            [] => Vec::new(),
            known => hops(known),
        };
        way.extend(explain_passed_to(timeline, upload));
        insert(value, Some(way.join(" ")).filter(|way| !way.is_empty()));
    }
    value
}

/// The timeline's NDJSON line with its explanations.
#[must_use]
pub fn explained_line(timeline: &Timeline) -> Value {
    let mut line = Map::new();
    line.insert("type".to_owned(), "timeline".into());
    if let Value::Object(fields) = with_explanations(timeline) {
        line.extend(fields);
    }
    line.into()
}

fn insert_each(values: &mut Value, sentences: impl IntoIterator<Item = String>) {
    let values = values.as_array_mut().into_iter().flatten();
    for (value, sentence) in values.zip(sentences) {
        insert(
            value,
            Some(sentence).filter(|sentence| !sentence.is_empty()),
        );
    }
}

fn insert(value: &mut Value, sentence: Option<String>) {
    if let (Some(fields), Some(sentence)) = (value.as_object_mut(), sentence) {
        fields.insert("explain".to_owned(), sentence.into());
    }
}

/// The wait for `accept`, if it is known, or why the connection never opened.
pub fn initiation(phase: &Initiation) -> Option<String> {
    let is_plain = matches!(phase.failure, None | Some(Failure::Refused));
    if let Some(error) = phase.cause.error.filter(|_| !is_plain) {
        let meaning = error.meaning().unwrap_or("an error without a name here");
        let mut text = format!("The socket's error was {error}: {meaning}.");
        if phase.cause.user_timeout && phase.failure == Some(Failure::TimedOut) {
            text.push_str(" Its process had limited the wait with TCP_USER_TIMEOUT.");
        }
        return Some(text);
    }
    let wait = duration(phase.accept_wait_ns?);
    Some(format!(
        "The connection was then open, and waited {wait} in the accept queue until the server's process took it with accept(): the kernel completes handshakes by itself."
    ))
}

/// The open connection.
pub fn maintenance(timeline: &Timeline) -> String {
    let mut text = String::from(
        "Both ends are ESTABLISHED: each byte is numbered, and the receiver acknowledges the number of the next one that it expects.",
    );
    if let (Some(up), Some(down)) = (
        timeline.bytes.client_to_server,
        timeline.bytes.server_to_client,
    ) {
        let (up, down) = (bytes(up), bytes(down));
        let _ = write!(text, " {up} went to the server and {down} back");
        let by = timeline.retransmits_by;
        text.push_str(match (by.client, by.server) {
            (Some(0), Some(0)) => ", none of it twice.",
            (Some(0) | None, Some(0) | None) => ".",
            _ => "; what was not acknowledged in time was sent again.",
        });
    }
    text
}

/// The round-trip time, if it is known.
pub fn rtt(phase: &Maintenance) -> Option<String> {
    Some(format!(
        "The kernel's smoothed round-trip time was {} at the end (RFC 6298): from sending a segment to its acknowledgment.",
        duration(phase.rtt_ns?)
    ))
}

/// A request, its body and its response.
pub fn exchange(exchange: &Exchange) -> String {
    let (method, target) = (
        plain(&exchange.request.method),
        plain(&exchange.request.target),
    );
    let mut text = format!("The client sends the request {method} {target}");
    if exchange.sequence > 1 {
        let reason = if exchange.request.is_multiplexed() {
            "HTTP/2 carries many on one connection"
        } else {
            "keep-alive"
        };
        let _ = write!(
            text,
            " (request {} on this connection, which needed no handshake: {reason})",
            exchange.sequence
        );
    }
    if let Some(asked) = exchange.request.continue_ns {
        text.push_str(match exchange.body.span.start_ns {
            Some(body) if body < asked => {
                ", and sends the body before the server sends 100 Continue"
            }
            _ => ", and sends the body only after the server sends 100 Continue",
        });
    }
    if let Some(sum) = exchange.body.bytes.filter(|sum| *sum > 0) {
        let _ = write!(text, "; {} of a body follow", bytes(sum));
    }
    match exchange.response.status {
        Some(status) => {
            let _ = write!(text, "; the server answers {}", status_text(Some(status)));
        }
        None => text.push_str("; no answer was seen"),
    }
    text.push('.');
    text
}

/// The steps of the close, in order.
pub fn termination_steps(phase: &Termination) -> Vec<String> {
    let mut fins = 0;
    phase
        .steps
        .iter()
        .map(|step| {
            fins += usize::from(step.name.is_fin() && !step.retransmit);
            of_termination(step, fins, phase)
        })
        .collect()
}

/// What ended a connection, and what remains of it.
pub fn termination(phase: &Termination) -> Option<String> {
    let mut sentences: Vec<String> = Vec::new();
    sentences.extend(cause(phase));
    sentences.extend(remains(phase));
    sentences.extend(phase.open_end.map(|end| {
        format!(
            "The {}'s socket was still open: nothing had told it.",
            end.name()
        )
    }));
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// Why a kernel gave up or reset the connection.
fn cause(phase: &Termination) -> Option<String> {
    let what = &phase.cause;
    let end = phase.ended_by?.name();
    let mut text = match (phase.ending?, what.timer) {
        (Ending::Fin, _) => return None,
        (_, Some(timer)) => {
            let timer = gave_up(timer);
            format!("The {end}'s kernel gave the connection up: {timer}.")
        }
        (Ending::Error, None) => format!("The {end}'s kernel gave the connection up."),
        (Ending::Rst, None) => String::new(),
    };
    if let Some(error) = what.error {
        let _ = write!(
            text,
            " The socket's error was {error}: {}.",
            error.meaning().unwrap_or("an error without a name here")
        );
    }
    if what.user_timeout && what.timer.is_some() {
        text.push_str(" Its process had limited that wait with TCP_USER_TIMEOUT.");
    }
    if what.orphan && what.timer.is_some() {
        text.push_str(" No process held the socket any more, so none was told.");
    }
    if let Some(reason) = what.reset_reason {
        let _ = write!(
            text,
            " The kernel's reason for the RST is {reason}: {}.",
            reason.meaning()
        );
    }
    let text = text.trim_start();
    (!text.is_empty()).then(|| text.to_owned())
}

/// What a timer did before it gave up.
const fn gave_up(timer: Timer) -> &'static str {
    match timer {
        Timer::Retransmission => {
            "it sent again and again (RFC 6298), and no acknowledgment came in time"
        }
        Timer::Persist => {
            "the peer's window was closed, and it probed the window (RFC 9293, section 3.8.6.1) in vain"
        }
        Timer::KeepAlive => {
            "it asked with keep-alive probes (RFC 9293, section 3.8.4) whether the peer is there, and no answer came"
        }
        Timer::FinWait2 => {
            "its own FIN was acknowledged, the peer's did not come, and no process waited for it"
        }
    }
}

/// What remains of a closed connection.
fn remains(phase: &Termination) -> Option<String> {
    match (phase.ending, phase.time_wait) {
        (Some(Ending::Fin), Some(_)) if phase.simultaneous => Some(
            "Each end closed before the other's FIN reached it, so both keep the connection in TIME_WAIT (60 s on Linux). Inferred: the kernel reports no such state.".to_owned(),
        ),
        (Some(Ending::Fin), Some(end)) => Some(format!(
            "The {0} closed first, so the {0} keeps the connection in TIME_WAIT (60 s on Linux): a late segment of it must not be taken for a new connection's, and a lost last ACK can be sent again. Inferred: the kernel reports no such state.",
            end.name()
        )),
        (Some(Ending::Rst), _) => Some(
            "After a RST nothing is acknowledged and nobody waits: both ends forget the connection at once, and data in flight is lost.".to_owned(),
        ),
        _ => None,
    }
}

/// A step of the handshake.
pub fn initiation_step(step: &Step, phase: &Initiation, timeline: &Timeline) -> String {
    let from = step.from.name();
    if let Some(error) = step.held_back {
        let why = if step.is_filtered() {
            "a filter of this machine (netfilter, or a cgroup's program) dropped it".to_owned()
        } else {
            let error = i32::try_from(error).unwrap_or_default();
            io::Error::from_raw_os_error(error).to_string()
        };
        return format!(
            "No answer came in time, so the {from}'s kernel tries to send its {} once more and cannot: {why}.",
            step.name
        );
    }
    if step.retransmit {
        return format!(
            "No answer came in time, so the {from} sends its {} once more.",
            step.name
        );
    }
    match step.name {
        StepName::Syn => {
            let mut text = format!(
                "The {from} asks to open a connection and announces its initial sequence number, shown as 0, and what it can do"
            );
            if let Some(options) = &phase.options {
                let offered: Vec<&str> = [
                    (options.window_scale.is_some(), "window scaling"),
                    (options.sack_permitted, "selective acknowledgments"),
                    (options.timestamps, "time stamps"),
                ]
                .into_iter()
                .filter_map(|(has, name)| has.then_some(name))
                .collect();
                if !offered.is_empty() {
                    let _ = write!(text, ": {} (as agreed on in the end)", offered.join(", "));
                }
            }
            text.push('.');
            text + &largest_segment(step.from, phase, timeline)
        }
        StepName::SynAck => {
            format!(
                "The {from} agrees: it acknowledges the SYN, which takes one sequence number (Ack=1), and announces its own initial sequence number."
            ) + &largest_segment(step.from, phase, timeline)
        }
        StepName::Ack => format!(
            "The {from} acknowledges the server's SYN: each end now knows that the other receives its segments, and the connection is open."
        ),
        StepName::Rst => format!(
            "The {from} refuses: no process listens on that port, or a filter answered in its place."
        ),
        _ => String::new(),
    }
}

/// The largest segment that `from` takes, if the other end's socket was seen: its MSS is known there.
fn largest_segment(from: End, phase: &Initiation, timeline: &Timeline) -> String {
    let seen_end = match &timeline.client.cookie {
        Some(_) => End::Client,
        None => End::Server,
    };
    match &phase.options {
        Some(options) if seen_end == from.other() => format!(
            " It takes segments with up to {} bytes of payload (MSS).",
            options.mss
        ),
        _ => String::new(),
    }
}

fn of_termination(step: &Step, fins: usize, phase: &Termination) -> String {
    let from = step.from.name();
    if step.retransmit {
        return format!(
            "The {from}'s {} was not acknowledged in time and is sent again.",
            step.name
        );
    }
    match (step.name, fins) {
        (StepName::Fin, 1) => format!(
            "The {from} has nothing more to send and closes its direction; the FIN takes one sequence number. TCP would let it go on receiving."
        ),
        (StepName::Fin, _) => {
            format!("The {from} has nothing more to send either and closes the other direction.")
        }
        (StepName::FinAck, _) => format!(
            "The {from} acknowledges that FIN and closes its own direction in the same segment: two steps in one."
        ),
        (StepName::Ack, 1) => format!(
            "The {from} acknowledges the FIN: that direction is closed, the connection is half-closed until the {from} closes its own."
        ),
        (StepName::Ack, _) => {
            format!("The {from} acknowledges the last FIN: both directions are closed.")
        }
        (StepName::Rst, _) if phase.ending == Some(Ending::Error) => {
            if phase.ended_by == Some(step.from) {
                format!("The {from}'s kernel has given up, and tells the peer with a RST.")
            } else {
                format!("The {from} knows of no such connection any more, and says so with a RST.")
            }
        }
        (StepName::Rst, _) => match phase.cause.reset_reason {
            Some(reason) => format!("The {from} resets the connection: {}.", reason.meaning()),
            None => format!(
                "The {from} resets the connection: for instance because its process closed the socket with data unread or asked for that (SO_LINGER), or because it knows of no such connection."
            ),
        },
        _ => String::new(),
    }
}
