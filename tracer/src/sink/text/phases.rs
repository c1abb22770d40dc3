//! The three phases as rows of the chart.

use std::{
    collections::HashSet,
    fmt::Write as _,
    io::{self, Write},
};

use super::{Styles, chart::Row, counted};
use crate::{
    payload::{Frames, Http2Frames},
    sink::units::{bytes, bytes_or_unknown, duration, plain, status_text},
    timeline::{
        Certainty, Exchange, Failure, How, Initiation, Maintenance, Options, Span, Step,
        Termination, Timeline, TlsHandshake,
    },
};

pub(super) fn initiation(
    out: &mut impl Write,
    styles: Styles,
    phase: &Initiation,
    timeline: &Timeline,
    whole: u64,
) -> io::Result<()> {
    let bad = styles.bad;
    let mut agreed = Vec::new();
    agreed.extend(phase.rtt_ns.map(|rtt| format!("RTT {}", duration(rtt))));
    if let Some(options) = &phase.options {
        agreed.extend(options_text(options));
    }
    let mut detail = vec![steps(&phase.steps), agreed.join(", ")];
    if let Some(queue) = phase.accept_queue.filter(|queue| queue.is_full()) {
        let (waiting, limit) = (counted(queue.waiting.into(), "connection"), queue.limit);
        detail.push(format!(
            "{waiting} in the accept queue, more than {limit}: a SYN was dropped"
        ));
    }
    if let Some(failure) = phase.failure {
        detail.push(format!(
            "{bad}{}{bad:#}",
            failure_text(failure, &phase.steps)
        ));
    } else if timeline.began_before() {
        detail.push("already open when the tracer began".to_owned());
    } else if timeline.lacks_begin() {
        detail.push("its beginning was not seen".to_owned());
    }
    let detail = apart(detail);
    let span = match phase.certainty {
        Certainty::Unknown => None,
        _ => phase.end_ns.map(|end| (phase.start_ns, end)),
    };
    Row::phase("initiation", styles.initiation)
        .span(span)
        .write(out, whole, &detail)?;
    if let Some(wait) = phase.accept_wait_ns {
        let accepted = phase.accepted_ns.map(|at| (at.saturating_sub(wait), at));
        Row::part("accepted").span(accepted).write(
            out,
            whole,
            "the server's accept() took it from the queue",
        )?;
    }
    Ok(())
}

pub(super) fn maintenance(
    out: &mut impl Write,
    styles: Styles,
    phase: &Maintenance,
    timeline: &Timeline,
    shown: &HashSet<String>,
    whole: u64,
) -> io::Result<()> {
    let up = bytes_or_unknown(timeline.bytes.client_to_server);
    let down = bytes_or_unknown(timeline.bytes.server_to_client);
    let mut retransmits = match timeline.retransmits {
        0 => "no retransmit".to_owned(),
        1 => "1 retransmit".to_owned(),
        count => format!("{count} retransmits"),
    };
    for (end, count) in [
        ("client", timeline.retransmits_by.client),
        ("server", timeline.retransmits_by.server),
    ] {
        if count.is_none() {
            let _ = write!(retransmits, " (the {end}'s are not seen)");
        }
    }
    let detail = if timeline.open {
        retransmits
    } else {
        format!("{up} to the server, {down} back, {retransmits}")
    };
    let end = phase.end_ns.or(timeline.open_for_ns);
    Row::phase("maintenance", styles.maintenance)
        .span(phase.start_ns.zip(end))
        .write(out, whole, &detail)?;
    if let Some(tls) = &phase.tls {
        write_tls(out, styles, tls, whole)?;
    }
    if let Some(frames) = &phase.http2 {
        write_http2(out, frames)?;
    }
    let bad = styles.bad;
    for malformed in &phase.malformed {
        let (from, what) = (malformed.from.name(), malformed.what);
        writeln!(out, "    {bad}malformed{bad:#}  from the {from}: {what}")?;
    }
    for exchange in &phase.exchanges {
        let is_shown = exchange
            .upload
            .as_ref()
            .is_some_and(|id| shown.contains(id));
        if !is_shown {
            write_exchange(out, exchange, timeline, whole)?;
        }
    }
    Ok(())
}

fn write_http2(out: &mut impl Write, frames: &Http2Frames) -> io::Result<()> {
    for (from, count) in [("client", &frames.client), ("server", &frames.server)] {
        let mut list: Vec<String> = Vec::with_capacity(count.types.len());
        for (name, Frames { frames, bytes: sum }) in &count.types {
            list.push(format!("{frames} {name} ({})", bytes(*sum)));
        }
        if count.more {
            list.push("more in parts not looked at".to_owned());
        }
        if !list.is_empty() {
            writeln!(out, "    HTTP/2     from the {from}: {}", list.join(", "))?;
        }
    }
    Ok(())
}

fn write_tls(
    out: &mut impl Write,
    styles: Styles,
    tls: &TlsHandshake,
    whole: u64,
) -> io::Result<()> {
    let bad = styles.bad;
    let mut line = tls.version.clone().unwrap_or_else(|| "TLS".to_owned());
    for (name, value) in [
        ("", tls.cipher_suite.as_deref()),
        ("server name ", tls.server_name.as_deref()),
        ("ALPN ", tls.alpn.as_deref()),
    ] {
        if let Some(value) = value {
            let _ = write!(line, ", {name}{}", plain(value));
        }
    }
    if tls.session_resumed == Some(true) {
        line.push_str(", resumed");
    }
    for alert in &tls.alerts {
        let from = alert.from.name();
        let _ = write!(
            line,
            ", {bad}alert{bad:#} from the {from}: {}",
            plain(&alert.description)
        );
    }
    Row::part("tls")
        .span(tls.start_ns.zip(tls.end_ns))
        .write(out, whole, &line)
}

fn write_exchange(
    out: &mut impl Write,
    exchange: &Exchange,
    timeline: &Timeline,
    whole: u64,
) -> io::Result<()> {
    let request = &exchange.request;
    let mut line = format!(
        "{} {} {}",
        plain(&request.method),
        plain(&request.target),
        request.version
    );
    if let Some((at, asked)) = request.continue_ns.zip(request.span.end_ns) {
        let after = duration(at.saturating_sub(asked));
        let _ = write!(line, "    100 Continue after {after}");
    }
    if exchange.sequence > 1 {
        line.push_str("    handshake paid by an earlier request");
    }
    let span = |span: &Span| span.start_ns.zip(span.end_ns);
    Row::part("request")
        .span(span(&request.span))
        .write(out, whole, &line)?;
    let mut line = match (exchange.body.bytes, request.content_length) {
        (Some(arrived), _) => bytes(arrived),
        (None, Some(announced)) => format!("{} announced", bytes(announced)),
        (None, None) => "not counted".to_owned(),
    };
    if let Some(rate) = exchange.body.bytes_per_second {
        let _ = write!(line, ", {}/s", bytes(rate));
    }
    if exchange.body.bytes.is_some() || exchange.body.span.start_ns.is_some() {
        Row::part("body")
            .span(span(&exchange.body.span))
            .write(out, whole, &line)?;
    }
    let waits_for = if timeline.server.cookie.is_some() {
        "the server works"
    } else {
        "the way there, the server's work, and the way back"
    };
    if exchange.response.status.is_some() {
        Row::part("wait")
            .span(span(&exchange.wait))
            .write(out, whole, waits_for)?;
    }
    Row::part("response")
        .span(span(&exchange.response.span))
        .write(out, whole, &status_text(exchange.response.status))
}

pub(super) fn termination(
    out: &mut impl Write,
    styles: Styles,
    phase: &Termination,
    timeline: &Timeline,
    whole: u64,
) -> io::Result<()> {
    let detail = termination_text(phase, timeline);
    Row::phase("termination", styles.termination)
        .span(phase.start_ns.zip(phase.end_ns))
        .write(out, whole, &detail)
}

pub(super) fn termination_text(phase: &Termination, timeline: &Timeline) -> String {
    if timeline.open && phase.steps.is_empty() {
        return "the connection is still open".to_owned();
    }
    let mut remarks = Vec::new();
    if phase.simultaneous && phase.how == Some(How::Fin) {
        remarks.push("both closed at once".to_owned());
    } else if let Some(end) = phase.closed_first {
        let did = match (phase.how, phase.steps.first()) {
            (Some(How::Rst), Some(step)) if step.name == "RST" => "reset it",
            (Some(How::Error), None) => "gave up",
            (Some(How::Error), Some(step)) if step.name == "RST" => "gave up",
            _ => "closed first",
        };
        let mut remark = format!("{} {did}", end.name());
        if phase.half_close {
            remark.push_str(", then went on receiving (half-close)");
        }
        remarks.push(remark);
    }
    remarks.extend(phase.missing.iter().map(|missing| (*missing).to_owned()));
    apart(vec![steps(&phase.steps), remarks.join(", ")])
}

/// What there is of these, set apart.
fn apart(mut groups: Vec<String>) -> String {
    groups.retain(|group| !group.is_empty());
    groups.join("    ")
}

fn options_text(options: &Options) -> Vec<String> {
    let mut agreed = vec![format!("MSS {}", options.mss)];
    match options.window_scale {
        Some(scale) if scale.client == scale.server => {
            agreed.push(format!("window scale {}", scale.client));
        }
        Some(scale) => {
            let (client, server) = (scale.client, scale.server);
            agreed.push(format!("window scale {client} and {server}"));
        }
        None => {}
    }
    if options.sack_permitted {
        agreed.push("SACK".to_owned());
    }
    if options.timestamps {
        agreed.push("timestamps".to_owned());
    }
    agreed
}

fn steps(steps: &[Step]) -> String {
    let names: Vec<String> = steps
        .iter()
        .map(|step| {
            let again = if step.retransmit { " again" } else { "" };
            let unknown = if step.certainty == Certainty::Unknown {
                "?"
            } else {
                ""
            };
            let held_back = if step.held_back.is_some() {
                " (did not leave)"
            } else {
                ""
            };
            format!("{}{again}{unknown}{held_back}", step.name)
        })
        .collect();
    names.join(" · ")
}

fn failure_text(failure: Failure, steps: &[Step]) -> &'static str {
    // Seen to leave the socket, and nothing said that it did not leave the machine.
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
        Failure::Failed => "failed",
    }
}
