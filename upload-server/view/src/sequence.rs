//! The connection as a sequence diagram: segments and messages in order. Each entry shows its meaning
//! on hover and on focus.

use std::cell::RefCell;

use maud::{Markup, html};

use upload_protocol::{
    End, explain,
    timeline::{Certainty, Evidence, Exchange, KnownBy, Step, TlsHandshake},
    units::{bytes, duration, exact_bytes, moment},
};

use super::{
    chart::{why_no_initiation, why_no_termination},
    connection::Names,
    sentences::Sentences,
    shown::Shown,
};

/// The table has the exchanges beyond these.
const MAX_EXCHANGES: usize = 8;

/// An entry of the diagram.
struct Entry {
    at_ns: Option<u64>,
    from: End,
    what: String,
    /// Sequence number, acknowledgment number, length, duration.
    numbers: String,
    certainty: Certainty,
    known_by: String,
    explain: Option<String>,
    /// Whether other connections have the same sentence: nothing in it is of one alone.
    is_common: bool,
    /// Whether it stands for several segments.
    many: bool,
}

impl Entry {
    /// What it means and how it is known, in words.
    fn meaning(&self) -> Option<String> {
        let sentence = self.explain.as_ref()?;
        Some(match self.known_by.as_str() {
            "" => sentence.clone(),
            known_by => format!("{sentence} Known by: {known_by}."),
        })
    }
}

/// The diagram of one connection.
pub(super) fn sequence(timeline: &Shown, names: Names<'_>) -> Markup {
    let initiation = timeline.initiation();
    let opened: Vec<Entry> = initiation.map_or_else(Vec::new, |phase| {
        let steps = phase.steps.iter();
        steps
            .map(|step| of_step(step, explain::initiation_step(step, phase, timeline)))
            .collect()
    });
    let used = maintenance(timeline);
    let termination = timeline.termination();
    let closed: Vec<Entry> = termination.map_or_else(Vec::new, |phase| {
        let steps = phase.steps.iter().zip(explain::termination_steps(phase));
        steps
            .map(|(step, sentence)| of_step(step, sentence))
            .collect()
    });
    let opened_note = initiation.and_then(explain::initiation);
    let used_note = explain::maintenance(timeline);
    let closed_note = termination.and_then(explain::termination);
    let unopened = timeline.maintenance().is_none();
    html! {
        div.sequence {
            p.ends aria-hidden="true" { span { "client" } span { "server" } }
            (phase("initiation", names, &opened, opened_note.as_deref(), &why_no_initiation(timeline)))
            @if !unopened {
                (phase("maintenance", names, &used, Some(&used_note), "no request was seen"))
                (phase("termination", names, &closed, closed_note.as_deref(), &why_no_termination(timeline)))
            }
        }
    }
}

fn phase(
    phase: &str,
    names: Names<'_>,
    entries: &[Entry],
    note: Option<&str>,
    why_none: &str,
) -> Markup {
    let name = names.own;
    html! {
        h4 { (phase) }
        @if entries.is_empty() {
            p.hatched { "Unknown: " (why_none) "." }
        } @else {
            ol.steps {
                @for (number, step) in entries.iter().enumerate() {
                    @let id = format!("{name}-{}{number}", phase.get(..1).unwrap_or_default());
                    (entry(step, &id, names.sentences))
                }
            }
        }
        @if let Some(note) = note {
            p.note { (note) }
        }
    }
}

/// What the entry means is a sentence of the page where it has that, or else is within, with this id.
fn entry(entry: &Entry, id: &str, sentences: Option<&RefCell<Sentences>>) -> Markup {
    let explained = entry.explain.is_some();
    let common = sentences.filter(|_| entry.is_common);
    let common = common.and_then(|sentences| sentences.borrow_mut().id_of(&entry.meaning()?));
    let described_by = common.as_deref().unwrap_or(id);
    let unseen = (entry.certainty != Certainty::Observed).then(|| entry.certainty.name());
    let many = entry.many.then_some("many");
    let parts = [entry.from.name()].into_iter();
    let parts: Vec<&str> = parts.chain(unseen).chain(many).collect();
    html! {
        li class=(parts.join(" "))
            tabindex=[explained.then_some("0")] aria-describedby=[explained.then_some(described_by)] {
            span {
                @match entry.at_ns {
                    Some(at) => (moment(at)),
                    None => "time unknown",
                }
            }
            // The style sheet draws the arrow.
            div {
                i { "from the " (entry.from.name()) " to the " (entry.from.other().name()) ": " }
                b { (entry.what) }
                @if !entry.numbers.is_empty() { " " (entry.numbers) }
                @if let Some(certainty) = unseen { " " em { (certainty) } }
            }
            @if let Some(sentence) = entry.explain.as_ref().filter(|_| common.is_none()) {
                p role="tooltip" id=(id) {
                    (sentence)
                    @if !entry.known_by.is_empty() {
                        " " small { "Known by: " (entry.known_by) "." }
                    }
                }
            }
        }
    }
}

fn of_step(step: &Step, sentence: String) -> Entry {
    let fields = [
        ("Seq", step.seq),
        ("Ack", step.ack),
        ("Win", step.window),
        ("Len", step.len),
    ];
    let known = fields.into_iter();
    let known = known.filter_map(|(name, number)| Some(format!("{name}={}", number?)));
    let mut numbers: Vec<String> = known.collect();
    let options = step.options.as_ref();
    let options = options.filter(|options| !options.are_unnamed());
    numbers.extend(options.map(ToString::to_string));
    Entry {
        at_ns: step.at_ns,
        from: step.from,
        what: if step.retransmit {
            format!("{} again", step.name)
        } else {
            step.name.to_string()
        },
        numbers: numbers.join(" "),
        certainty: step.certainty,
        known_by: match step.known_by {
            // As all of it.
            Evidence::Captured => String::new(),
            _ => step.known_by.to_string(),
        },
        explain: Some(sentence).filter(|sentence| !sentence.is_empty()),
        is_common: true,
        many: false,
    }
}

fn of_handshake(handshake: &TlsHandshake) -> impl Iterator<Item = Entry> {
    handshake.steps.iter().map(|step| Entry {
        at_ns: Some(step.at_ns),
        from: step.from,
        what: step.name.to_string(),
        numbers: String::new(),
        certainty: step.certainty,
        known_by: String::new(),
        explain: Some(explain::tls_step(step.name, handshake).0),
        is_common: false,
        many: false,
    })
}

fn maintenance(timeline: &Shown) -> Vec<Entry> {
    let Some(phase) = timeline.maintenance() else {
        return Vec::new();
    };
    let handshake = phase.tls.iter().flat_map(of_handshake);
    let mut entries: Vec<Entry> = handshake.collect();
    let shown = timeline.own_or_all().take(MAX_EXCHANGES);
    entries.extend(shown.flat_map(of_exchange));
    // Times by the server's clock may lie between those of the segments.
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
        known_by: match exchange.known_by {
            KnownBy::Server => "the upload server's own clock".to_owned(),
            KnownBy::Segments => "the segments".to_owned(),
        },
        explain: None,
        is_common: false,
        many,
    };
    let request = &exchange.request;
    let head = format!("{} {}", request.method, request.target);
    let start = request.span.start_ns.or(request.span.end_ns);
    let version = request.version.clone().into_owned();
    let mut entries = vec![Entry {
        // The sentence is of the whole exchange.
        explain: Some(explain::exchange(exchange)),
        ..entry(start, End::Client, head, version, false)
    }];
    if let Some(at) = request.continue_ns {
        let what = "100 Continue".to_owned();
        entries.push(entry(Some(at), End::Server, what, String::new(), false));
    }
    let body = &exchange.body;
    if let Some(count) = body.bytes.filter(|count| *count > 0) {
        let rate = body.bytes_per_second;
        let rate = rate.map_or_else(String::new, |rate| format!(", {}/s", bytes(rate)));
        let numbers = format!("{}{rate}", exact_bytes(count));
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
