//! `GET /events`: what happens, as server-sent events (HTML, 9.2). A listener first hears whether a
//! tracer is attached, then each upload that came to its end (`upload`), each timeline that was
//! handed in (`timeline`), and the tracer's coming and going (`tracer`). Who listens too slowly is
//! cut off, comes back and asks for what it missed.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::HeaderName,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_stream::{Stream, StreamExt, wrappers::BroadcastStream};

use super::{encoding::json_line, error::Error};
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
pub(crate) struct Publisher {
    state: Mutex<Published>,
    listener_slots: Arc<Semaphore>,
}

struct Published {
    tracers: usize,
    /// Absent once nothing will be told.
    live: Option<broadcast::Sender<Message>>,
}

/// An event, and its data as JSON.
#[derive(Clone)]
struct Message {
    name: &'static str,
    data: Arc<str>,
}

/// A timeline was handed in.
#[derive(Serialize)]
pub(crate) struct TimelineEvent<'a> {
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
struct TracerEvent {
    attached: bool,
}

/// A tracer is attached for as long as this is held.
pub(crate) struct AttachedTracer(Arc<Publisher>);

impl Publisher {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(Published {
                tracers: 0,
                live: Some(broadcast::Sender::new(BACKLOG)),
            }),
            listener_slots: Arc::new(Semaphore::new(LISTENERS)),
        }
    }

    /// An upload came to its end.
    pub(crate) fn upload(&self, upload: &Upload) {
        self.state.lock().publish("upload", upload);
    }

    /// A timeline was handed in.
    pub(crate) fn timeline(&self, timeline: &TimelineEvent<'_>) {
        self.state.lock().publish("timeline", timeline);
    }

    /// Whether a tracer is attached.
    pub(crate) fn is_traced(&self) -> bool {
        self.state.lock().tracers > 0
    }

    /// Tells nothing more: every listener's stream ends.
    pub(crate) fn close(&self) {
        self.state.lock().live = None;
    }

    fn tracers_changed(&self, change: impl FnOnce(usize) -> usize) {
        let mut state = self.state.lock();
        let before = state.tracers > 0;
        state.tracers = change(state.tracers);
        let attached = state.tracers > 0;
        if attached != before {
            state.publish("tracer", &TracerEvent { attached });
        }
    }

    /// What is so now, and what will follow.
    fn listen(&self) -> (Message, broadcast::Receiver<Message>) {
        let state = self.state.lock();
        let attached = state.tracers > 0;
        let now = Message::new("tracer", &TracerEvent { attached });
        let live = state.live.as_ref().map(broadcast::Sender::subscribe);
        (now, live.unwrap_or_else(|| broadcast::channel(1).1))
    }
}

impl Published {
    fn publish(&self, name: &'static str, data: &impl Serialize) {
        if let Some(live) = self.live.as_ref().filter(|live| live.receiver_count() > 0) {
            // An error says that the last listener has just gone.
            let _ = live.send(Message::new(name, data));
        }
    }
}

impl Message {
    fn new(name: &'static str, data: &impl Serialize) -> Self {
        Self {
            name,
            data: json_line(data).trim_end().into(),
        }
    }
}

impl AttachedTracer {
    pub(crate) fn new(publisher: Arc<Publisher>) -> Self {
        publisher.tracers_changed(|tracers| tracers + 1);
        Self(publisher)
    }
}

impl Drop for AttachedTracer {
    fn drop(&mut self) {
        let left = |tracers: usize| tracers.saturating_sub(1);
        self.0.tracers_changed(left);
    }
}

/// What `/events` is made of.
#[derive(Clone)]
pub(crate) struct EventsRoute {
    pub(crate) publisher: Arc<Publisher>,
    /// Whether everybody may know of all uploads: else only that they were traced is told.
    pub(crate) uploads: bool,
}

/// The stream of events.
pub(crate) async fn events(State(route): State<EventsRoute>) -> Result<Response, Error> {
    let slot = Arc::clone(&route.publisher.listener_slots).try_acquire_owned();
    let slot = slot.map_err(|_| Error::Busy)?;
    let stream = stream(&route, slot);
    let heartbeat = KeepAlive::new().interval(HEARTBEAT);
    Ok(([UNBUFFERED], Sse::new(stream).keep_alive(heartbeat)).into_response())
}

/// Ends where the listener is too far behind.
fn stream(
    route: &EventsRoute,
    slot: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    let (now, live) = route.publisher.listen();
    let uploads = route.uploads;
    let live = BroadcastStream::new(live).map_while(Result::ok);
    let messages = tokio_stream::once(now).chain(live);
    messages
        .filter(move |message| uploads || message.name != "upload")
        .map(move |message| {
            let _listens = &slot;
            Ok(Event::default().event(message.name).data(&message.data))
        })
}
