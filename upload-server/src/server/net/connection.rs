//! An accepted connection: who it is, how far its requests have come, and which records wait for
//! their response to be sent.
//!
//! Whatever works on a request holds the connection. So its end is published when the last of
//! them lets go, and no upload can follow it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::http::{StatusCode, Version};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::connection_limit::Slot;
use crate::{
    record::{ConnectionEnd, Cookie, Upload},
    server::{clock, journal::Journal},
};

/// One accepted socket. The kernel's facts about it do not change, its progress does.
pub(crate) struct Connection {
    pub(crate) cookie: Cookie,
    pub(crate) client: SocketAddr,
    /// The server's own end.
    pub(crate) local: SocketAddr,
    pub(crate) accepted_ns: u64,
    /// TLS is spoken on it.
    pub(crate) secure: bool,
    /// Cancelled when the connection has to make room for another.
    pub(crate) dismissed: CancellationToken,
    pub(crate) journal: Arc<Journal>,
    progress: Mutex<Progress>,
}

/// The kernel's facts, and ours, about an accepted socket.
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
    /// Since when no request is in flight.
    silent_since: Instant,
    slot: Slot,
    /// No byte of the next request has been read yet.
    idle: bool,
    first_byte_ns: Option<u64>,
    reset: bool,
    /// The server drops what is under way.
    abandoned: bool,
    /// Uploads whose response is still to come.
    concluded: Vec<Upload>,
    /// Uploads whose response hyper has, and the kernel perhaps not.
    answered: Vec<Upload>,
}

/// One request on a connection: what a handler needs to know of it.
#[derive(Clone)]
pub(crate) struct RequestContext {
    pub(crate) connection: Arc<Connection>,
    /// Counted from 1.
    pub(crate) request: u32,
    pub(crate) first_byte_ns: Option<u64>,
    pub(crate) head_ns: u64,
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
            concluded: Vec::new(),
            answered: Vec::new(),
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
        }
    }

    /// Bytes came in.
    pub(crate) fn bytes_read(&self) {
        let mut progress = self.progress.lock();
        if progress.idle {
            progress.idle = false;
            progress.first_byte_ns = Some(clock::now_ns());
        }
    }

    /// Whether the client has sent a part of a request's head.
    pub(crate) fn is_within_head(&self) -> bool {
        let progress = self.progress.lock();
        progress.in_flight == 0 && !progress.idle
    }

    /// The peer reset the connection.
    pub(crate) fn was_reset(&self) {
        self.progress.lock().reset = true;
    }

    /// Whether the peer has reset the connection.
    pub(crate) fn is_reset(&self) -> bool {
        self.progress.lock().reset
    }

    /// The server drops what is under way.
    pub(crate) fn abandon(&self) {
        self.progress.lock().abandoned = true;
    }

    /// Whether it is the server that drops what is under way.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.progress.lock().abandoned
    }

    /// A request's head is complete. The time of its first byte is not known where it was read
    /// together with the request before it, or where several requests share the connection.
    pub(crate) fn request_arrived(self: &Arc<Self>, version: Version) -> RequestContext {
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
        }
    }

    /// An upload has come to its end: gives it its id and keeps its record for the response.
    pub(crate) fn upload_concluded(&self, mut upload: Upload) -> String {
        upload.id = self.journal.uploads.next_id();
        let id = upload.id.clone();
        self.progress.lock().concluded.push(upload);
        id
    }

    /// The same for an upload whose file is stored: its record is kept before anybody is told.
    /// Blocks.
    pub(crate) fn upload_stored(&self, upload: Upload) -> String {
        let mut upload = upload;
        upload.id = self.journal.uploads.next_id();
        self.journal.uploads.keep(&upload);
        let id = upload.id.clone();
        self.progress.lock().concluded.push(upload);
        id
    }

    /// Where the timeline of an upload is shown.
    pub(crate) fn timeline_address(&self, id: &str) -> String {
        self.journal.addresses.of(id)
    }

    /// The response to this request goes to hyper now.
    pub(crate) fn response_ready(&self, request: u32, status: StatusCode) {
        let now = clock::now_ns();
        let mut progress = self.progress.lock();
        progress.idle = true;
        let concluded = progress.concluded.iter_mut();
        for upload in concluded.filter(|upload| upload.request == request) {
            upload.status = Some(status.as_u16());
            upload.times.response_ns = Some(now);
        }
    }

    /// hyper is done with this request, and has all of the response where it is `answered`.
    pub(crate) fn request_over(&self, request: u32, answered: bool) {
        let mut progress = self.progress.lock();
        progress.in_flight -= 1;
        if progress.in_flight == 0 {
            progress.silent_since = Instant::now();
            progress.slot.mark_silent();
        }
        let of_request = |upload: &mut Upload| upload.request == request;
        let over: Vec<_> = progress.concluded.extract_if(.., of_request).collect();
        if answered {
            progress.answered.extend(over);
        } else {
            self.publish_unanswered(over);
        }
    }

    /// Everything that hyper had to write has been handed to the kernel.
    pub(crate) fn flushed(&self) {
        let mut progress = self.progress.lock();
        if progress.answered.is_empty() {
            return;
        }
        let sent_ns = Some(clock::now_ns());
        for mut upload in progress.answered.drain(..) {
            upload.times.sent_ns = sent_ns;
            self.publish(upload);
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

    fn publish_unanswered(&self, uploads: Vec<Upload>) {
        for mut upload in uploads {
            upload.status = None;
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
        self.journal.upload_ended(upload);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let progress = self.progress.get_mut();
        let requests = progress.requests;
        let mut unanswered = std::mem::take(&mut progress.answered);
        unanswered.append(&mut progress.concluded);
        self.publish_unanswered(unanswered);
        self.journal.metrics.connections_open.dec();
        self.journal.uploads.publish_end(ConnectionEnd {
            cookie: self.cookie,
            accepted_ns: self.accepted_ns,
            closed_ns: clock::now_ns(),
            requests,
        });
    }
}
