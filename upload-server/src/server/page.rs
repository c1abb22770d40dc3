//! `GET /`: a page with a form and the stored files. It works without a script. The template has
//! four places to fill, too few for a template engine.

use std::time::SystemTime;

use axum::{
    Extension,
    extract::State,
    http::{
        HeaderMap,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST},
    },
    response::{Html, IntoResponse, Response},
};
use jiff::Timestamp;

use super::{
    access::Offer,
    error::Error,
    intake::Intake,
    net::connection::Exchange,
    store::{Entry, OnDuplicate},
};

const TEMPLATE: &str = include_str!("page.html");

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What the page shows.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) intake: Intake,
    pub(crate) offer: Offer,
    pub(crate) on_duplicate: OnDuplicate,
    /// Whether a client has to show the token.
    pub(crate) with_token: bool,
}

/// The page.
pub(crate) async fn index(
    State(page): State<Page>,
    Extension(exchange): Extension<Exchange>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let files = match page.offer.listing {
        true => files(&page.intake.store.list().await?, page.offer.download),
        false => String::new(),
    };
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("HOST");
    let user = if page.with_token { "-u :TOKEN " } else { "" };
    let origin = match exchange.connection.secure {
        true => format!("https://{host}"),
        false => format!("http://{host}"),
    };
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
    ];
    let filled = fill(TEMPLATE, |place| match place {
        "user" => user.to_owned(),
        "origin" => escape(&origin),
        "duplicates" => duplicates(page.on_duplicate).to_owned(),
        "files" => files.clone(),
        _ => String::new(),
    });
    Ok((headers, Html(filled)).into_response())
}

fn duplicates(on_duplicate: OnDuplicate) -> &'static str {
    match on_duplicate {
        OnDuplicate::Error => "A file whose name is taken is refused.",
        OnDuplicate::Rename => "A file whose name is taken gets another one.",
        OnDuplicate::Overwrite => "A file of the same name is replaced.",
    }
}

fn files(entries: &[Entry], download: bool) -> String {
    if entries.is_empty() {
        return "<h2>Files</h2>\n<p>No file yet.</p>".to_owned();
    }
    let rows: String = entries.iter().map(|entry| row(entry, download)).collect();
    format!("<h2>Files</h2>\n<table>\n{rows}</table>")
}

fn row(entry: &Entry, download: bool) -> String {
    let name = escape(entry.name.as_str());
    let name = match download {
        true => format!("<a href=\"/files/{}\">{name}</a>", entry.name.encoded()),
        false => name,
    };
    let (bytes, size) = (entry.bytes, human_size(entry.bytes));
    let modified = timestamp(entry.modified);
    format!("<tr><td>{name}<td title=\"{bytes} bytes\">{size}<td><time>{modified}</time>\n")
}

/// Replaces each `{{place}}` of a template; what is filled in is not looked at again.
fn fill(template: &str, content: impl Fn(&str) -> String) -> String {
    let mut filled = String::new();
    let mut pieces = template.split("{{");
    filled.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (place, text) = piece.split_once("}}").unwrap_or((piece, ""));
        filled.push_str(&content(place));
        filled.push_str(text);
    }
    filled
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn timestamp(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or(String::new(), |time| {
        time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
    })
}

/// Decimal units, as disks and networks are sold.
fn human_size(bytes: u64) -> String {
    let (scale, unit) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    format!("{}.{} {unit}", bytes / scale, bytes % scale / (scale / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_each_place_once() {
        check("a {{x}} b", "a <x> b");
        check("{{x}}{{y}}", "<x><y>");
        check("none", "none");

        fn check(template: &str, expected: &str) {
            assert_eq!(fill(template, |place| format!("<{place}>")), expected);
        }
    }

    #[test]
    fn escapes_markup() {
        assert_eq!(escape("<a href='\"&"), "&lt;a href=&#39;&quot;&amp;");
    }

    #[test]
    fn sizes_are_readable() {
        check(0, "0 B");
        check(999, "999 B");
        check(1_000, "1.0 kB");
        check(3_449_999, "3.4 MB");
        check(25_000_000_000, "25.0 GB");
        check(u64::MAX, "18446744073.7 GB");

        fn check(bytes: u64, expected: &str) {
            assert_eq!(human_size(bytes), expected);
        }
    }
}
