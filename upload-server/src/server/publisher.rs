//! `GET /events`: server-sent events (HTML, 9.2) for pages.
//!
//! The first event says whether a tracer is attached (`tracer`); it is repeated when that changes.
//! Each upload that ends is an event (`upload`), and so is each timeline that a tracer hands in
//! (`timeline`). A listener that is too slow is cut off; it reconnects and fetches what it missed.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::State,
    http::HeaderName,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio_stream::{Stream, StreamExt, wrappers::BroadcastStream};

use super::{
    encoding::json_line,
    error::Error,
    limits::{ClientSlot, ClientSlots},
    net::connection::RequestContext,
};
use crate::record::Upload;

/// The most concurrent listeners: each holds a connection. And the most of one client, whose browser has one for
/// each page that is open.
const LISTENERS: usize = 256;
const LISTENERS_OF_ONE_CLIENT: usize = 64;

/// How many events a listener may be behind.
const BACKLOG: usize = 1_024;

/// How often a listener without events gets a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// For nginx, which would otherwise buffer events before it passes them on.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// Publishes events to the listeners, and knows whether a tracer is attached.
pub(crate) struct Publisher {
    state: Mutex<Published>,
    listener_slots: Arc<ClientSlots>,
}

struct Published {
    tracers: usize,
    /// Absent once no event follows.
    live: Option<broadcast::Sender<Message>>,
}

/// An event's name, and its data as JSON.
#[derive(Clone)]
struct Message {
    name: &'static str,
    data: Arc<str>,
}

#[derive(Serialize)]
pub(crate) struct TimelineEvent<'a> {
    pub(crate) upload: &'a str,
    /// The tracer's name for the connection.
    pub(crate) connection: Option<&'a str>,
    /// Whether the connection is still open, so that another timeline follows.
    pub(crate) open: bool,
    /// Absent where only the uploader may know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
}

#[derive(Serialize)]
struct TracerEvent {
    attached: bool,
}

/// While this exists, a tracer is attached.
pub(crate) struct AttachedTracer(Arc<Publisher>);

impl Publisher {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(Published {
                tracers: 0,
                live: Some(broadcast::Sender::new(BACKLOG)),
            }),
            listener_slots: Arc::new(ClientSlots::new(
                "listeners for events",
                LISTENERS,
                LISTENERS_OF_ONE_CLIENT,
            )),
        }
    }

    pub(crate) fn upload(&self, upload: &Upload) {
        self.state.lock().publish("upload", upload);
    }

    pub(crate) fn timeline(&self, timeline: &TimelineEvent<'_>) {
        self.state.lock().publish("timeline", timeline);
    }

    pub(crate) fn is_traced(&self) -> bool {
        self.state.lock().tracers > 0
    }

    /// Ends every listener's stream.
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

    /// The first event, and those that follow.
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
            // An error means that the last listener has just left.
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

#[derive(Clone)]
pub(crate) struct EventsRoute {
    pub(crate) publisher: Arc<Publisher>,
    /// Whether every listener may learn of all uploads. Otherwise it only gets events that name no
    /// file and no address.
    pub(crate) uploads: bool,
}

pub(crate) async fn events(
    State(route): State<EventsRoute>,
    Extension(context): Extension<RequestContext>,
) -> Result<Response, Error> {
    let slot = route.publisher.listener_slots.take(context.client())?;
    let stream = stream(&route, slot);
    let heartbeat = KeepAlive::new().interval(HEARTBEAT);
    Ok(([UNBUFFERED], Sse::new(stream).keep_alive(heartbeat)).into_response())
}

/// Ends when the listener is too far behind.
fn stream(
    route: &EventsRoute,
    slot: ClientSlot,
) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    let (now, live) = route.publisher.listen();
    let uploads = route.uploads;
    let live = BroadcastStream::new(live).map_while(Result::ok);
    let messages = tokio_stream::once(now).chain(live);
    messages
        .filter(move |message| uploads || message.name != "upload")
        .map(move |message| {
            let _held = &slot;
            Ok(Event::default().event(message.name).data(&message.data))
        })
}
