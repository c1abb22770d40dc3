//! An accepted connection: its identity, the progress of its requests, and their uploads, whose records go on
//! once the response is sent.
//!
//! Everything that works on a request holds an `Arc` of the connection. Its end is published when the
//! last of them is dropped, so that no upload can follow it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::{StatusCode, Version};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    connection_limit::Slot,
    held_records::{HeldRecords, OfRequest},
};
use crate::{
    record::{ConnectionEnd, Cookie, Upload},
    server::{clock, forwarded::Forwarded, history::Keeping, journal::Journal, relative::Links},
};

/// How often to look for the end of a client that has sent further requests before it.
const END_CHECK: Duration = Duration::from_secs(1);

/// One accepted socket.
pub(crate) struct Connection {
    pub(crate) cookie: Cookie,
    /// The other end: the client, or a proxy.
    pub(crate) client: SocketAddr,
    /// The address of the server's end.
    pub(crate) local: SocketAddr,
    pub(crate) accepted_ns: u64,
    /// The connection uses TLS.
    pub(crate) secure: bool,
    /// Cancelled when the connection must make room for another.
    pub(crate) dismissed: CancellationToken,
    pub(crate) journal: Arc<Journal>,
    progress: Mutex<Progress>,
    /// How many handlers wait for the end of the client's side.
    waiting_for_end: AtomicUsize,
    finished: CancellationToken,
}

/// What is known of a socket when it is accepted.
#[derive(Clone, Copy)]
pub(crate) struct Accepted {
    pub(crate) cookie: Cookie,
    pub(crate) client: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) accepted_ns: u64,
    pub(crate) secure: bool,
}

struct Progress {
    requests: u32,
    in_flight: u32,
    /// Valid while no request is in flight.
    silent_since: Instant,
    slot: Slot,
    /// No byte of the next request has been read yet.
    idle: bool,
    first_byte_ns: Option<u64>,
    reset: bool,
    /// The server drops the requests in flight.
    abandoned: bool,
    held: HeldRecords,
}

/// A handler that waits for the end of the client's side.
struct WaitingForEnd<'a>(&'a AtomicUsize);

impl<'a> WaitingForEnd<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for WaitingForEnd<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One request on a connection, as handlers see it.
#[derive(Clone)]
pub(crate) struct RequestContext {
    pub(crate) connection: Arc<Connection>,
    /// Counted from 1.
    pub(crate) request: u32,
    pub(crate) first_byte_ns: Option<u64>,
    pub(crate) head_ns: u64,
    /// What a trusted proxy reports, where one sent the request.
    pub(crate) forwarded: Option<Forwarded>,
}

impl RequestContext {
    /// The client's address. Where a proxy does not report it, that of the proxy.
    pub(crate) fn client(&self) -> IpAddr {
        let beyond = self.forwarded.as_ref().and_then(Forwarded::client);
        beyond.unwrap_or(self.connection.client.ip())
    }

    /// Whether the client is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        let hidden = self.forwarded.as_ref().is_some_and(Forwarded::hides_client);
        !hidden && self.client().is_loopback()
    }

    /// Whether the client used TLS.
    pub(crate) fn is_secure(&self) -> bool {
        let of_client = self.forwarded.as_ref().and_then(|report| report.secure);
        of_client.unwrap_or(self.connection.secure)
    }

    /// The server's addresses as an answer to this path refers to them.
    pub(crate) fn links(&self, path: &str) -> Links {
        let report = self.forwarded.as_ref();
        Links::new(path, report.and_then(|report| report.prefix.clone()))
    }
}

impl Connection {
    pub(crate) fn new(accepted: Accepted, slot: Slot, journal: Arc<Journal>) -> Self {
        journal.metrics.connections.inc();
        journal.metrics.connections_open.inc();
        let dismissed = slot.dismissed();
        let progress = Progress {
            requests: 0,
            in_flight: 0,
            silent_since: Instant::now(),
            slot,
            idle: true,
            first_byte_ns: None,
            reset: false,
            abandoned: false,
            held: HeldRecords::default(),
        };
        let Accepted {
            cookie,
            client,
            local,
            accepted_ns,
            secure,
        } = accepted;
        Self {
            cookie,
            client,
            local,
            accepted_ns,
            secure,
            dismissed,
            journal,
            progress: Mutex::new(progress),
            waiting_for_end: AtomicUsize::new(0),
            finished: CancellationToken::new(),
        }
    }

    /// Completes when the client has ended its side, or is gone: until the server sends something, there is no
    /// difference. Without this, nobody notices before the response is sent.
    pub(crate) async fn client_finished(&self) {
        let waiting = WaitingForEnd::new(&self.waiting_for_end);
        loop {
            // The task that polls this also looks at the socket, each time it runs.
            if timeout(END_CHECK, self.finished.cancelled()).await.is_ok() {
                drop(waiting);
                return;
            }
        }
    }

    /// Whether [`Self::set_finished`] is to be called.
    pub(crate) fn awaits_end(&self) -> bool {
        self.waiting_for_end.load(Ordering::Relaxed) > 0
    }

    /// Call when the client has ended its side.
    pub(crate) fn set_finished(&self) {
        self.finished.cancel();
    }

    /// Call when bytes were read.
    pub(crate) fn bytes_read(&self) {
        let mut progress = self.progress.lock();
        if progress.idle {
            progress.idle = false;
            progress.first_byte_ns = Some(clock::now_ns());
        }
    }

    /// Whether the client has sent a part of a request's head, and not all of it.
    pub(crate) fn is_within_head(&self) -> bool {
        let progress = self.progress.lock();
        progress.in_flight == 0 && !progress.idle
    }

    pub(crate) fn set_reset(&self) {
        self.progress.lock().reset = true;
    }

    /// Whether the peer has reset the connection.
    pub(crate) fn is_reset(&self) -> bool {
        self.progress.lock().reset
    }

    /// Call before dropping the requests in flight.
    pub(crate) fn abandon(&self) {
        self.progress.lock().abandoned = true;
    }

    /// Whether the server, not the client, ended the requests in flight.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.progress.lock().abandoned
    }

    /// Call when a request's head is complete. The time of its first byte is unknown where it was read
    /// together with the previous request, and in HTTP/2, where requests share the connection.
    pub(crate) fn request_arrived(
        self: &Arc<Self>,
        version: Version,
        forwarded: Option<Forwarded>,
    ) -> RequestContext {
        let mut progress = self.progress.lock();
        progress.requests += 1;
        progress.in_flight += 1;
        progress.slot.mark_busy();
        progress.idle = false;
        let first_byte_ns = progress.first_byte_ns.take();
        RequestContext {
            connection: Arc::clone(self),
            request: progress.requests,
            first_byte_ns: first_byte_ns.filter(|_| version < Version::HTTP_2),
            head_ns: clock::now_ns(),
            forwarded,
        }
    }

    /// Gives an ended upload its id, and holds its record back until its response is sent.
    pub(crate) fn upload_concluded(&self, mut upload: Upload) -> String {
        upload.id = self.journal.uploads.next_id();
        let id = upload.id.clone();
        self.hold_back(upload);
        id
    }

    /// Gives an upload whose file is stored its id, and begins to keep its record in the history.
    pub(crate) fn upload_stored(&self, upload: &mut Upload) -> Option<Keeping> {
        upload.id = self.journal.uploads.next_id();
        self.journal.uploads.keep(upload)
    }

    /// Holds the record of an upload back until its response is sent. Of the many files of a form, the
    /// earlier ones go on.
    pub(crate) fn hold_back(&self, upload: Upload) {
        let mut progress = self.progress.lock();
        let gone_on = progress.held.hold(upload);
        let too_old = progress.held.too_old();
        drop(progress);
        if let Some(upload) = gone_on {
            self.journal.upload_kept(&upload);
        }
        if let Some(held) = too_old {
            self.publish_all(held);
        }
    }

    /// The address of an upload's timeline.
    pub(crate) fn timeline_address(&self, id: &str) -> String {
        self.journal.addresses.of(id)
    }

    /// Call when the response to this request goes to hyper.
    pub(crate) fn response_ready(&self, request: u32, status: StatusCode) {
        let now = clock::now_ns();
        let mut progress = self.progress.lock();
        progress.idle = true;
        progress.held.answer(request, status.as_u16(), now);
    }

    /// Call when hyper is done with this request. If `answered`, hyper has all of the response.
    pub(crate) fn request_over(&self, request: u32, answered: bool) {
        let mut progress = self.progress.lock();
        progress.in_flight -= 1;
        if progress.in_flight == 0 {
            progress.silent_since = Instant::now();
            progress.slot.mark_silent();
        }
        if answered {
            progress.held.written(request);
        } else if let Some(unanswered) = progress.held.unanswered(request) {
            self.publish_all(unanswered);
        }
    }

    /// Call when everything that hyper wrote has been handed to the kernel.
    pub(crate) fn flushed(&self) {
        let mut progress = self.progress.lock();
        for sent in progress.held.sent(clock::now_ns) {
            self.publish_all(sent);
        }
    }

    /// Completes when no request has been in flight for this long.
    pub(crate) async fn fell_silent(&self, limit: Duration) {
        loop {
            let until = {
                let progress = self.progress.lock();
                match progress.in_flight {
                    0 => progress.silent_since + limit,
                    _ => Instant::now() + limit,
                }
            };
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    /// Publishes what was held of a request.
    fn publish_all(&self, mut held: OfRequest) {
        let gone_on = held.gone_on();
        if !gone_on.is_empty() {
            self.journal.uploads.answered(gone_on, held.answered());
        }
        for upload in held.records() {
            self.publish(upload);
        }
    }

    fn publish(&self, mut upload: Upload) {
        let this = (upload.cookie, upload.request);
        let times = upload.times;
        let last = upload.connections.last_mut();
        if let Some(last) = last.filter(|last| (last.cookie, last.request) == this) {
            last.times = times;
        }
        self.journal.upload_ended(&upload);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let progress = self.progress.get_mut();
        let requests = progress.requests;
        for unanswered in progress.held.left() {
            self.publish_all(unanswered);
        }
        self.journal.metrics.connections_open.dec();
        self.journal.uploads.publish_end(ConnectionEnd {
            cookie: self.cookie,
            accepted_ns: self.accepted_ns,
            closed_ns: clock::now_ns(),
            requests,
        });
    }
}
