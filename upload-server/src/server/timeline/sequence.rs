//! The connection as a sequence diagram: what went from whom to whom, in order. Each entry says on
//! hover and on focus what it means.

use maud::{Markup, html};

use super::{
    chart::{why_no_initiation, why_no_termination},
    document::{Certainty, End, Exchange, Step, Timeline},
    units::{duration, exact, moment, size},
};

/// After how many exchanges the others are left to the table.
const MOST_EXCHANGES: usize = 8;

/// An entry of the diagram.
struct Entry {
    at_ns: Option<u64>,
    from: End,
    what: String,
    /// Sequence and acknowledgment number, and the like.
    numbers: String,
    certainty: Certainty,
    known_by: String,
    explain: Option<String>,
    /// Of several segments.
    many: bool,
}

/// The diagram of one connection; `name` tells it from others on the page.
pub(super) fn sequence(timeline: &Timeline, name: &str) -> Markup {
    let initiation = timeline.initiation();
    let opened: Vec<Entry> = initiation
        .map_or(&[][..], |phase| &phase.steps)
        .iter()
        .map(of_step)
        .collect();
    let used = maintenance(timeline);
    let termination = timeline.termination();
    let closed: Vec<Entry> = termination
        .map_or(&[][..], |phase| &phase.steps)
        .iter()
        .map(of_step)
        .collect();
    let opened_note = initiation.and_then(|phase| phase.explain.as_deref());
    let used_note = timeline
        .maintenance()
        .and_then(|phase| phase.explain.as_deref());
    let closed_note = termination.and_then(|phase| phase.explain.as_deref());
    let unopened = timeline.maintenance().is_none();
    html! {
        div.sequence {
            p.ends aria-hidden="true" { span { "client" } span { "server" } }
            (phase("initiation", name, &opened, opened_note, &why_no_initiation(timeline)))
            @if !unopened {
                (phase("maintenance", name, &used, used_note, "no request was seen"))
                (phase("termination", name, &closed, closed_note, &why_no_termination(timeline)))
            }
        }
    }
}

fn phase(phase: &str, name: &str, entries: &[Entry], note: Option<&str>, why_none: &str) -> Markup {
    html! {
        h4 { (phase) }
        @if entries.is_empty() {
            p.hatched { "Unknown: " (why_none) "." }
        } @else {
            ol.steps {
                @for (number, step) in entries.iter().enumerate() {
                    (entry(step, &format!("{name}-{phase}-{number}")))
                }
            }
        }
        @if let Some(note) = note {
            p.note { (note) }
        }
    }
}

fn entry(entry: &Entry, id: &str) -> Markup {
    let explained = entry.explain.is_some();
    html! {
        li.step .(entry.from.word()) .(entry.certainty.word())
            tabindex=[explained.then_some("0")] aria-describedby=[explained.then_some(id)] {
            span.at {
                @match entry.at_ns {
                    Some(at) => (moment(at)),
                    None => "time unknown",
                }
            }
            span.message {
                span.what {
                    span.spoken { "from the " (entry.from.word()) " to the "
                        (entry.from.other().word()) ": " }
                    b { (entry.what) } " " span.numbers { (entry.numbers) }
                    @if entry.certainty != Certainty::Observed {
                        " " em { (entry.certainty.word()) }
                    }
                }
                (arrow(entry.from, entry.many))
            }
            @if let Some(sentence) = &entry.explain {
                span.explain role="tooltip" id=(id) {
                    (sentence)
                    @if !entry.known_by.is_empty() {
                        " " span.known { "Known by: " (entry.known_by) "." }
                    }
                }
            }
        }
    }
}

/// The line is as long as there is room; its head keeps its shape.
fn arrow(from: End, many: bool) -> Markup {
    let (start, end, tip) = match from {
        End::Client => ("0", "100%", "M-10 -6 L0 0 L-10 6 Z"),
        End::Server => ("100%", "0", "M10 -6 L0 0 L10 6 Z"),
    };
    html! {
        svg.arrow .many[many] aria-hidden="true" width="100%" height="12"
            xmlns="http://www.w3.org/2000/svg" {
            @if many {
                rect width="100%" height="6" y="3" {}
            } @else {
                line x1=(start) y1="6" x2=(end) y2="6" {}
            }
            svg x=(end) y="6" overflow="visible" { path d=(tip) {} }
        }
    }
}

fn of_step(step: &Step) -> Entry {
    let mut numbers = Vec::new();
    for (name, number) in [("Seq", step.seq), ("Ack", step.ack), ("Len", step.len)] {
        numbers.extend(number.map(|number| format!("{name}={number}")));
    }
    Entry {
        at_ns: step.at_ns,
        from: step.from,
        what: match step.retransmit {
            true => format!("{} again", step.name),
            false => step.name.clone(),
        },
        numbers: numbers.join(" "),
        certainty: step.certainty,
        known_by: step.known_by.clone(),
        explain: step.explain.clone(),
        many: false,
    }
}

fn maintenance(timeline: &Timeline) -> Vec<Entry> {
    let Some(phase) = timeline.maintenance() else {
        return Vec::new();
    };
    let tls = phase.tls.as_ref().map_or(&[][..], |tls| &tls.steps);
    let mut entries: Vec<Entry> = tls.iter().map(of_step).collect();
    let shown = timeline.own_exchanges().take(MOST_EXCHANGES);
    entries.extend(shown.flat_map(of_exchange));
    // What is known by the server's clock may lie between what the segments tell.
    entries.sort_by_key(|entry| entry.at_ns.unwrap_or(u64::MAX));
    entries
}

fn of_exchange(exchange: &Exchange) -> Vec<Entry> {
    let entry = |at_ns, from, what: String, numbers: String, many| Entry {
        at_ns,
        from,
        what,
        numbers,
        certainty: match at_ns {
            Some(_) => Certainty::Observed,
            None => Certainty::Unknown,
        },
        known_by: match exchange.known_by.as_str() {
            "server" => "the upload server's own clock".to_owned(),
            "segments" => "the segments".to_owned(),
            other => other.to_owned(),
        },
        explain: exchange.explain.clone(),
        many,
    };
    let request = &exchange.request;
    let head = format!("{} {}", request.method, request.target);
    let start = request.span.start_ns.or(request.span.end_ns);
    let mut entries = vec![entry(
        start,
        End::Client,
        head,
        request.version.clone(),
        false,
    )];
    if let Some(at) = request.continue_ns {
        let what = "100 Continue".to_owned();
        entries.push(entry(Some(at), End::Server, what, String::new(), false));
    }
    let body = &exchange.body;
    if let Some(bytes) = body.bytes.filter(|bytes| *bytes > 0) {
        let rate = body.bytes_per_second;
        let rate = rate.map_or_else(String::new, |rate| format!(", {}/s", size(rate)));
        let numbers = format!("{}{rate}", exact(bytes));
        entries.push(entry(
            body.span.start_ns,
            End::Client,
            "body".to_owned(),
            numbers,
            true,
        ));
    }
    let response = &exchange.response;
    let at = response.span.start_ns;
    if let Some(status) = response.status {
        let took = exchange.wait.start_ns.zip(exchange.wait.end_ns);
        let took = took.map(|(start, end)| duration(end.saturating_sub(start)));
        let numbers = took.map_or_else(String::new, |took| format!("after {took}"));
        entries.push(entry(
            at,
            End::Server,
            format!("response {status}"),
            numbers,
            false,
        ));
    }
    entries
}
