//! Joins uploads with connections, by the cookie of the accepted socket.

use std::sync::Arc;

use foldhash::HashMap;
use upload_protocol::{
    OwnerFrom,
    upload::{ConnectionEnd, FeedLine, Server, Upload},
};

use crate::core::{
    connection::{Connection, Task},
    input::Feed,
};

/// The upload server's reports so far.
#[derive(Debug, Default)]
pub struct Correlator {
    server: Option<Server>,
    /// Uploads by the cookie that carried them, until their connection is emitted.
    uploads: HashMap<u64, Vec<Upload>>,
    /// Sockets that the server has closed, and when.
    ended: HashMap<u64, u64>,
    /// Reports from before this are ignored: the server repeats uploads from before the tracer.
    since_ns: Option<u64>,
}

impl Correlator {
    /// Ignores reports of uploads that ended before `mono_ns`: they were before the tracer.
    pub fn begin(&mut self, mono_ns: u64) {
        self.since_ns.get_or_insert(mono_ns);
    }

    /// Takes a line of the feed; returns its upload, if it reports a new one.
    pub fn ingest(&mut self, feed: Feed) -> Option<Upload> {
        match feed {
            Feed::Line(line) => match *line {
                FeedLine::Server(server) => self.server = Some(server),
                FeedLine::Connection(end) => self.ingest_end(&end),
                FeedLine::Upload(upload) => return self.ingest_upload(upload),
                FeedLine::Part(_) | FeedLine::Unknown => {}
            },
            Feed::Gone => self.server = None,
        }
        None
    }

    /// The uploads that a connection has carried; `None` if no server reports them.
    #[must_use]
    pub fn uploads(&self, connection: &Connection) -> Option<&[Upload]> {
        let known = connection
            .server
            .as_ref()
            .and_then(|view| self.uploads.get(&view.cookie))
            .map(Vec::as_slice);
        known.or_else(|| self.serves(connection).then_some(&[]))
    }

    /// Whether the server may still report on a closed connection.
    #[must_use]
    pub fn awaits(&self, connection: &Connection) -> bool {
        self.serves(connection)
            && connection
                .server
                .as_ref()
                .is_some_and(|view| !self.ended.contains_key(&view.cookie))
    }

    /// Whether the connection is the server's, by its address.
    fn serves(&self, connection: &Connection) -> bool {
        let (Some(server), Some(view)) = (&self.server, &connection.server) else {
            return false;
        };
        let local = view.addresses.local;
        server.netns == u64::from(view.addresses.netns)
            && server.listen.iter().any(|listen| {
                listen.port() == local.port()
                    && (listen.ip().is_unspecified() || listen.ip().to_canonical() == local.ip())
            })
    }

    /// Names the server's process as the owner of a socket that it reported on.
    pub fn name_owner(&self, connection: &mut Connection) {
        let (Some(server), Some(view)) = (&self.server, &mut connection.server) else {
            return;
        };
        if self.ended.contains_key(&view.cookie) || self.uploads.contains_key(&view.cookie) {
            let task = Task {
                pid: server.pid,
                uid: 0,
                comm: server.comm.as_str().into(),
                cgroup: 0,
            };
            view.learn_owner(Arc::new(task), OwnerFrom::Cookie);
        }
    }

    /// Forgets a connection that was emitted.
    pub fn forget(&mut self, connection: &Connection) {
        if let Some(view) = &connection.server {
            self.ended.remove(&view.cookie);
            self.uploads.remove(&view.cookie);
        }
    }

    /// Forgets what the server said of sockets that the tracer does not know, once it is clear that
    /// no record of theirs is still under way.
    pub fn forget_strangers(&mut self, before_ns: u64, is_known: impl Fn(u64) -> bool) {
        self.ended
            .retain(|cookie, at| *at >= before_ns || is_known(*cookie));
        self.uploads.retain(|cookie, uploads| {
            uploads.iter().any(|upload| last_seen(upload) >= before_ns) || is_known(*cookie)
        });
    }

    fn ingest_end(&mut self, end: &ConnectionEnd) {
        if self.is_news(end.closed_ns) {
            self.ended.insert(end.cookie.0, end.closed_ns);
        }
    }

    fn ingest_upload(&mut self, upload: Upload) -> Option<Upload> {
        // Requests are counted from 1.
        if upload.request == 0 || !self.is_news(last_seen(&upload)) {
            return None;
        }
        let known = self.uploads.entry(upload.cookie.0).or_default();
        if known.contains(&upload) {
            return None;
        }
        known.push(upload.clone());
        Some(upload)
    }

    fn is_news(&self, mono_ns: u64) -> bool {
        self.since_ns.is_some_and(|since| mono_ns >= since)
    }
}

/// The time of the server's last event of an upload.
#[must_use]
pub fn last_seen(upload: &Upload) -> u64 {
    let times = &upload.times;
    [
        Some(times.head_ns),
        times.body_last_ns,
        times.stored_ns,
        times.response_ns,
        times.sent_ns,
    ]
    .into_iter()
    .flatten()
    .max()
    .unwrap_or(times.head_ns)
}
