//! `GET /events`: what happens, as server-sent events (HTML, 9.2). A listener first hears whether a
//! tracer is attached, then each upload that came to its end (`upload`), each timeline that was
//! handed in (`timeline`), and the tracer's coming and going (`tracer`). Who listens too slowly is
//! cut off, comes back and asks for what it missed.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    extract::State,
    http::HeaderName,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_stream::{Stream, StreamExt, wrappers::BroadcastStream};

use super::{error::Error, json};
use crate::record::Upload;

/// How many may listen at a time: each holds a connection.
const LISTENERS: usize = 256;

/// How far a listener may be behind, in events.
const BACKLOG: usize = 1_024;

/// How often a listener to whom nothing is told hears that the connection stands.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// For nginx, which would gather events before it passes them on.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// Who listens, and whether a tracer is attached.
pub(crate) struct Events {
    state: Mutex<Told>,
    places: Arc<Semaphore>,
}

struct Told {
    tracers: usize,
    /// Absent once nothing will be told.
    live: Option<broadcast::Sender<News>>,
}

/// An event, and its data as JSON.
#[derive(Clone)]
struct News {
    name: &'static str,
    data: Arc<str>,
}

/// A timeline was handed in.
#[derive(Serialize)]
pub(crate) struct TimelineNews<'a> {
    pub(crate) upload: &'a str,
    /// The timeline's name for the connection.
    pub(crate) connection: Option<&'a str>,
    /// Whether the connection is open, so that another timeline follows.
    pub(crate) open: bool,
    /// Where it is shown; absent where only the uploader is to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
}

#[derive(Serialize)]
struct TracerNews {
    attached: bool,
}

/// A tracer is attached for as long as this is held.
pub(crate) struct Attached(Arc<Events>);

impl Events {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(Told {
                tracers: 0,
                live: Some(broadcast::Sender::new(BACKLOG)),
            }),
            places: Arc::new(Semaphore::new(LISTENERS)),
        }
    }

    /// An upload came to its end.
    pub(crate) fn upload(&self, upload: &Upload) {
        self.state().tell("upload", upload);
    }

    /// A timeline was handed in.
    pub(crate) fn timeline(&self, timeline: &TimelineNews<'_>) {
        self.state().tell("timeline", timeline);
    }

    /// Whether a tracer is attached.
    pub(crate) fn is_traced(&self) -> bool {
        self.state().tracers > 0
    }

    /// Tells nothing more: every listener's stream ends.
    pub(crate) fn close(&self) {
        self.state().live = None;
    }

    fn tracers_changed(&self, change: impl FnOnce(usize) -> usize) {
        let mut state = self.state();
        let before = state.tracers > 0;
        state.tracers = change(state.tracers);
        let attached = state.tracers > 0;
        if attached != before {
            state.tell("tracer", &TracerNews { attached });
        }
    }

    /// What is so now, and what will follow.
    fn listen(&self) -> (News, broadcast::Receiver<News>) {
        let state = self.state();
        let attached = state.tracers > 0;
        let now = News::new("tracer", &TracerNews { attached });
        let live = state.live.as_ref().map(broadcast::Sender::subscribe);
        (now, live.unwrap_or_else(|| broadcast::channel(1).1))
    }

    fn state(&self) -> MutexGuard<'_, Told> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn tell(&self, name: &'static str, data: &impl Serialize) {
        if let Some(live) = self.live.as_ref().filter(|live| live.receiver_count() > 0) {
            // An error says that the last listener has just gone.
            let _ = live.send(News::new(name, data));
        }
    }
}

impl News {
    fn new(name: &'static str, data: &impl Serialize) -> Self {
        Self {
            name,
            data: json::line(data).trim_end().into(),
        }
    }
}

impl Attached {
    pub(crate) fn new(events: Arc<Events>) -> Self {
        events.tracers_changed(|tracers| tracers + 1);
        Self(events)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let left = |tracers: usize| tracers.saturating_sub(1);
        self.0.tracers_changed(left);
    }
}

/// What `/events` is made of.
#[derive(Clone)]
pub(crate) struct Listening {
    pub(crate) events: Arc<Events>,
    /// Whether everybody may know of all uploads: else only that they were traced is told.
    pub(crate) uploads: bool,
}

/// The stream of events.
pub(crate) async fn events(State(listening): State<Listening>) -> Result<Response, Error> {
    let place = Arc::clone(&listening.events.places).try_acquire_owned();
    let place = place.map_err(|_| Error::Busy)?;
    let stream = stream(&listening, place);
    let heartbeat = KeepAlive::new().interval(HEARTBEAT);
    Ok(([UNBUFFERED], Sse::new(stream).keep_alive(heartbeat)).into_response())
}

/// Ends where the listener is too far behind.
fn stream(
    listening: &Listening,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    let (now, live) = listening.events.listen();
    let uploads = listening.uploads;
    let live = BroadcastStream::new(live).map_while(Result::ok);
    let news = tokio_stream::once(now).chain(live);
    news.filter(move |news| uploads || news.name != "upload")
        .map(move |news| {
            let _listens = &place;
            Ok(Event::default().event(news.name).data(&news.data))
        })
}
