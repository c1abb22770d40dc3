//! The page of one upload.

use axum::http::StatusCode;
use maud::{DOCTYPE, Markup, html};
use upload_protocol::units::{bytes, duration};
use upload_view::{
    connection::{Names, connection},
    integrity, way,
};

use super::Found;
use crate::{
    record::{Outcome, Upload},
    server::{page::head::head, relative::Links},
};

/// The whole page.
pub(super) fn page(found: &Found, address: &str, links: &Links) -> Markup {
    let name = name(&found.upload);
    frame(
        &format!("{name}: upload {}", found.upload.id),
        links,
        &html! {
            (middle(found, address, links))
            script type="module" src=(links.to("/page/timeline.js")) {}
        },
    )
}

/// The page for an address that names no upload.
pub(super) fn missing(links: &Links) -> Markup {
    frame(
        "No such upload",
        links,
        &html! {
            h1 { "No such upload" }
            p { "This server knows no upload at this address, or knows it no more: it keeps the latest "
                "alone (" code { "--history" } ")." }
        },
    )
}

fn frame(title: &str, links: &Links, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(title, links, &["timeline.css"])) }
            body.timeline-page {
                header { nav aria-label="Server" { a href=(links.to("/")) { "All uploads" } } }
                main { (content) }
            }
        }
    }
}

/// The upload and its timelines. The page's script renews this part.
fn middle(found: &Found, address: &str, links: &Links) -> Markup {
    let form = |name: &str| links.to(&format!("/t/{address}.{name}"));
    let upload = &found.upload;
    let several = found.timelines.len() > 1;
    html! {
        article.timeline data-upload=(upload.id) data-open=(found.may_change()) {
            h1 { bdi { (name(upload)) } }
            (summary(upload))
            @if found.timelines.is_empty() {
                (none(found))
            }
            (way(&found.timelines, &upload.id, &format!("w{}", upload.id)))
            @for (number, timeline) in found.timelines.iter().enumerate() {
                section {
                    h2 {
                        @if several {
                            "Connection " (number + 1) " of " (found.timelines.len())
                        } @else {
                            "What TCP did"
                        }
                    }
                    @let name = format!("t{}-{number}", upload.id);
                    (connection(timeline, Names::alone(&name)))
                }
            }
            @if found.unreadable > 0 {
                p.warning { (found.unreadable) " timelines are not as this server knows them; see "
                    a href=(form("ndjson")) { "what was handed in" } "." }
            }
            section {
                h2 { "Is it whole?" }
                (integrity::verdict(upload, &found.timelines))
                (integrity::counts(upload, &found.timelines))
            }
            p.forms {
                "The same as "
                a href=(form("json")) { "JSON" } ", "
                a href=(form("ndjson")) { "NDJSON" } ", "
                a href=(form("har")) { "HAR" } " (for browsers' network panels) or "
                a href=(form("perfetto.json")) { "trace events" } " (for ui.perfetto.dev)."
            }
        }
    }
}

/// The server's own record of the upload.
pub(super) fn summary(upload: &Upload) -> Markup {
    let times = &upload.times;
    let end = times.sent_ns.or(times.response_ns).or(times.body_last_ns);
    let took = end.map(|end| end.saturating_sub(times.first_byte_ns.unwrap_or(times.head_ns)));
    html! {
        p.summary {
            "Upload " (upload.id) ": " (bytes(upload.bytes).to_string()) ", "
            strong .bad[upload.outcome != Outcome::Complete] { (upload.outcome.to_string()) }
            @match upload.status {
                Some(status) => { ", " (status) " " (reason(status)) }
                None => ", no response",
            }
            @if let Some(took) = took { ", " (duration(took).to_string()) " on the server" }
            ", from " (upload.origin())
            @if upload.forwarded_for.is_some() { ", through the proxy " (upload.client.to_string()) }
            "."
        }
        @if let Some(error) = &upload.error {
            p.warning { "What went wrong: " (error) "." }
        }
        @if let Some(sha256) = &upload.sha256 {
            p.note { "SHA-256 " code { (sha256) } }
        }
    }
}

/// Why there is no timeline, and what to do about it.
fn none(found: &Found) -> Markup {
    html! {
        section.none role="status" {
            h2 { "No timeline" }
            @if found.traced {
                p { "A tracer is attached, and has not told of this upload: the timeline comes a moment "
                    "after the upload's end. It does not come where the upload was over before the "
                    "tracer began, or where the tracer was told to watch other connections." }
                p { a href="" { "Look again" } }
            } @else {
                p { "No tracer is attached to this server, so nobody saw what TCP did for this upload." }
                p { "For the next ones, start one on the server's machine, as root:" }
                pre { code { "sudo tracer" } }
                p.note { "With " code { "--server SOCKET" } " where the server was started with "
                    code { "--control SOCKET" } ". From the source tree, "
                    code { "cargo xtask run" } " starts both." }
            }
        }
    }
}

fn name(upload: &Upload) -> String {
    upload
        .name
        .clone()
        .unwrap_or_else(|| "(no name)".to_owned())
}

fn reason(status: u16) -> &'static str {
    let status = StatusCode::from_u16(status).ok();
    status
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default()
}
