//! `GET /`: a page with a form and the stored files. It works without a script. The template has
//! two places to fill, too few for a template engine.

use std::time::SystemTime;

use axum::{
    Extension,
    extract::State,
    http::{
        HeaderMap,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{Html, IntoResponse, Response},
};
use jiff::Timestamp;

use super::{error::Error, intake::Intake, net::connection::Exchange, store::Entry};

const TEMPLATE: &str = include_str!("page.html");

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The page.
pub(crate) async fn index(
    State(intake): State<Intake>,
    Extension(exchange): Extension<Exchange>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let entries = intake.store.list().await?;
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("HOST");
    let origin = match exchange.connection.secure {
        true => format!("https://{host}"),
        false => format!("http://{host}"),
    };
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Html(render(&origin, &entries))).into_response())
}

fn render(origin: &str, entries: &[Entry]) -> String {
    let rows: String = entries.iter().map(row).collect();
    fill(TEMPLATE, |place| match place {
        "origin" => escape(origin),
        "files" if rows.is_empty() => "<p>No file yet.</p>".to_owned(),
        "files" => format!("<table>\n{rows}</table>"),
        _ => String::new(),
    })
}

fn row(entry: &Entry) -> String {
    let (link, name) = (entry.name.encoded(), escape(entry.name.as_str()));
    let (bytes, size) = (entry.bytes, human_size(entry.bytes));
    let modified = timestamp(entry.modified);
    format!(
        "<tr><td><a href=\"/files/{link}\">{name}</a>\
         <td title=\"{bytes} bytes\">{size}<td><time>{modified}</time>\n"
    )
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
