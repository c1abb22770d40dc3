//! The figures as tables: for exact numbers, and for people who cannot see the figures.

use maud::{Markup, html};

use upload_protocol::{
    timeline::{Certainty, Exchange, Span},
    units::{bytes, exact_bytes, moment, took},
};

use super::{
    integrity::{Count, Verdict},
    phase_details::{of_initiation, of_maintenance, of_termination},
    shown::Shown,
};

/// The JSON has the exchanges beyond these.
const MAX_EXCHANGES: usize = 100;

/// A kind of table. The style sheet has, once, what its cells need: the headings beside them where a narrow screen shows
/// them below each other, and which columns have numbers.
pub(super) struct Kind<const COUNT: usize> {
    name: &'static str,
    class: &'static str,
    columns: [Column; COUNT],
}

/// A column's heading, and whether it has numbers.
type Column = (&'static str, bool);

const INTEGRITY: Kind<3> = Kind {
    name: "Integrity",
    class: "integrity",
    columns: [
        ("Bytes of the file", false),
        ("Count", true),
        ("How it is known", false),
    ],
};

const PHASES: Kind<5> = Kind {
    name: "Phases",
    class: "phases",
    columns: [
        ("Phase", false),
        ("Begins at", true),
        ("Takes", true),
        ("Known", false),
        ("In particular", false),
    ],
};

const REQUESTS: Kind<10> = Kind {
    name: "Requests",
    class: "requests",
    columns: [
        ("Request", false),
        ("Known by", false),
        ("Begins at", true),
        ("Head", true),
        ("Body", true),
        ("Bytes", true),
        ("Rate", true),
        ("Wait", true),
        ("Response", true),
        ("Status", true),
    ],
};

/// Which cause held an upload back when.
pub(super) const COURSE: Kind<4> = Kind {
    name: "Which cause ruled when",
    class: "course",
    columns: [
        ("Held back by", false),
        ("From", true),
        ("To", true),
        ("Takes", true),
    ],
};

/// A row; the first cell is its heading, and `None` is unknown.
struct Row<const COUNT: usize> {
    /// Whether the row is of the upload that is shown.
    own: bool,
    cells: [Option<Markup>; COUNT],
}

/// The roles are explicit, since CSS takes them away where a narrow screen shows the cells below each
/// other.
fn table<const COUNT: usize>(kind: &Kind<COUNT>, rows: &[Row<COUNT>]) -> Markup {
    html! {
        div.wide tabindex="0" role="group" aria-label=(kind.name) {
            table.(kind.class) role="table" {
                thead role="rowgroup" { tr role="row" {
                    @for (heading, _) in kind.columns { th role="columnheader" { (heading) } }
                } }
                tbody role="rowgroup" {
                    @for row in rows {
                        tr class=[row.own.then_some("own")] role="row" {
                            @for (place, cell) in row.cells.iter().enumerate() {
                                @match cell {
                                    _ if place == 0 => th role="rowheader" { @if let Some(cell) = cell { (cell) } },
                                    Some(cell) => td role="cell" { (cell) },
                                    None => td.hatched role="cell" { "unknown" },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A table of cells that are all known.
pub(super) fn known<const COUNT: usize>(
    kind: &Kind<COUNT>,
    rows: impl Iterator<Item = [String; COUNT]>,
) -> Markup {
    let rows: Vec<_> = rows
        .map(|cells| Row {
            own: false,
            cells: cells.map(cell),
        })
        .collect();
    table(kind, &rows)
}

fn cell(content: impl maud::Render) -> Option<Markup> {
    Some(html! { (content) })
}

/// The verdict as a sentence with a sign.
pub(super) fn verdict(verdict: Verdict) -> Markup {
    let (class, sentence) = match verdict {
        Verdict::Agree => ("agree", "All four agree: what was sent is what is stored."),
        Verdict::AgreeAsFarAsKnown => ("agree", "All that is known agrees."),
        Verdict::CutShort => (
            "short",
            "The upload was cut short: less arrived than was announced.",
        ),
        Verdict::Differ => (
            "differ",
            "MISMATCH: these numbers have to be the same, and are not. Do not trust this file.",
        ),
        Verdict::Unknown => ("short", "There are not two numbers to compare."),
    };
    html! {
        p.verdict .(class) {
            span aria-hidden="true" {
                @match class { "agree" => "✔ ", "differ" => "✖ ", _ => "▲ " }
            }
            (sentence)
        }
    }
}

/// The counts of bytes and their sources.
pub(super) fn integrity(counts: &[Count]) -> Markup {
    let rows: Vec<_> = counts
        .iter()
        .map(|count| Row {
            own: false,
            cells: [
                cell(count.name),
                count.bytes.map(exact_bytes).and_then(cell),
                cell(&count.how),
            ],
        })
        .collect();
    table(&INTEGRITY, &rows)
}

/// The phases of a connection, and their details.
pub(super) fn phases(timeline: &Shown) -> Markup {
    let mut rows = Vec::new();
    if let Some(phase) = timeline.initiation() {
        // What nobody saw did not begin when the connection was first seen.
        let start = (phase.certainty != Certainty::Unknown).then_some(phase.start_ns);
        let span = span(start, phase.end_ns, phase.certainty);
        rows.push(phase_row("initiation", span, &of_initiation(phase)));
    }
    if let Some(phase) = timeline.maintenance() {
        let span = span(phase.start_ns, phase.end_ns, phase.certainty);
        let details = of_maintenance(phase, timeline);
        rows.push(phase_row("maintenance", span, &details));
    }
    if let Some(phase) = timeline.termination() {
        let span = span(phase.start_ns, phase.end_ns, phase.certainty);
        rows.push(phase_row("termination", span, &of_termination(timeline)));
    }
    table(&PHASES, &rows)
}

fn phase_row(name: &str, span: Span, details: &[String]) -> Row<5> {
    Row {
        own: false,
        cells: [
            cell(name),
            at(span.start_ns),
            length(span),
            cell(span.certainty.name()),
            cell(details.join(", ")),
        ],
    }
}

/// The requests of a connection.
pub(super) fn exchanges(timeline: &Shown) -> Markup {
    let exchanges = timeline.exchanges();
    let shown = exchanges.iter().take(MAX_EXCHANGES);
    let rows: Vec<_> = shown
        .map(|exchange| exchange_row(exchange, timeline.is_own(exchange)))
        .collect();
    let left_out = timeline
        .maintenance()
        .map_or(0, |phase| phase.exchanges_left_out);
    let left_out = left_out + exchanges.len().saturating_sub(MAX_EXCHANGES);
    html! {
        @if !rows.is_empty() { (table(&REQUESTS, &rows)) }
        @if left_out > 0 {
            p.note { (left_out) " more requests are not listed here." }
        }
    }
}

fn exchange_row(exchange: &Exchange, own: bool) -> Row<10> {
    let (request, body) = (&exchange.request, &exchange.body);
    let named = html! {
        (exchange.sequence) ". " (request.method) " " (request.target)
        @if own { " " strong { "(this upload)" } }
    };
    let rate = body.bytes_per_second;
    let announced = request.content_length.unwrap_or_default() > 0;
    let of_body = |known: Option<Markup>| match known {
        None if !announced && body.bytes.is_none() && exchange.response.status.is_some() => {
            cell("none seen")
        }
        known => known,
    };
    Row {
        own,
        cells: [
            Some(named),
            cell(exchange.known_by.name()),
            at(request.span.start_ns.or(request.span.end_ns)),
            length(request.span),
            of_body(length(body.span)),
            of_body(body.bytes.map(exact_bytes).and_then(cell)),
            of_body(rate.and_then(|rate| cell(format!("{}/s", bytes(rate))))),
            length(exchange.wait),
            length(exchange.response.span),
            exchange.response.status.and_then(cell),
        ],
    }
}

fn at(at_ns: Option<u64>) -> Option<Markup> {
    cell(moment(at_ns?).to_string())
}

fn length(span: Span) -> Option<Markup> {
    cell(took(span.start_ns, span.end_ns)?)
}

fn span(start_ns: Option<u64>, end_ns: Option<u64>, certainty: Certainty) -> Span {
    Span {
        start_ns,
        end_ns,
        certainty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::STYLE;

    #[track_caller]
    fn check<const COUNT: usize>(kind: &Kind<COUNT>) {
        let class = kind.class;
        for (number, (heading, is_number)) in (1..).zip(kind.columns) {
            let label = format!(
                ".timeline .{class} td:nth-child({number})::before {{ content: \"{heading}\"; }}\n"
            );
            // The first cell is a heading itself.
            assert_eq!(STYLE.contains(&label), number > 1, "{label}");
            let aligned = format!(".{class} :nth-child({number})");
            assert_eq!(STYLE.contains(&aligned), is_number, "{aligned}");
        }
        let rules = format!(".{class} td:nth-child(");
        assert_eq!(STYLE.matches(&rules).count(), COUNT - 1, "{class}");
    }

    #[test]
    fn the_style_sheet_has_the_headings() {
        check(&INTEGRITY);
        check(&PHASES);
        check(&REQUESTS);
        check(&COURSE);
    }
}
