//! What each step means, in the field's words; how it is known; and the tshark display filter that
//! shows the same segment.

mod tls;

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use super::{
    DIM,
    units::{bytes, duration, plain},
};
use crate::{
    end::End,
    payload::Protocol,
    timeline::{
        Certainty, Exchange, How, Initiation, KnownBy, Maintenance, Step, Termination, Timeline,
    },
};

/// What follows is much the same.
const MOST_EXCHANGES: usize = 8;

/// The handshake.
pub(super) fn initiation(
    out: &mut impl Write,
    phase: &Initiation,
    timeline: &Timeline,
) -> io::Result<()> {
    for step in &phase.steps {
        write_step(out, step, timeline, &of_initiation(step, phase, timeline))?;
    }
    if let Some(wait) = phase.accept_wait_ns {
        let wait = duration(wait);
        note(
            out,
            &format!(
                "The connection was then open, and waited {wait} in the accept queue until the server's process took it with accept(): the kernel completes handshakes by itself."
            ),
        )?;
    }
    Ok(())
}

/// The open connection.
pub(super) fn maintenance(
    out: &mut impl Write,
    phase: &Maintenance,
    timeline: &Timeline,
) -> io::Result<()> {
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
    note(out, &text)?;
    if let Some(handshake) = &phase.tls {
        tls::handshake(out, handshake)?;
    }
    if let Some(rtt) = phase.rtt_ns {
        note(
            out,
            &format!(
                "The kernel's smoothed round-trip time was {} at the end (RFC 6298): from sending a segment to its acknowledgment.",
                duration(rtt)
            ),
        )?;
    }
    for exchange in phase.exchanges.iter().take(MOST_EXCHANGES) {
        explain_exchange(out, exchange, phase.protocol)?;
    }
    Ok(())
}

/// A request, its body and its response.
fn explain_exchange(
    out: &mut impl Write,
    exchange: &Exchange,
    protocol: Protocol,
) -> io::Result<()> {
    let (method, target) = (
        plain(&exchange.request.method),
        plain(&exchange.request.target),
    );
    let mut text = format!("The client sends the request {method} {target}");
    if exchange.sequence > 1 {
        let reason = match exchange.request.version.as_str() {
            "HTTP/2.0" => "HTTP/2 carries many on one connection",
            _ => "keep-alive",
        };
        let _ = write!(
            text,
            " (request {} on this connection, which paid no handshake: {reason})",
            exchange.sequence
        );
    }
    if let Some(asked) = exchange.request.continue_ns {
        text.push_str(match exchange.body.span.start_ns {
            Some(body) if body < asked => {
                ", and sends the body before the server has said 100 Continue"
            }
            _ => ", and sends the body only when the server has said 100 Continue",
        });
    }
    if let Some(sum) = exchange.body.bytes.filter(|sum| *sum > 0) {
        let _ = write!(text, "; {} of a body follow", bytes(sum));
    }
    match exchange.response.status {
        Some(status) => {
            let _ = write!(
                text,
                "; the server answers {}",
                super::status_text(Some(status))
            );
        }
        None => text.push_str("; no answer was seen"),
    }
    text.push('.');
    note(out, &text)?;
    let (known, filter) = match (exchange.known_by, protocol) {
        (KnownBy::Segments, _) => ("seen in the clear, segment by segment", "http"),
        (KnownBy::Server, Protocol::Tls) => (
            "encrypted on the wire: told by the upload server, by its own clock",
            "tls.app_data",
        ),
        (KnownBy::Server, Protocol::Http2) => (
            "compressed on the wire: told by the upload server, by its own clock",
            "http2",
        ),
        (KnownBy::Server, _) => ("told by the upload server, by its own clock", "http"),
    };
    writeln!(out, "             {DIM}{known}   tshark: {filter}{DIM:#}")
}

/// The close.
pub(super) fn termination(
    out: &mut impl Write,
    phase: &Termination,
    timeline: &Timeline,
) -> io::Result<()> {
    let mut fins = 0;
    for step in &phase.steps {
        fins += usize::from(step.name.starts_with("FIN") && !step.retransmit);
        write_step(out, step, timeline, &of_termination(step, fins))?;
    }
    match (phase.how, phase.time_wait) {
        (Some(How::Fin), Some(_)) if phase.simultaneous => note(
            out,
            "Each end closed before the other's FIN reached it, so both keep the connection in TIME_WAIT (60 s on Linux). Inferred: the kernel reports no such state.",
        ),
        (Some(How::Fin), Some(end)) => note(
            out,
            &format!(
                "The {0} closed first, so the {0} keeps the connection in TIME_WAIT (60 s on Linux): a late segment of it must not be taken for a new connection's, and a lost last ACK can be sent again. Inferred: the kernel reports no such state.",
                end.name()
            ),
        ),
        (Some(How::Rst), _) => note(
            out,
            "After a RST nothing is acknowledged and nobody waits: both ends forget the connection at once, and data under way is lost.",
        ),
        _ => Ok(()),
    }
}

fn of_initiation(step: &Step, phase: &Initiation, timeline: &Timeline) -> String {
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
        "SYN" => {
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
        "SYN-ACK" => {
            format!(
                "The {from} agrees: it acknowledges the SYN, which takes one sequence number (Ack=1), and announces its own initial sequence number."
            ) + &largest_segment(step.from, phase, timeline)
        }
        "ACK" => format!(
            "The {from} acknowledges the server's SYN: both know now that the other hears them, and the connection is open."
        ),
        "RST" => format!(
            "The {from} refuses: no process listens on that port, or a filter answered in its name."
        ),
        _ => String::new(),
    }
}

/// What `from` announced as the largest segment that it takes, by what the other end's socket made
/// of it.
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

fn of_termination(step: &Step, fins: usize) -> String {
    let from = step.from.name();
    if step.retransmit {
        return format!(
            "The {from}'s {} was not acknowledged in time and is sent again.",
            step.name
        );
    }
    match (step.name, fins) {
        ("FIN", 1) => format!(
            "The {from} has nothing more to send and closes its direction; the FIN takes one sequence number. TCP would let it go on receiving."
        ),
        ("FIN", _) => {
            format!("The {from} has nothing more to send either and closes the other direction.")
        }
        ("FIN-ACK", _) => format!(
            "The {from} acknowledges that FIN and closes its own direction in the same segment: two steps in one."
        ),
        ("ACK", 1) => format!(
            "The {from} acknowledges the FIN: that direction is closed, the connection is half-closed until the {from} closes its own."
        ),
        ("ACK", _) => format!("The {from} acknowledges the last FIN: both directions are closed."),
        ("RST", _) => format!(
            "The {from} breaks the connection off: for instance because its process closed the socket with data unread or asked for that (SO_LINGER), or because it knows of no such connection."
        ),
        _ => String::new(),
    }
}

fn write_step(
    out: &mut impl Write,
    step: &Step,
    timeline: &Timeline,
    sentence: &str,
) -> io::Result<()> {
    let at = step.at_ns.map_or_else(
        || "at an unknown time".to_owned(),
        |at| format!("+{}", duration(at)),
    );
    let numbers = match (step.seq, step.ack, step.len) {
        (Some(seq), Some(ack), Some(len)) => format!("  Seq={seq} Ack={ack} Len={len}"),
        (Some(seq), None, Some(len)) => format!("  Seq={seq} Len={len}"),
        _ => String::new(),
    };
    let (from, to) = (step.from.name(), step.from.other().name());
    writeln!(out, "    {:<8} {from} → {to}  {at}{numbers}", step.name)?;
    note(out, sentence)?;
    let known = match step.certainty {
        Certainty::Observed => "seen",
        Certainty::Inferred => "inferred",
        Certainty::Unknown => "not seen",
    };
    let tshark = match step.held_back {
        Some(_) => "nothing, since it never came to the device".to_owned(),
        None => filter(step, timeline),
    };
    writeln!(
        out,
        "             {DIM}{known}: {}   tshark: {tshark}{DIM:#}",
        step.known_by
    )
}

fn note(out: &mut impl Write, sentence: &str) -> io::Result<()> {
    writeln!(out, "             {sentence}")
}

/// Wireshark's display filter for the step's segment.
fn filter(step: &Step, timeline: &Timeline) -> String {
    let (sender, receiver) = match step.from {
        End::Client => (&timeline.client, &timeline.server),
        End::Server => (&timeline.server, &timeline.client),
    };
    let mut filter = format!(
        "tcp.srcport=={} && tcp.dstport=={}",
        sender.port, receiver.port
    );
    filter.push_str(match step.name {
        "SYN" => " && tcp.flags.syn==1 && tcp.flags.ack==0",
        "SYN-ACK" => " && tcp.flags.syn==1 && tcp.flags.ack==1",
        "FIN" | "FIN-ACK" => " && tcp.flags.fin==1",
        "RST" => " && tcp.flags.reset==1",
        _ => "",
    });
    if step.name == "ACK"
        && let (Some(seq), Some(ack)) = (step.seq, step.ack)
    {
        let _ = write!(
            filter,
            " && tcp.seq=={seq} && tcp.ack=={ack} && tcp.flags.syn==0"
        );
    }
    filter
}
