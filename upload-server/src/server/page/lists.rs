//! The page's lists: the latest uploads, whatever became of them, and the files there are.

use jiff::Timestamp;

use super::html::{escape, human_size, time};
use crate::server::{history::UploadSummary, name::Name, store::ListedFile};

/// The latest uploads. `more` stand before them, and these are the `older` ones; `can_get` says
/// whether a file of this name is there to be had.
pub(super) fn uploads(
    uploads: &[UploadSummary],
    more: bool,
    older: bool,
    can_get: impl Fn(&str) -> bool,
) -> String {
    let heading = if older {
        "Older uploads"
    } else {
        "Latest uploads"
    };
    let rows: String = uploads
        .iter()
        .map(|upload| upload_row(upload, &can_get))
        .collect();
    let last = uploads.last().filter(|_| more);
    let before = last.map(|last| format!("<a href=\"/?before={}\">Older uploads</a>", last.id));
    let latest = older.then(|| "<a href=\"/\">Latest uploads</a>".to_owned());
    let ways: Vec<String> = [latest, before].into_iter().flatten().collect();
    let ways = match ways.is_empty() {
        true => String::new(),
        false => format!("<p>{}</p>\n", ways.join(" · ")),
    };
    section("latest", heading, &rows, "No upload yet.") + &ways
}

/// The files that there are.
pub(super) fn files(entries: &[ListedFile], download: bool) -> String {
    let rows: String = entries
        .iter()
        .map(|entry| file_row(entry, download))
        .collect();
    section("files", "Files", &rows, "No file yet.")
}

fn section(id: &str, heading: &str, rows: &str, none: &str) -> String {
    let list = match rows.is_empty() {
        true => format!("<p>{none}</p>\n"),
        false => format!("<ul class=\"rows\">\n{rows}</ul>\n"),
    };
    format!("<h2 id=\"{id}\">{heading}</h2>\n{list}")
}

fn upload_row(upload: &UploadSummary, can_get: impl Fn(&str) -> bool) -> String {
    let name = match &upload.name {
        Some(name) => named(name, can_get(name)),
        None => "<i>no name</i>".to_owned(),
    };
    let outcome = escape(&upload.outcome);
    let outcome = match &upload.error {
        Some(error) => format!("{outcome}: {}", escape(error)),
        None => outcome,
    };
    let ended: Option<Timestamp> = upload.ended.parse().ok();
    let (size, ended) = (size(upload.bytes), ended.map(time).unwrap_or_default());
    let way = match upload.has_timeline {
        true => "timeline",
        false => "details",
    };
    let (id, of) = (
        upload.id,
        escape(upload.name.as_deref().unwrap_or_default()),
    );
    format!(
        "<li><span class=\"name\">{name}</span>{size}<span class=\"outcome\">{outcome}</span>{ended}\
         <a href=\"/t/{id}\">{way}<span class=\"unseen\"> of {of}, upload {id}</span></a>\n"
    )
}

fn file_row(entry: &ListedFile, download: bool) -> String {
    let name = named(entry.name.as_str(), download);
    let modified = Timestamp::try_from(entry.modified);
    let modified = modified.map(time).unwrap_or_default();
    let size = size(entry.bytes);
    format!("<li><span class=\"name\">{name}</span>{size}{modified}\n")
}

/// A file's name, with the way to it where it can be had.
fn named(name: &str, can_get: bool) -> String {
    let text = escape(name);
    match Name::new(name) {
        Ok(name) if can_get => format!("<a href=\"/files/{}\">{text}</a>", name.encoded()),
        _ => text,
    }
}

fn size(bytes: u64) -> String {
    let size = human_size(bytes);
    format!("<span class=\"size\" title=\"{bytes} bytes\">{size}</span>")
}
