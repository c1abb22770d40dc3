//! A page of many connections in one file: no network, no script. It is made in pieces, since the connections come one
//! by one: what comes before them has their counts, and is known last.

mod entry;
mod facts;
mod filter;

use std::cell::RefCell;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use maud::{Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};
use upload_protocol::{Moment, plain::plain_lines, units::bytes};

pub use self::facts::Facts;
use self::{entry::PAINTS, filter::Filters};
use super::{STYLE, chart::paints, connection::hint, sentences::Sentences, shown::Shown};

/// The style of the page, beside that of its timelines.
const PAGE_STYLE: &str = include_str!("report/report.css");

/// The end of the page.
pub const TAIL: &str = "</ol></main></body></html>\n";

/// What a report has, as far as it is made.
#[derive(Debug, Default)]
pub struct Report {
    filters: Filters,
    sentences: RefCell<Sentences>,
    /// Connections on the page.
    shown: u64,
    /// Connections that the page has no room for.
    left_out: u64,
    first: Option<Moment>,
    last: Option<Moment>,
}

/// What is missing in a document of many connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gaps {
    /// Connections that were not drawn: they came faster than that.
    pub undrawn: u64,
    /// Records that were lost before they reached a connection.
    pub lost: u64,
}

impl Report {
    /// Counts a connection, and gives it as the page has it. Hidden characters are escaped.
    #[must_use]
    pub fn add(&mut self, timeline: &Shown, facts: &Facts) -> String {
        self.shown += 1;
        self.filters.count(facts);
        let began = timeline.at;
        let is_first = self.first.is_none_or(|first| began.mono_ns < first.mono_ns);
        let is_last = self.last.is_none_or(|last| began.mono_ns > last.mono_ns);
        self.first = if is_first { Some(began) } else { self.first };
        self.last = if is_last { Some(began) } else { self.last };
        let entry = entry::entry(timeline, facts, self.shown, &self.sentences).into_string();
        plain_lines(&entry).into_owned()
    }

    /// Counts a connection that the page has no room for.
    pub fn leave_out(&mut self, facts: &Facts) {
        self.left_out += 1;
        self.filters.leave_out(facts);
    }

    /// What comes before the connections, whose room was `most_bytes`.
    #[must_use]
    pub fn head(&self, gaps: Gaps, most_bytes: u64) -> String {
        let sentences = self.sentences.borrow();
        let rules = [self.filters.rules(), sentences.rules()].concat();
        let style = format!("{STYLE}{PAGE_STYLE}{rules}");
        let digest = BASE64_STANDARD.encode(Sha256::digest(&style));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
        );
        let title = match self.shown {
            1 => "What TCP did: 1 connection".to_owned(),
            count => format!("What TCP did: {count} connections"),
        };
        let head = html! {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(&style)) }
            }
        };
        let summary = html! {
            h1 { (title) }
            (self.began())
            (self.missing(gaps, most_bytes))
            (self.filters.controls(self.shown))
            h2 { "Connections" }
            (hint())
            (paints(PAINTS))
            (sentences.list())
        };
        let (head, summary) = (head.into_string(), summary.into_string());
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">{head}<body class=\"timeline-page report\"><main class=\"timeline\">\
             {summary}<ol class=\"connections\">\n"
        )
    }

    fn began(&self) -> Markup {
        let Some((first, last)) = self.first.zip(self.last) else {
            return html! { p { "There was none." } };
        };
        let time = |at: Moment| {
            let at = at.timestamp();
            html! {
                time datetime=(at.strftime("%Y-%m-%dT%H:%M:%SZ")) { (at.strftime("%Y-%m-%d %H:%M:%S UTC")) }
            }
        };
        html! {
            p {
                "Began "
                @if self.shown > 1 { "from " (time(first)) " to " (time(last)) } @else { (time(first)) }
                ", in the order in which they ended. Open one to see its phases, each step, and the numbers."
            }
        }
    }

    fn missing(&self, gaps: Gaps, most_bytes: u64) -> Markup {
        html! {
            @if self.left_out > 0 {
                p.warning {
                    (self.left_out) " more connections are left out: together, those on this page take "
                    (bytes(most_bytes).to_string()) ". Held back by: " (self.filters.left_out()) "."
                }
            }
            @if gaps.undrawn > 0 {
                p.warning { (gaps.undrawn) " connections are left out: they came faster than this page was written." }
            }
            @if gaps.lost > 0 {
                p.warning { (gaps.lost) " records were lost: the connections that this may touch are incomplete." }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use upload_protocol::{
        Timeline,
        timeline::{Diagnosis, HeldBackBy, UploadSummary},
    };

    use super::*;

    fn timeline(name: &str, verdict: Option<HeldBackBy>) -> Timeline {
        Timeline {
            uploads: vec![UploadSummary {
                name: Some(name.to_owned()),
                diagnosis: Some(Box::new(Diagnosis {
                    verdict,
                    ..Diagnosis::default()
                })),
                ..UploadSummary::default()
            }],
            ..Timeline::default()
        }
    }

    fn add(report: &mut Report, timeline: Timeline) -> String {
        let facts = Facts::of(&timeline);
        report.add(&Shown::new(timeline, |_| false), &facts)
    }

    #[test]
    fn the_head_counts_what_can_be_chosen_and_what_is_left_out() {
        let mut report = Report::default();
        for verdict in [Some(HeldBackBy::Path), Some(HeldBackBy::Path), None] {
            let _ = add(&mut report, timeline("a", verdict));
        }
        for _ in 0..5 {
            report.leave_out(&Facts::of(&timeline("a", Some(HeldBackBy::Loss))));
        }
        let gaps = Gaps {
            undrawn: 7,
            lost: 9,
        };
        let head = report.head(gaps, 1_000_000);
        for part in [
            "<h1>What TCP did: 3 connections</h1>",
            "<input id=\"verdict-path\" type=\"radio\" name=\"verdict\">the path (2)</label>",
            ".report:has(#verdict-path:checked) .connections > :not(.verdict-path) { display: none; }",
            "5 more connections are left out: together, those on this page take 1.0 MB. Held back by: loss 5.",
            "7 connections are left out: they came faster",
            "9 records were lost",
        ] {
            assert!(head.contains(part), "{part} is not in {head}");
        }
        assert!(!head.contains("id=\"verdict-loss\""), "{head}");
    }

    #[test]
    fn names_are_text() {
        let entry = add(&mut Report::default(), timeline("<b>&\u{202e}", None));
        assert!(
            entry.contains("<bdi>&lt;b&gt;&amp;\\u{202e}</bdi>"),
            "{entry}"
        );
        assert!(!entry.contains("<b>&"), "{entry}");
    }
}
