//! The page's lists: the latest uploads, successful or not, and the stored files.

use jiff::Timestamp;
use maud::{Markup, html};
use upload_protocol::units;

use super::{PageQuery, units::time};
use crate::server::{
    history::UploadSummary,
    name::Name,
    relative::Links,
    store::{ListedFile, Listing},
};

/// Which uploads are on the page.
#[derive(Clone, Copy)]
pub(super) struct Range {
    /// Newer uploads exist, which an earlier page shows.
    pub(super) newer: bool,
    /// Older uploads exist.
    pub(super) older: bool,
}

/// `can_download` is whether the server offers a file of this name.
pub(super) fn uploads(
    uploads: &[UploadSummary],
    range: Range,
    links: &Links,
    can_download: impl Fn(&str) -> bool,
) -> Markup {
    let oldest = uploads.last().filter(|_| range.older);
    html! {
        h2 #latest { @if range.newer { "Older uploads" } @else { "Latest uploads" } }
        @if uploads.is_empty() {
            p { "No upload yet." }
        } @else {
            ul.rows { @for upload in uploads { (upload_row(upload, links, &can_download)) } }
        }
        @if range.newer || oldest.is_some() {
            p {
                @if range.newer { a href=(links.to("/")) { "Latest uploads" } }
                @if range.newer && oldest.is_some() { " · " }
                @if let Some(oldest) = oldest {
                    a href={ (links.to("/")) "?before=" (oldest.id) } { "Older uploads" }
                }
            }
        }
    }
}

pub(super) fn files(
    listing: &Listing,
    query: &PageQuery,
    links: &Links,
    can_download: bool,
) -> Markup {
    let Listing {
        files,
        has_more,
        all,
    } = listing;
    let newer = query.files_after.is_some();
    let last = files.last().filter(|_| *has_more);
    // The list of uploads stays where it is.
    let uploads = query.before.map(|id| format!("before={id}"));
    html! {
        h2 #files { @if newer { "Older files" } @else { "Files" } }
        @if files.is_empty() {
            p { @if newer { "No older file." } @else { "No file yet." } }
        } @else {
            ul.rows { @for file in files { (file_row(file, links, can_download)) } }
        }
        @if newer || last.is_some() {
            p {
                (files.len()) " of " (all) " files: "
                @if newer {
                    a href={ (links.to("/")) @if let Some(uploads) = &uploads { "?" (uploads) } "#files" } {
                        "Latest files"
                    }
                }
                @if newer && last.is_some() { " · " }
                @if let Some(last) = last {
                    a href={
                        (links.to("/")) "?files_after=" (last.place())
                        @if let Some(uploads) = &uploads { "&" (uploads) } "#files"
                    } { "Older files" }
                }
            }
        }
    }
}

fn upload_row(
    upload: &UploadSummary,
    links: &Links,
    can_download: impl Fn(&str) -> bool,
) -> Markup {
    let ended: Option<Timestamp> = upload.ended.parse().ok();
    html! {
        li {
            bdi.name {
                @match &upload.name {
                    Some(name) => (file_name(name, links, can_download(name))),
                    None => i { "no name" },
                }
            }
            (size_cell(upload.bytes))
            span.outcome {
                (upload.outcome)
                @if let Some(error) = &upload.error { ": " (error) }
            }
            @if let Some(ended) = ended { (time(ended)) }
            a href=(links.to(&format!("/t/{}", upload.id))) {
                @if upload.has_timeline { "timeline" } @else { "details" }
                span.unseen {
                    " of " bdi { (upload.name.as_deref().unwrap_or_default()) }
                    ", upload " (upload.id)
                }
            }
        }
    }
}

fn file_row(file: &ListedFile, links: &Links, can_download: bool) -> Markup {
    html! {
        li {
            bdi.name { (file_name(file.name.as_str(), links, can_download)) }
            (size_cell(file.bytes))
            @if let Ok(modified) = Timestamp::try_from(file.modified) { (time(modified)) }
        }
    }
}

/// A link to the file where it can be downloaded.
fn file_name(name: &str, links: &Links, can_download: bool) -> Markup {
    html! {
        @match Name::new(name) {
            Ok(name) if can_download => {
                a href=(links.to(&name.path())) { (name.as_str()) }
            }
            _ => (name),
        }
    }
}

fn size_cell(bytes: u64) -> Markup {
    html! {
        span.size title={ (bytes) " bytes" } { (units::bytes(bytes).to_string()) }
    }
}
