//! The control socket: the feed of uploads goes out, timelines come in. HTTP over a Unix socket that
//! only its owner may open.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use tokio::{net::UnixListener, task::JoinHandle, time::timeout};
use tokio_stream::{StreamExt, wrappers::BroadcastStream};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    blocking::off_the_runtime,
    encoding::json_line,
    error::Error,
    journal::Journal,
    publisher::{AttachedTracer, TimelineEvent},
};

/// How long readers may take for the rest of their answers at the end.
const GRACE: Duration = Duration::from_secs(1);

/// The largest timeline that is accepted.
const MAX_TIMELINE_BYTES: usize = 1024 * 1024;

pub(crate) struct ControlServer {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl ControlServer {
    pub(crate) fn spawn(listener: UnixListener, journal: Arc<Journal>) -> Self {
        let router = Router::new()
            .route("/uploads", get(uploads))
            .route("/uploads/{id}/timeline", get(timeline).post(set_timeline))
            .route("/uploads/{id}/timelines", get(timelines))
            .route("/history", get(history))
            .route("/tracer", post(tracer))
            .layer(DefaultBodyLimit::max(MAX_TIMELINE_BYTES))
            .with_state(journal);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let task = tokio::spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(stopped);
            if let Err(error) = served.await {
                warn!(%error, "the control socket failed");
            }
        });
        Self { task, stop }
    }

    /// Answers the requests in flight to their end, but not for long.
    pub(crate) async fn finish(mut self) {
        self.stop.cancel();
        if timeout(GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// `GET /uploads`: the feed. A reader that falls too far behind is cut off in the middle of the body,
/// which differs from the feed's proper end: it reconnects and gets the remembered lines.
async fn uploads(State(journal): State<Arc<Journal>>) -> Response {
    let (past, live) = journal.uploads.subscribe();
    let past = tokio_stream::iter(past.into_iter().map(Ok));
    let feed = Body::from_stream(past.chain(BroadcastStream::new(live)));
    ([(CONTENT_TYPE, "application/x-ndjson")], feed).into_response()
}

/// `GET /uploads/ID/timeline`: the latest one.
async fn timeline(
    State(journal): State<Arc<Journal>>,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let mut timelines =
        off_the_runtime(move || Ok::<_, Error>(journal.uploads.timelines(&id))).await?;
    let timeline = timelines.as_mut().and_then(Vec::pop);
    let timeline = timeline.ok_or(Error::NotFound)?;
    Ok(([(CONTENT_TYPE, "application/json")], timeline).into_response())
}

/// `GET /uploads/ID/timelines`: one for each connection that carried a part of the upload, as an
/// array.
async fn timelines(
    State(journal): State<Arc<Journal>>,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let timelines = off_the_runtime(move || Ok::<_, Error>(journal.uploads.timelines(&id))).await?;
    let timelines = timelines.ok_or(Error::NotFound)?;
    let array = [&b"["[..], &timelines.join(&b","[..]), b"]"].concat();
    Ok(([(CONTENT_TYPE, "application/json")], array).into_response())
}

/// `POST /uploads/ID/timeline`.
async fn set_timeline(
    State(journal): State<Arc<Journal>>,
    Path(id): Path<String>,
    timeline: String,
) -> Result<StatusCode, Error> {
    let parsed: Value =
        serde_json::from_str(&timeline).map_err(|error| Error::Malformed(error.to_string()))?;
    // The server does not interpret timelines here. It only needs the cookie, which identifies the
    // connection.
    let cookie = parsed.pointer("/server/cookie").and_then(Value::as_str);
    let cookie = cookie.unwrap_or_default().to_owned();
    let set = move || {
        let known = journal.uploads.set_timeline(&id, cookie, timeline);
        if known {
            journal.publisher.timeline(&TimelineEvent {
                upload: &id,
                connection: parsed.get("connection").and_then(Value::as_str),
                open: parsed.get("open").and_then(Value::as_bool) == Some(true),
                address: journal.addresses.public(&id),
            });
        }
        Ok::<_, Error>(known)
    };
    if off_the_runtime(set).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::NotFound)
    }
}

/// `POST /tracer`: a tracer is attached as long as its request lasts. The answer ends when the server
/// does.
async fn tracer(State(journal): State<Arc<Journal>>) -> Body {
    let closed = journal.uploads.closed();
    let mut attached = Some((AttachedTracer::new(Arc::clone(&journal.publisher)), closed));
    let until_closed = tokio_stream::once(()).then(move |()| {
        let attached = attached.take();
        async move {
            if let Some((_attached, closed)) = attached {
                closed.await;
            }
            Ok::<_, Infallible>(Bytes::new())
        }
    });
    Body::from_stream(until_closed)
}

#[derive(Deserialize)]
struct HistoryQuery {
    before: Option<u64>,
    #[serde(default = "default_limit")]
    limit: u32,
}

fn default_limit() -> u32 {
    100
}

/// `GET /history`: the uploads that are kept, the latest first, one JSON object a line.
async fn history(
    State(journal): State<Arc<Journal>>,
    Query(page): Query<HistoryQuery>,
) -> Result<Response, Error> {
    let read = move || match journal.uploads.history() {
        Some(history) => history
            .lines(page.before, page.limit)
            .map_err(io::Error::other),
        None => Ok(Vec::new()),
    };
    let past = off_the_runtime(read).await?;
    let lines: String = past.iter().map(json_line).collect();
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
}
