//! The initiation and the maintenance as rows of the chart.

use std::{
    collections::HashMap,
    io::{self, Write as _},
};

use upload_protocol::{
    timeline::{
        Certainty, Exchange, Failure, Frames, Http2Frames, Incomplete, Initiation, Maintenance,
        MissingEnd, Span, Step, Timeline, TlsHandshake,
    },
    units::{bytes, bytes_or_unknown, duration, plain, status_text},
};

use super::{
    Styles,
    chart::{Row, put},
    counted,
    separated::Separated,
};

/// Separates groups of remarks.
pub(super) const APART: &str = "    ";

pub(super) fn initiation(
    out: &mut Vec<u8>,
    styles: Styles,
    phase: &Initiation,
    timeline: &Timeline,
    whole: u64,
) -> io::Result<()> {
    let span = match phase.certainty {
        Certainty::Unknown => None,
        _ => phase.end_ns.map(|end| (phase.start_ns, end)),
    };
    Row::phase("initiation", styles.initiation)
        .span(span)
        .write(out, whole, |out| opening(out, styles, phase, timeline))?;
    if let Some(wait) = phase.accept_wait_ns {
        let accepted = phase.accepted_ns.map(|at| (at.saturating_sub(wait), at));
        Row::part("accepted")
            .span(accepted)
            .write(out, whole, |out| {
                put(out, "the server's accept() took it from the queue");
                Ok(())
            })?;
    }
    Ok(())
}

/// The handshake in one line, and its result.
fn opening(
    out: &mut Vec<u8>,
    styles: Styles,
    phase: &Initiation,
    timeline: &Timeline,
) -> io::Result<()> {
    let mut groups = Separated::by(APART);
    if !phase.steps.is_empty() {
        groups.next(out);
        steps(out, &phase.steps);
    }
    if phase.rtt_ns.is_some() || phase.options.is_some() {
        groups.next(out);
        agreed(out, phase)?;
    }
    if let Some(queue) = phase.accept_queue.filter(|queue| queue.is_full()) {
        let (waiting, limit) = (counted(queue.waiting.into(), "connection"), queue.limit);
        groups.next(out);
        write!(
            out,
            "{waiting} in the accept queue, more than {limit}: a SYN was dropped"
        )?;
    }
    if let Some(failure) = phase.failure {
        let (bad, text) = (styles.bad, failure_text(failure, &phase.steps));
        groups.next(out);
        write!(out, "{bad}{text}{bad:#}")?;
        if failure == Failure::TimedOut && phase.cause.user_timeout {
            put(out, " within TCP_USER_TIMEOUT");
        }
        if failure == Failure::Failed
            && let Some(error) = phase.cause.error
        {
            let meaning = error.meaning().unwrap_or("an error without a name here");
            write!(out, ": {meaning} ({error})")?;
        }
    } else if timeline.began_before() {
        let has = |reason| timeline.incomplete.contains(&reason);
        groups.next(out);
        put(
            out,
            if has(Incomplete::BeganBeforeCapture) {
                "already open when the capture began"
            } else if has(Incomplete::Resumed) {
                "already open when its earlier timeline ended"
            } else {
                "already open when the tracer began"
            },
        );
    } else if timeline.lacks_begin() {
        groups.next(out);
        put(out, "its beginning was not seen");
    }
    Ok(())
}

fn agreed(out: &mut Vec<u8>, phase: &Initiation) -> io::Result<()> {
    let mut agreed = Separated::by(", ");
    if let Some(rtt) = phase.rtt_ns {
        agreed.next(out);
        write!(out, "RTT {}", duration(rtt))?;
    }
    let Some(options) = &phase.options else {
        return Ok(());
    };
    agreed.next(out);
    write!(out, "MSS {}", options.mss)?;
    match options.window_scale {
        Some(scale) if scale.client == scale.server => {
            write!(out, ", window scale {}", scale.client)?;
        }
        Some(scale) => {
            let (client, server) = (scale.client, scale.server);
            write!(out, ", window scale {client} and {server}")?;
        }
        None => {}
    }
    if options.sack_permitted {
        put(out, ", SACK");
    }
    if options.timestamps {
        put(out, ", timestamps");
    }
    Ok(())
}

pub(super) fn maintenance(
    out: &mut Vec<u8>,
    styles: Styles,
    phase: &Maintenance,
    timeline: &Timeline,
    shown: &HashMap<String, Option<u64>>,
    whole: u64,
) -> io::Result<()> {
    let end = phase.end_ns.or(timeline.open_for_ns);
    Row::phase("maintenance", styles.maintenance)
        .span(phase.start_ns.zip(end))
        .write(out, whole, |out| carried(out, phase, timeline))?;
    if let Some(tls) = &phase.tls {
        write_tls(out, styles, tls, whole)?;
    }
    if let Some(frames) = &phase.http2 {
        write_http2(out, frames)?;
    }
    let bad = styles.bad;
    for malformed in &phase.malformed {
        let (from, what) = (malformed.from.name(), malformed.defect);
        writeln!(out, "    {bad}malformed{bad:#}  from the {from}: {what}")?;
    }
    for exchange in &phase.exchanges {
        let is_shown = exchange
            .upload
            .as_ref()
            .is_some_and(|id| shown.contains_key(id));
        if !is_shown {
            write_exchange(out, exchange, timeline, whole)?;
        }
    }
    Ok(())
}

/// Bytes in each direction, and retransmits.
fn carried(out: &mut Vec<u8>, phase: &Maintenance, timeline: &Timeline) -> io::Result<()> {
    if !timeline.open {
        let up = bytes_or_unknown(timeline.bytes.client_to_server);
        let down = bytes_or_unknown(timeline.bytes.server_to_client);
        write!(out, "{up} to the server, {down} back, ")?;
    }
    match timeline.retransmits {
        0 => put(out, "no retransmit"),
        count => write!(out, "{}", counted(count, "retransmit"))?,
    }
    let again = phase.retransmitted_bytes;
    let again = again.client.unwrap_or(0) + again.server.unwrap_or(0);
    if again > 0 {
        write!(out, " ({})", bytes(again))?;
    }
    for (end, count) in [
        ("client", timeline.retransmits_by.client),
        ("server", timeline.retransmits_by.server),
    ] {
        if count.is_none() {
            write!(out, " (the {end}'s are not seen)")?;
        }
    }
    if let Some(window) = phase.congestion_window.client {
        write!(out, ", congestion window {window}")?;
    }
    Ok(())
}

fn write_http2(out: &mut Vec<u8>, frames: &Http2Frames) -> io::Result<()> {
    for (from, count) in [("client", &frames.client), ("server", &frames.server)] {
        if count.types.is_empty() && !count.more {
            continue;
        }
        let mut list = Separated::by(", ");
        write!(out, "    HTTP/2     from the {from}: ")?;
        for (name, Frames { frames, bytes: sum }) in &count.types {
            list.next(out);
            write!(out, "{frames} {name} ({})", bytes(*sum))?;
        }
        if count.more {
            list.next(out);
            put(out, "more in parts not looked at");
        }
        out.push(b'\n');
    }
    Ok(())
}

fn write_tls(out: &mut Vec<u8>, styles: Styles, tls: &TlsHandshake, whole: u64) -> io::Result<()> {
    let row = Row::part("tls").span(tls.start_ns.zip(tls.end_ns));
    row.write(out, whole, |out| {
        match tls.version {
            Some(version) => write!(out, "{version}")?,
            None => put(out, "TLS"),
        }
        for (name, value) in [
            ("", tls.cipher_suite.as_deref()),
            ("server name ", tls.server_name.as_deref()),
            ("ALPN ", tls.alpn.as_deref()),
        ] {
            if let Some(value) = value {
                write!(out, ", {name}{}", plain(value))?;
            }
        }
        if tls.session_resumed == Some(true) {
            put(out, ", resumed");
        }
        for alert in &tls.alerts {
            let (bad, from) = (styles.bad, alert.from.name());
            let description = plain(&alert.description);
            write!(out, ", {bad}alert{bad:#} from the {from}: {description}")?;
        }
        Ok(())
    })
}

fn write_exchange(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    timeline: &Timeline,
    whole: u64,
) -> io::Result<()> {
    let (request, body, response) = (&exchange.request, &exchange.body, &exchange.response);
    let span = |span: &Span| span.start_ns.zip(span.end_ns);
    Row::part("request")
        .span(span(&request.span))
        .write(out, whole, |out| requested(out, exchange))?;
    if body.bytes.is_some() || body.span.start_ns.is_some() {
        Row::part("body")
            .span(span(&body.span))
            .write(out, whole, |out| {
                match (body.bytes, request.content_length) {
                    (Some(arrived), _) => write!(out, "{}", bytes(arrived))?,
                    (None, Some(announced)) => write!(out, "{} announced", bytes(announced))?,
                    (None, None) => put(out, "not counted"),
                }
                if let Some(rate) = body.bytes_per_second {
                    write!(out, ", {}/s", bytes(rate))?;
                }
                missing_end(out, body.missing_end);
                Ok(())
            })?;
    }
    if response.status.is_some() {
        Row::part("wait")
            .span(span(&exchange.wait))
            .write(out, whole, |out| {
                put(
                    out,
                    if timeline.server.cookie.is_some() {
                        "the server works"
                    } else {
                        "the way there, the server's work, and the way back"
                    },
                );
                Ok(())
            })?;
    }
    Row::part("response")
        .span(span(&response.span))
        .write(out, whole, |out| {
            write!(out, "{}", status_text(response.status))?;
            missing_end(out, response.missing_end);
            Ok(())
        })
}

/// Appends why a body is not whole.
fn missing_end(out: &mut Vec<u8>, reason: Option<MissingEnd>) {
    put(
        out,
        match reason {
            None => "",
            Some(MissingEnd::Closed) => ", cut off: its sender closed before the end",
            Some(MissingEnd::Reset) => ", cut off: the connection was reset",
            Some(MissingEnd::StreamReset) => ", cut off: the stream was reset",
            Some(MissingEnd::CaptureEnded) => ", cut off: the capture ends before",
            Some(MissingEnd::Hole) => ", of which the capture lacks a part",
        },
    );
}

fn requested(out: &mut Vec<u8>, exchange: &Exchange) -> io::Result<()> {
    let request = &exchange.request;
    put(out, &plain(&request.method));
    put(out, " ");
    put(out, &plain(&request.target));
    put(out, " ");
    put(out, &request.version);
    if let Some((at, asked)) = request.continue_ns.zip(request.span.end_ns) {
        let after = duration(at.saturating_sub(asked));
        write!(out, "    100 Continue after {after}")?;
    }
    if exchange.sequence > 1 {
        put(out, "    no handshake: connection reused");
    }
    Ok(())
}

/// Appends the names of the steps.
pub(super) fn steps(out: &mut Vec<u8>, steps: &[Step]) {
    let mut apart = Separated::by(" · ");
    for step in steps {
        apart.next(out);
        put(out, step.name.name());
        if step.retransmit {
            put(out, " again");
        }
        if step.certainty == Certainty::Unknown {
            put(out, "?");
        }
        if step.held_back.is_some() {
            put(out, " (did not leave)");
        }
    }
}

fn failure_text(failure: Failure, steps: &[Step]) -> &'static str {
    // Seen to leave its socket, and not known to be held back by this machine.
    let left = |step: &Step| step.held_back.is_none() && step.certainty == Certainty::Observed;
    let none_left = !steps.iter().any(left);
    match failure {
        Failure::TimedOut if none_left && steps.iter().any(Step::is_filtered) => {
            "timed out: a filter of this machine let no SYN out"
        }
        Failure::TimedOut if steps.iter().any(|step| step.held_back.is_some()) => {
            "timed out: no answer, and this machine could not send each SYN"
        }
        Failure::Refused => "refused: a RST answered the SYN",
        Failure::AcceptQueueFull => {
            "accept queue full: the server's process does not accept, the kernel drops each SYN"
        }
        Failure::TimedOut => "timed out: no answer to any SYN",
        Failure::Unreachable => "unreachable: an ICMP message said so, or there is no route",
        Failure::Reset => "reset while it was opening",
        Failure::GivenUp => "given up: the client closed the socket before an answer came",
        Failure::Aborted => "aborted: the socket was destroyed from outside, as ss -K does",
        Failure::Failed => "failed",
    }
}
