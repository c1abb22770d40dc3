//! `GET /t/ID`: what TCP did for an upload, as a page that needs no script. The timelines come from
//! a tracer through the control socket; `upload-view` draws them. The same record is at `/t/ID.json`, `.ndjson`, `.har` and
//! `.perfetto.json`. With `?fragment` it is what the upload page shows beside the upload.

mod fragment;
mod page;

use std::{io, sync::Arc};

use axum::{
    Extension, Router,
    extract::{Path, RawQuery, State},
    http::{
        StatusCode, Uri,
        header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;
use upload_protocol::{
    plain::plain_json,
    timeline::{Exchange, Timeline},
};
use upload_view::{
    Shown,
    har::{Creator, har},
    perfetto,
};

use super::{
    encoding::json_line, error::Error, journal::Journal, net::connection::RequestContext,
    page::visible,
};
use crate::record::{Cookie, Upload};

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     connect-src 'self'; img-src data:; form-action 'none'; base-uri 'none'; \
     frame-ancestors 'none'";

/// Who makes the HAR.
const CREATOR: Creator<'_> = Creator {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
};

/// An upload and its timelines.
struct Found {
    upload: Upload,
    /// The timelines as they were handed in, without those of other uploads' connections.
    lines: Vec<Bytes>,
    /// The readable ones, in the order in which the connections began.
    timelines: Vec<Shown>,
    /// How many of them are unreadable.
    unreadable: usize,
    /// Whether a tracer is attached now.
    traced: bool,
}

/// The routes.
pub(crate) fn router(journal: Arc<Journal>) -> Router {
    Router::new()
        .route("/t/{address}", get(show))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .with_state(journal)
}

/// The page, or the form of the record that the address ends in.
async fn show(
    State(journal): State<Arc<Journal>>,
    Extension(context): Extension<RequestContext>,
    Path(address): Path<String>,
    RawQuery(query): RawQuery,
    uri: Uri,
) -> Result<Response, Error> {
    let links = context.links(uri.path());
    let (address, form) = match address.split_once('.') {
        Some((address, form)) => (address, Some(form)),
        None => (address.as_str(), None),
    };
    let found = match journal.addresses.read(address).map(str::to_owned) {
        Some(id) => Found::look_up(Arc::clone(&journal), id).await?,
        None => None,
    };
    let Some(found) = found else {
        return match form {
            None => Ok((StatusCode::NOT_FOUND, html(page::missing(&links))).into_response()),
            Some(_) => Err(Error::NotFound),
        };
    };
    match form {
        None if query.as_deref() == Some("fragment") => {
            // A part of the upload page, from which its link leads.
            let links = context.links("/");
            Ok(html(fragment::fragment(
                &found,
                &links.to(&format!("/t/{address}")),
            )))
        }
        None => Ok(html(page::page(&found, address, &links))),
        Some("json") => Ok(file(address, "json", "application/json", found.json()?)),
        Some("ndjson") => Ok(file(
            address,
            "ndjson",
            "application/x-ndjson",
            found.ndjson(),
        )),
        Some("har") => {
            let har = json_line(&har(&found.timelines, &found.upload.id, CREATOR));
            Ok(file(address, "har", "application/json", har))
        }
        Some("perfetto.json") => {
            let trace = json_line(&perfetto::trace(&found.timelines, &found.upload));
            Ok(file(address, "perfetto.json", "application/json", trace))
        }
        Some(_) => Err(Error::NotFound),
    }
}

impl Found {
    async fn look_up(journal: Arc<Journal>, id: String) -> Result<Option<Self>, Error> {
        let look_up = move || {
            let upload = journal.uploads.upload(&id)?;
            let lines = journal.uploads.timelines(&id).unwrap_or_default();
            Some(Self::new(upload, lines, journal.publisher.is_traced()))
        };
        let found = spawn_blocking(look_up).await;
        found.map_err(|error| Error::Disk(io::Error::other(error)))
    }

    fn new(upload: Upload, handed_in: Vec<Bytes>, traced: bool) -> Self {
        let (mut lines, mut timelines) = (Vec::new(), Vec::new());
        let mut unreadable = 0;
        for line in handed_in {
            match serde_json::from_slice::<Timeline>(&line) {
                Ok(timeline) if !is_of(&timeline, &upload) => continue,
                Ok(timeline) => {
                    let cookie = timeline.server.cookie;
                    timelines.push(Shown::new(timeline, |exchange| {
                        exchange.is_of(&upload.id) || is_part(exchange, cookie, &upload)
                    }));
                }
                Err(_) => unreadable += 1,
            }
            lines.push(line);
        }
        timelines.sort_by_key(|timeline| timeline.at.mono_ns);
        Self {
            upload,
            lines,
            timelines,
            unreadable,
            traced,
        }
    }

    /// Whether another timeline may follow.
    fn may_change(&self) -> bool {
        self.timelines.is_empty() || self.timelines.iter().any(|timeline| timeline.open)
    }

    /// The lines as they were handed in, one a line.
    fn ndjson(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        for line in &self.lines {
            let line = String::from_utf8_lossy(line.trim_ascii_end());
            // Within JSON, the end of a line means no more than a space does.
            let line = line.replace(['\n', '\r'], " ");
            lines.extend_from_slice(plain_json(&line).as_bytes());
            lines.push(b'\n');
        }
        lines
    }

    /// The upload's record, and its timelines as they were handed in.
    fn json(&self) -> Result<String, Error> {
        #[derive(serde::Serialize)]
        struct Record<'a> {
            upload: &'a Upload,
            timelines: Vec<&'a RawValue>,
        }
        let timelines = self.lines.iter().map(|line| serde_json::from_slice(line));
        let timelines: Result<_, _> = timelines.collect();
        let timelines = timelines.map_err(|error| Error::Disk(io::Error::other(error)))?;
        Ok(json_line(&Record {
            upload: &self.upload,
            timelines,
        }))
    }
}

/// Whether the timeline's connection carried the upload: a server without history uses ids again.
fn is_of(timeline: &Timeline, upload: &Upload) -> bool {
    let Some(cookie) = timeline.server.cookie else {
        return true;
    };
    let parts = upload.connections.iter().map(|part| part.cookie);
    let mut cookies = parts.chain([upload.cookie]);
    cookies.any(|own| own == cookie)
}

/// Whether a request carried a part of an upload that came in several.
fn is_part(exchange: &Exchange, cookie: Option<Cookie>, upload: &Upload) -> bool {
    let mut parts = upload.connections.iter();
    parts.any(|part| part.request == exchange.sequence && cookie == Some(part.cookie))
}

fn html(page: maud::Markup) -> Response {
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, visible(page)).into_response()
}

/// A form of the record as a file.
fn file(address: &str, extension: &str, media_type: &str, content: impl Into<Bytes>) -> Response {
    let id: String = address.chars().take_while(char::is_ascii_digit).collect();
    let name = format!("inline; filename=\"upload-{id}.{extension}\"");
    let headers = [
        (CONTENT_TYPE, media_type.to_owned()),
        (CONTENT_DISPOSITION, name),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    let content: Bytes = content.into();
    (headers, content).into_response()
}
