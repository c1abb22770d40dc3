//! The rows of the chart: each phase, its parts, and what held the upload back.

use upload_protocol::{
    timeline::{Certainty, Diagnosis, Ending, Exchange, Span, StepName, Timeline},
    units::{bytes, duration, took},
};

use super::super::{axis::Axis, held_back::shown_diagnosis, shown::Shown};

/// The table has the exchanges beyond these.
const MAX_EXCHANGES: usize = 8;

/// A row of the chart.
pub(super) struct Row<'a> {
    pub(super) label: String,
    pub(super) class: &'static str,
    pub(super) drawn: Drawn<'a>,
    pub(super) certainty: Certainty,
    pub(super) took: String,
}

/// The figure of a row.
#[derive(Clone, Copy)]
pub(super) enum Drawn<'a> {
    /// From this moment to that.
    Span(u64, u64),
    /// Unknown: the zone is hatched.
    Unknown(usize),
    /// Which cause held the upload back when.
    Course(&'a Diagnosis),
}

pub(super) fn rows<'a>(timeline: &'a Shown, axis: &Axis) -> Vec<Row<'a>> {
    let mut rows = vec![initiation(timeline, axis)];
    rows.extend(accepted(timeline).filter(|row| is_within(row, axis)));
    if timeline.maintenance().is_none() {
        return rows;
    }
    rows.push(maintenance(timeline));
    if let Some(tls) = timeline.maintenance().and_then(|phase| phase.tls.as_ref()) {
        let label = tls
            .version
            .map_or_else(|| "TLS".to_owned(), |version| version.to_string());
        let label = format!("{label} handshake");
        let taken = Span {
            start_ns: tls.start_ns,
            end_ns: tls.end_ns,
            certainty: Certainty::Observed,
        };
        let handshake = part(label, "tls", taken);
        rows.extend(Some(handshake).filter(|row| is_within(row, axis)));
    }
    for exchange in timeline.own_or_all().take(MAX_EXCHANGES) {
        rows.extend(exchange_rows(exchange, timeline));
    }
    let ribbon = course(timeline);
    let body = rows.iter().position(|row| row.class == "body");
    let place = body.map_or(rows.len(), |body| body + 1);
    rows.splice(place..place, ribbon);
    rows.push(termination(timeline));
    rows
}

/// What held the upload back, below the first of its bodies.
fn course(timeline: &Shown) -> Option<Row<'_>> {
    let diagnosis = shown_diagnosis(timeline)?;
    let most = diagnosis.shares.first()?;
    (!diagnosis.course.is_empty()).then(|| Row {
        label: "held back by".to_owned(),
        class: "course",
        drawn: Drawn::Course(diagnosis),
        certainty: diagnosis.certainty,
        took: format!(
            "{} {:.0} %",
            diagnosis.phrase(most.cause),
            most.share * 100.0
        ),
    })
}

/// The length of a stretch of time, or `unknown`.
fn between(start_ns: Option<u64>, end_ns: Option<u64>) -> String {
    took(start_ns, end_ns).unwrap_or_else(|| "unknown".to_owned())
}

fn is_within(row: &Row<'_>, axis: &Axis) -> bool {
    match row.drawn {
        Drawn::Span(start, end) => !axis.leaves_out(u64::midpoint(start, end)),
        Drawn::Unknown(_) | Drawn::Course(_) => true,
    }
}

fn initiation(timeline: &Timeline, axis: &Axis) -> Row<'static> {
    let phase = timeline.initiation();
    let failure = phase.and_then(|phase| phase.failure.as_ref());
    let is_known = phase.is_some_and(|phase| phase.certainty != Certainty::Unknown);
    let known = axis.length_ns(0).filter(|_| is_known || failure.is_some());
    let (drawn, took) = match known {
        Some(length) => {
            let start = phase.map_or(0, |phase| phase.start_ns);
            let drawn = Drawn::Span(start, start.saturating_add(length));
            (drawn, duration(length).to_string())
        }
        None => {
            let reason = why_no_initiation(timeline);
            (Drawn::Unknown(0), format!("unknown: {reason}"))
        }
    };
    Row {
        label: match failure {
            Some(failure) => format!("initiation: {failure}"),
            None => "initiation".to_owned(),
        },
        class: "initiation",
        drawn,
        certainty: phase.map_or(Certainty::Unknown, |phase| phase.certainty),
        took,
    }
}

/// Why the opening is unknown.
pub(in super::super) fn why_no_initiation(timeline: &Timeline) -> String {
    let steps = timeline.initiation().map_or(0, |phase| phase.steps.len());
    match (timeline.incomplete.first(), steps) {
        (Some(reason), 0) => reason.to_string(),
        _ => "the client's end was not seen".to_owned(),
    }
}

fn accepted(timeline: &Timeline) -> Option<Row<'static>> {
    let phase = timeline.initiation()?;
    let (at, wait) = (phase.accepted_ns?, phase.accept_wait_ns?);
    let label = "waits for accept()".to_owned();
    let waited = Span {
        start_ns: Some(at.saturating_sub(wait)),
        end_ns: Some(at),
        certainty: Certainty::Observed,
    };
    Some(part(label, "wait", waited))
}

fn maintenance(timeline: &Timeline) -> Row<'static> {
    let phase = timeline.maintenance();
    let start = phase.and_then(|phase| phase.start_ns);
    let end = phase.and_then(|phase| phase.end_ns);
    let shown_end = end.unwrap_or_else(|| timeline.last_ns());
    let took = match (start, end) {
        (Some(start), None) if timeline.open => {
            format!("{} so far", duration(shown_end.saturating_sub(start)))
        }
        _ => between(start, end),
    };
    Row {
        label: "maintenance".to_owned(),
        class: "maintenance",
        drawn: match start {
            Some(start) => Drawn::Span(start, shown_end.max(start)),
            None => Drawn::Unknown(1),
        },
        certainty: phase.map_or(Certainty::Unknown, |phase| phase.certainty),
        took,
    }
}

fn exchange_rows<'a>(exchange: &'a Exchange, timeline: &Timeline) -> Vec<Row<'a>> {
    let (request, body, response) = (&exchange.request, &exchange.body, &exchange.response);
    let named = format!(
        "request {}: {} {}",
        exchange.sequence,
        request.method,
        short(&request.target)
    );
    let mut rows = vec![part(named, "request", request.span)];
    if body.bytes.is_some_and(|bytes| bytes > 0) || body.span.start_ns.is_some() {
        let length = body.bytes.map(|count| format!(", {}", bytes(count)));
        let rate = body.bytes_per_second;
        let rate = rate.map(|rate| format!(", {}/s", bytes(rate)));
        let label = ["body".to_owned()].into_iter().chain(length).chain(rate);
        rows.push(part(label.collect(), "body", body.span));
    }
    if response.status.is_some() {
        let is_short = request.content_length.zip(body.bytes);
        let label = if is_short.is_some_and(|(length, arrived)| arrived < length) {
            "wait: for the rest of the body"
        } else if timeline.server.cookie.is_some() {
            "wait: the server works"
        } else {
            "wait: the way there, the server's work, and the way back"
        };
        rows.push(part(label.to_owned(), "wait", exchange.wait));
    }
    let label = match response.status {
        Some(status) => format!("response {status}"),
        None => "no response was seen".to_owned(),
    };
    rows.push(part(label, "response", response.span));
    rows
}

/// A target may be of any length.
fn short(target: &str) -> String {
    const MAX: usize = 40;
    match target.char_indices().nth(MAX) {
        None => target.to_owned(),
        Some((end, _)) => format!("{}…", target.get(..end).unwrap_or_default()),
    }
}

fn termination(timeline: &Timeline) -> Row<'static> {
    let phase = timeline.termination();
    let start = phase.and_then(|phase| phase.start_ns.or_else(|| phase.steps.first()?.at_ns));
    let end = phase.and_then(|phase| phase.end_ns);
    let (drawn, took) = match start {
        Some(start) => {
            let shown_end = end.unwrap_or_else(|| timeline.last_ns());
            let drawn = Drawn::Span(start, shown_end.max(start));
            (drawn, between(Some(start), end))
        }
        None => {
            let reason = why_no_termination(timeline);
            (Drawn::Unknown(2), format!("unknown: {reason}"))
        }
    };
    let label = match who_closed(timeline) {
        Some(who) => format!("termination: {who}"),
        None => "termination".to_owned(),
    };
    Row {
        label,
        class: "termination",
        drawn,
        certainty: phase.map_or(Certainty::Unknown, |phase| phase.certainty),
        took,
    }
}

/// The end that closed first, and how, in a few words.
fn who_closed(timeline: &Timeline) -> Option<String> {
    let phase = timeline.termination()?;
    if phase.simultaneous {
        return Some("both closed at once".to_owned());
    }
    let first = phase.closed_first?.name();
    let is_reset = phase.ending == Some(Ending::Rst);
    let began_with_reset = phase
        .steps
        .first()
        .is_some_and(|step| step.name == StepName::Rst);
    let gave_up = phase.ending == Some(Ending::Error) && phase.ended_by == phase.closed_first;
    Some(if is_reset && began_with_reset {
        format!("the {first} reset it")
    } else if gave_up {
        format!("the {first} gave up")
    } else {
        format!("the {first} closed first")
    })
}

/// Why the closing is unknown.
pub(in super::super) fn why_no_termination(timeline: &Timeline) -> String {
    if timeline.open {
        "still open".to_owned()
    } else {
        "its end was not seen".to_owned()
    }
}

fn part(label: String, class: &'static str, span: Span) -> Row<'static> {
    let (start, end) = (span.start_ns, span.end_ns);
    let drawn = match (start, end) {
        (Some(start), Some(end)) => Drawn::Span(start, end.max(start)),
        (Some(at), None) | (None, Some(at)) => Drawn::Span(at, at),
        (None, None) => Drawn::Unknown(1),
    };
    Row {
        label,
        class,
        drawn,
        certainty: span.certainty,
        took: match start.or(end) {
            Some(_) => between(start, end),
            None => "unknown: not seen".to_owned(),
        },
    }
}
