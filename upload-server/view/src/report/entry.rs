//! One connection on the page: a line, which opens to its timeline.

use std::{cell::RefCell, slice};

use maud::{Markup, html};
use upload_protocol::{
    timeline::{Certainty, UploadSummary},
    units::{bytes_or_unknown, duration, status_text},
    upload::Outcome,
};

use super::facts::{Facts, Verdict};
use crate::{
    connection::{Names, connection, endpoint},
    sentences::Sentences,
    shown::Shown,
    way::way,
};

/// The name of the paints that all connections share.
pub(super) const PAINTS: &str = "paint";
/// Uploads that the line of a connection names.
const MAX_NAMED: usize = 3;
/// Uploads that its timeline lists.
const MAX_LISTED: usize = 100;

/// The connection with this number, counted from 1.
pub(super) fn entry(
    timeline: &Shown,
    facts: &Facts,
    number: u64,
    sentences: &RefCell<Sentences>,
) -> Markup {
    let name = format!("c{number}");
    let uploads = &timeline.uploads;
    html! {
        li class=(classes(facts)) {
            details {
                summary {
                    span.number { (number) }
                    span.line {
                        span.which {
                            (endpoint(&timeline.client)) span aria-hidden="true" { " → " } i { " to " }
                            (endpoint(&timeline.server))
                        }
                        @for upload in uploads.iter().take(MAX_NAMED) { span.upload { (upload_in_short(upload)) } }
                        @if uploads.len() > MAX_NAMED { span.upload { (uploads.len() - MAX_NAMED) " more uploads" } }
                    }
                    span.fate {
                        (duration(timeline.last_ns())) ", " (facts.phase.short())
                        @for verdict in &facts.verdicts {
                            @if let Verdict::Cause(cause) = verdict { ", held back by " (cause.phrase()) }
                        }
                    }
                }
                p.note { "Connection " (timeline.connection) ", first seen " (timeline.at.time()) "." }
                @for upload in uploads.iter().take(MAX_LISTED) { p.summary { (upload_in_words(upload)) } }
                @if uploads.len() > MAX_LISTED {
                    p.note { (uploads.len() - MAX_LISTED) " more uploads are not listed here." }
                }
                @for (place, upload) in uploads.iter().enumerate().take(MAX_NAMED) {
                    (way(slice::from_ref(timeline), &upload.id, &format!("{name}-way{place}")))
                }
                (connection(timeline, Names::of_many(&name, PAINTS, sentences)))
            }
        }
    }
}

/// By which the connection is shown or hidden.
fn classes(facts: &Facts) -> String {
    let verdicts = facts.verdicts.iter();
    let verdicts = verdicts.map(|verdict| format!(" verdict-{}", verdict.name()));
    format!(
        "phase-{}{}",
        facts.phase.name(),
        verdicts.collect::<String>()
    )
}

fn upload_in_short(upload: &UploadSummary) -> Markup {
    html! {
        @if let Some(name) = &upload.name { bdi { (name) } " " }
        (bytes_or_unknown(upload.bytes).to_string())
    }
}

fn upload_in_words(upload: &UploadSummary) -> Markup {
    let is_ended = upload.status.is_some() || upload.outcome.is_some();
    html! {
        @match upload.certainty {
            Certainty::Inferred => "Upload (inferred)",
            _ => { "Upload " (upload.id) }
        }
        @if let Some(name) = &upload.name { ": " bdi { (name) } }
        ", " (bytes_or_unknown(upload.bytes).to_string())
        @if is_ended { ", " (status_text(upload.status).to_string()) }
        @if let Some(outcome) = upload.outcome {
            ", " strong .bad[outcome != Outcome::Complete] { (outcome.to_string()) }
        }
        "."
    }
}
