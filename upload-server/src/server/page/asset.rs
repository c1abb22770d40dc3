//! `GET /page/NAME`: the styles and scripts of the pages. A browser caches them, and validates them each
//! time (RFC 9111, 4.3), so that a new version of the server takes effect at once.

use axum::{
    extract::Path,
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};
use ring::digest::{SHA256, digest};

use crate::server::{encoding::hex, error::Error};

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Name, media type and content.
const ASSETS: [(&str, &str, &str); 10] = [
    ("page.css", CSS, include_str!("page.css")),
    ("page.js", SCRIPT, include_str!("page.js")),
    ("item.js", SCRIPT, include_str!("item.js")),
    ("live.js", SCRIPT, include_str!("live.js")),
    ("put.js", SCRIPT, include_str!("put.js")),
    ("request.js", SCRIPT, include_str!("request.js")),
    ("timeline.css", CSS, upload_view::STYLE),
    (
        "timeline.js",
        SCRIPT,
        include_str!("../timeline/timeline.js"),
    ),
    ("tus.js", SCRIPT, include_str!("tus.js")),
    ("units.js", SCRIPT, include_str!("units.js")),
];

pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Error> {
    let asset = ASSETS.iter().find(|(known, ..)| *known == name);
    let (_, media_type, content) = asset.ok_or(Error::NotFound)?;
    let tag = tag(content);
    let known = headers.get_all(IF_NONE_MATCH).iter();
    let is_known = known.filter_map(|tags| tags.to_str().ok()).any(|tags| {
        let mut tags = tags.split(',').map(str::trim);
        tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
    });
    let caching = [(CACHE_CONTROL, "no-cache".to_owned()), (ETAG, tag)];
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    Ok((caching, [(CONTENT_TYPE, *media_type)], *content).into_response())
}

/// An ETag that changes with the content.
fn tag(content: &str) -> String {
    let digest = digest(&SHA256, content.as_bytes());
    format!("\"{}\"", hex(digest.as_ref().get(..8).unwrap_or_default()))
}
