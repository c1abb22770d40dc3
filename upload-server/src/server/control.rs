//! The control socket: the feed of uploads going out, timelines coming back. HTTP over a Unix
//! socket that only its owner may open.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::de::IgnoredAny;
use tokio::net::UnixListener;
use tokio_stream::{StreamExt, wrappers::BroadcastStream};
use tracing::warn;

use super::{error::Error, journal::Journal};

/// The largest timeline that is kept.
const MAX_TIMELINE_BYTES: usize = 1024 * 1024;

/// Serves the control socket until `stop`, and what was asked before that to its end.
pub(crate) async fn serve(
    listener: UnixListener,
    journal: Arc<Journal>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let router = Router::new()
        .route("/uploads", get(uploads))
        .route("/uploads/{id}/timeline", get(timeline).post(set_timeline))
        .layer(DefaultBodyLimit::max(MAX_TIMELINE_BYTES))
        .with_state(journal);
    if let Err(error) = axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await
    {
        warn!(%error, "the control socket is gone");
    }
}

/// A reader that falls too far behind is cut off, which is not the feed's proper end: it comes
/// back and gets what is remembered.
async fn uploads(State(journal): State<Arc<Journal>>) -> Response {
    let (past, live) = journal.subscribe();
    let past = tokio_stream::iter(past.into_iter().map(Ok));
    let feed = Body::from_stream(past.chain(BroadcastStream::new(live)));
    ([(CONTENT_TYPE, "application/x-ndjson")], feed).into_response()
}

async fn timeline(
    State(journal): State<Arc<Journal>>,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let timeline = journal.timeline(&id).ok_or(Error::NotFound)?;
    Ok(([(CONTENT_TYPE, "application/json")], timeline).into_response())
}

async fn set_timeline(
    State(journal): State<Arc<Journal>>,
    Path(id): Path<String>,
    timeline: Bytes,
) -> Result<StatusCode, Error> {
    serde_json::from_slice::<IgnoredAny>(&timeline)
        .map_err(|error| Error::Malformed(error.to_string()))?;
    if journal.set_timeline(&id, timeline) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::NotFound)
    }
}
