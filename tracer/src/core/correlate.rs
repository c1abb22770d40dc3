//! Joins uploads with connections, by the cookie of the accepted socket.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use foldhash::HashMap;
use upload_protocol::{
    OwnerFrom,
    upload::{ConnectionEnd, FeedLine, Part, Server, Upload},
};

use crate::core::{
    connection::{Connection, Task},
    input::Feed,
};

/// Uploads kept of one connection, in number and in bytes; of those beyond, only the number is kept.
const MAX_UPLOADS: usize = 1_000;
const MAX_BYTES: usize = 4 << 20;
/// About how many bytes all kept reports may take, and of how many sockets there may be some. A feed may report
/// on sockets that do not exist; reports beyond are counted as lost.
const MAX_ALL_BYTES: usize = 64 << 20;
const MAX_SOCKETS: usize = 1 << 16;
/// The longest id; the server's have fewer than 20 digits.
const MAX_ID: usize = 128;
/// Uploads of which it is remembered that they were reported. A server repeats fewer to a new reader.
const MAX_KNOWN: usize = 4_096;

/// The upload server's reports so far.
#[derive(Debug, Default)]
pub struct Correlator {
    server: Option<Server>,
    /// Whether uploads after a connection's first ones are kept until they are [taken](Self::take_fresh).
    keeps_fresh: bool,
    /// Uploads by the cookie that carried them, until their connection is emitted.
    uploads: HashMap<u64, Carried>,
    /// About how many bytes these take.
    bytes: usize,
    /// The latest reports.
    known: Known,
    /// The highest id so far, where ids are numbers.
    last_id: Option<u64>,
    /// Whether the feed began again, and no upload has followed yet.
    is_resumed: bool,
    /// Uploads that the feed reported while nobody read it, or without room.
    missed: u64,
    /// Sockets that the server has closed, and when.
    ended: HashMap<u64, u64>,
    /// Reports from before this are ignored: the server repeats uploads from before the tracer.
    since_ns: Option<u64>,
}

/// The uploads of one connection.
#[derive(Debug, Default)]
struct Carried {
    /// The first ones.
    first: Uploads,
    /// How many of these were taken as fresh.
    taken: usize,
    /// Those after the first ones that were not taken yet.
    later: Uploads,
    /// How many followed the first ones.
    left_out: u64,
    /// When the server last saw one of them.
    last_ns: u64,
}

/// Uploads, limited in number and bytes.
#[derive(Debug, Default)]
struct Uploads {
    list: Vec<Upload>,
    bytes: usize,
}

impl Uploads {
    /// Gives the upload back if there is no room.
    fn push(&mut self, upload: Upload) -> Option<Upload> {
        let bytes = size(&upload);
        let is_full =
            self.list.len() == MAX_UPLOADS || self.bytes.saturating_add(bytes) > MAX_BYTES;
        if is_full && !self.list.is_empty() {
            return Some(upload);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        // Most connections carry one.
        self.list.reserve_exact(usize::from(self.list.is_empty()));
        self.list.push(upload);
        None
    }
}

impl Carried {
    /// About how many bytes it takes, in its map.
    const fn bytes(&self) -> usize {
        2 * size_of::<(u64, Self)>() + self.first.bytes + self.later.bytes
    }
}

/// The latest reports: a server repeats them to a reader that comes back.
#[derive(Debug, Default)]
struct Known {
    set: HashSet<Report>,
    order: VecDeque<Report>,
}

/// Socket, request and id: a server without a history uses ids again.
type Report = (u64, u32, String);

impl Known {
    /// Whether the upload was not reported before.
    fn insert(&mut self, upload: &Upload) -> bool {
        let report = (upload.cookie.0, upload.request, upload.id.clone());
        if !self.set.insert(report.clone()) {
            return false;
        }
        self.order.push_back(report);
        if self.order.len() > MAX_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        true
    }
}

/// The uploads that a server reported of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Reported<'a> {
    /// The first ones.
    pub uploads: &'a [Upload],
    /// How many followed.
    pub left_out: u64,
}

impl Correlator {
    /// Keeps each upload until it is [taken](Self::take_fresh).
    pub const fn keep_fresh(&mut self) {
        self.keeps_fresh = true;
    }

    /// Ignores reports of uploads that ended before `mono_ns`: they were before the tracer.
    pub fn begin(&mut self, mono_ns: u64) {
        self.since_ns.get_or_insert(mono_ns);
    }

    /// Takes a line of the feed; returns its upload, if it reports a new one.
    pub fn ingest(&mut self, feed: Feed) -> Option<Upload> {
        match feed {
            Feed::Line(line) => match *line {
                FeedLine::Server(server) => {
                    self.server = Some(server);
                    self.is_resumed = true;
                }
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
    pub fn uploads(&self, connection: &Connection) -> Option<Reported<'_>> {
        let known = connection
            .server
            .as_ref()
            .and_then(|view| self.uploads.get(&view.cookie))
            .map(|carried| Reported {
                uploads: &carried.first.list,
                left_out: carried.left_out,
            });
        known.or_else(|| {
            self.serves(connection).then_some(Reported {
                uploads: &[],
                left_out: 0,
            })
        })
    }

    /// Takes the uploads of a connection that were not taken yet, for a timeline with these alone: all
    /// that it takes to find their exchanges, and where the fresh ones begin among them. `None` if there is no
    /// fresh one.
    pub fn take_fresh(&mut self, connection: &Connection) -> Option<(Vec<Upload>, usize)> {
        let view = connection.server.as_ref()?;
        let carried = self.uploads.get_mut(&view.cookie)?;
        let from = std::mem::replace(&mut carried.taken, carried.first.list.len());
        let Uploads { list: later, bytes } = std::mem::take(&mut carried.later);
        self.bytes = self.bytes.saturating_sub(bytes);
        if from == carried.first.list.len() && later.is_empty() {
            return None;
        }
        let mut uploads = carried.first.list.clone();
        uploads.extend(later);
        Some((uploads, from))
    }

    /// Takes how many uploads were reported while nobody read the feed.
    pub const fn take_missed(&mut self) -> u64 {
        std::mem::replace(&mut self.missed, 0)
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
    #[must_use]
    pub fn serves(&self, connection: &Connection) -> bool {
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
            // The server does not report its cgroup: what the process did on the socket shows it.
            let owner = view.owner.as_ref().map(|owner| &owner.task);
            let seen = owner.filter(|task| task.id() == Some(server.pid));
            let task = Task {
                pid: server.pid,
                uid: 0,
                comm: server.comm.as_str().into(),
                cgroup: seen.map_or(0, |task| task.cgroup),
            };
            view.learn_owner(Arc::new(task), OwnerFrom::Cookie);
        }
    }

    /// Forgets a connection that was emitted.
    pub fn forget(&mut self, connection: &Connection) {
        if let Some(view) = &connection.server {
            self.ended.remove(&view.cookie);
            let forgotten = self.uploads.remove(&view.cookie);
            let bytes = forgotten.map_or(0, |carried| carried.bytes());
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    /// Forgets what the server said of sockets that the tracer does not know, once it is clear that
    /// no record of theirs is still under way.
    pub fn forget_strangers(&mut self, before_ns: u64, is_known: impl Fn(u64) -> bool) {
        self.ended
            .retain(|cookie, at| *at >= before_ns || is_known(*cookie));
        let strangers = self
            .uploads
            .extract_if(|cookie, carried| carried.last_ns < before_ns && !is_known(*cookie));
        let bytes: usize = strangers.map(|(_, carried)| carried.bytes()).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn ingest_end(&mut self, end: &ConnectionEnd) {
        // Without it, the connection is emitted a little later.
        if self.is_news(end.closed_ns) && self.ended.len() < MAX_SOCKETS {
            self.ended.insert(end.cookie.0, end.closed_ns);
        }
    }

    fn ingest_upload(&mut self, upload: Upload) -> Option<Upload> {
        self.count_missed(&upload.id);
        // Requests are counted from 1.
        if upload.request == 0 || !self.is_news(last_seen(&upload)) {
            return None;
        }
        if upload.id.len() > MAX_ID || !self.has_room(&upload) {
            self.missed = self.missed.saturating_add(1);
            return None;
        }
        if !self.known.insert(&upload) {
            return None;
        }
        let carried = self.uploads.entry(upload.cookie.0).or_default();
        let before = match carried.last_ns {
            0 => 0,
            _ => carried.bytes(),
        };
        carried.last_ns = carried.last_ns.max(last_seen(&upload));
        if let Some(later) = carried.first.push(upload.clone()) {
            carried.left_out += 1;
            if self.keeps_fresh {
                // Without room, the upload has no timeline while its connection is open.
                let _ = carried.later.push(later);
            }
        }
        self.bytes = self.bytes.saturating_add(carried.bytes() - before);
        Some(upload)
    }

    fn has_room(&self, upload: &Upload) -> bool {
        let is_known = self.uploads.contains_key(&upload.cookie.0);
        self.bytes.saturating_add(size(upload)) <= MAX_ALL_BYTES
            && (is_known || self.uploads.len() < MAX_SOCKETS)
    }

    /// Ids are consecutive. Behind the last one before the feed was read again, those up to the first one
    /// after it are missing.
    fn count_missed(&mut self, id: &str) {
        let Ok(id) = id.parse::<u64>() else { return };
        if std::mem::replace(&mut self.is_resumed, false)
            && let Some(last) = self.last_id
        {
            let missed = id.saturating_sub(last).saturating_sub(1);
            self.missed = self.missed.saturating_add(missed);
        }
        self.last_id = self.last_id.max(Some(id));
    }

    fn is_news(&self, mono_ns: u64) -> bool {
        self.since_ns.is_some_and(|since| mono_ns >= since)
    }
}

/// About how many bytes a report takes.
pub(super) fn size(upload: &Upload) -> usize {
    let texts = [
        Some(&upload.id),
        Some(&upload.method),
        Some(&upload.target),
        Some(&upload.version),
        upload.name.as_ref(),
        upload.request_id.as_ref(),
        upload.sha256.as_ref(),
        upload.error.as_ref(),
    ];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    size_of::<Upload>() + texts + upload.connections.len() * size_of::<Part>()
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
