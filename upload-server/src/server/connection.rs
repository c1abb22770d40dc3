//! An accepted connection: who it is, how far its current request has come, and which records wait
//! for their response to be sent.
//!
//! Whatever works on a request holds the connection. So its end is published when the last of
//! them lets go, and no upload can follow it.

use std::{
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::http::StatusCode;

use super::{clock, journal::Journal};
use crate::record::{ConnectionEnd, Cookie, Upload};

/// One accepted socket. The kernel's facts about it do not change, its progress does.
pub(crate) struct Connection {
    pub(crate) cookie: Cookie,
    pub(crate) client: SocketAddr,
    pub(crate) accepted_ns: u64,
    journal: Arc<Journal>,
    progress: Mutex<Progress>,
}

struct Progress {
    requests: u32,
    /// No byte of the next request has been read yet.
    idle: bool,
    first_byte_ns: Option<u64>,
    /// A response has been handed to hyper and not yet to the kernel.
    responding: bool,
    reset: bool,
    concluded: Vec<Upload>,
}

/// One request on a connection: what a handler needs to know of it.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) connection: Arc<Connection>,
    /// Counted from 1.
    pub(crate) request: u32,
    pub(crate) first_byte_ns: Option<u64>,
    pub(crate) head_ns: u64,
}

impl Connection {
    pub(crate) fn new(
        cookie: Cookie,
        client: SocketAddr,
        accepted_ns: u64,
        journal: Arc<Journal>,
    ) -> Self {
        let progress = Progress {
            requests: 0,
            idle: true,
            first_byte_ns: None,
            responding: false,
            reset: false,
            concluded: Vec::new(),
        };
        Self {
            cookie,
            client,
            accepted_ns,
            journal,
            progress: Mutex::new(progress),
        }
    }

    /// Bytes came in.
    pub(crate) fn bytes_read(&self) {
        let mut progress = self.progress();
        if progress.idle {
            progress.idle = false;
            progress.first_byte_ns = Some(clock::now_ns());
        }
    }

    /// The peer reset the connection.
    pub(crate) fn was_reset(&self) {
        self.progress().reset = true;
    }

    /// Whether the peer has reset the connection.
    pub(crate) fn is_reset(&self) -> bool {
        self.progress().reset
    }

    /// A request's head is complete. Where it was read together with the request before it, the
    /// time of its first byte is not known.
    pub(crate) fn request_arrived(self: &Arc<Self>) -> Exchange {
        let mut progress = self.progress();
        progress.requests += 1;
        progress.idle = false;
        Exchange {
            connection: Arc::clone(self),
            request: progress.requests,
            first_byte_ns: progress.first_byte_ns.take(),
            head_ns: clock::now_ns(),
        }
    }

    /// An upload has come to its end: gives it its id and keeps its record for the response.
    pub(crate) fn upload_concluded(&self, mut upload: Upload) -> String {
        upload.id = self.journal.next_id();
        let id = upload.id.clone();
        self.progress().concluded.push(upload);
        id
    }

    /// The response to the current request goes to hyper now.
    pub(crate) fn response_ready(&self, status: StatusCode) {
        let now = clock::now_ns();
        let mut progress = self.progress();
        progress.responding = true;
        progress.idle = true;
        for upload in &mut progress.concluded {
            upload.status = Some(status.as_u16());
            upload.times.response_ns = Some(now);
        }
    }

    /// Everything that hyper had to write has been handed to the kernel.
    pub(crate) fn flushed(&self) {
        let mut progress = self.progress();
        if mem::take(&mut progress.responding) {
            let sent_ns = Some(clock::now_ns());
            for mut upload in progress.concluded.drain(..) {
                upload.times.sent_ns = sent_ns;
                self.journal.publish_upload(upload);
            }
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let progress = self
            .progress
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for mut unanswered in progress.concluded.drain(..) {
            unanswered.status = None;
            self.journal.publish_upload(unanswered);
        }
        self.journal.publish_end(ConnectionEnd {
            cookie: self.cookie,
            accepted_ns: self.accepted_ns,
            closed_ns: clock::now_ns(),
            requests: progress.requests,
        });
    }
}
