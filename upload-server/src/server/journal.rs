//! What the feed is made of: the latest uploads and connection ends, remembered, and each new one
//! as it happens. Bounded in both; who reads too slowly loses the rest and nobody waits for him.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::broadcast;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::{debug, info, warn};

use super::{
    addresses::Addresses,
    encoding::json_line,
    history::{History, UploadSummary},
    publisher::Publisher,
};
use crate::record::{ConnectionEnd, FeedLine, PartOfUpload, Server, Upload};

/// How many uploads, how many parts of uploads, and how many connection ends, are remembered.
const REMEMBERED: usize = 1_000;

/// How many lines a reader may be behind.
const BACKLOG: usize = 4_096;

/// The server's memory of its uploads.
pub(crate) struct Journal {
    publisher: Arc<Publisher>,
    addresses: Addresses,
    closed: CancellationToken,
    last_id: AtomicU64,
    history: Option<History>,
    state: Mutex<State>,
}

struct State {
    server: Bytes,
    parts: VecDeque<Bytes>,
    uploads: VecDeque<Remembered>,
    ends: VecDeque<Bytes>,
    /// Absent once the journal is closed.
    live: Option<broadcast::Sender<Bytes>>,
}

struct Remembered {
    id: String,
    line: Bytes,
    /// By connection, the latest standing last.
    timelines: Vec<(String, Bytes)>,
}

impl Journal {
    /// Ids go on where the history ends.
    pub(crate) fn new(server: Server, history: Option<History>, addresses: Addresses) -> Self {
        let state = State {
            server: json_line(&FeedLine::Server(server)).into(),
            parts: VecDeque::new(),
            uploads: VecDeque::new(),
            ends: VecDeque::new(),
            live: Some(broadcast::Sender::new(BACKLOG)),
        };
        Self {
            publisher: Arc::new(Publisher::new()),
            addresses,
            closed: CancellationToken::new(),
            last_id: AtomicU64::new(history.as_ref().map_or(0, History::last_id)),
            history,
            state: Mutex::new(state),
        }
    }

    /// An id for an upload that came to its end.
    pub(crate) fn next_id(&self) -> String {
        (self.last_id.fetch_add(1, Ordering::Relaxed) + 1).to_string()
    }

    /// Keeps the record of an upload that is complete, before its client is told so. Blocks.
    pub(crate) fn keep(&self, upload: &Upload) {
        if let Some(history) = &self.history {
            history.keep(upload);
        }
    }

    pub(crate) fn publish_upload(&self, upload: Upload) {
        info!(
            id = upload.id,
            client = %upload.client,
            name = upload.name,
            bytes = upload.bytes,
            status = upload.status,
            error = upload.error,
            "upload {}",
            upload.outcome,
        );
        if let Some(history) = &self.history {
            history.queue(&upload);
        }
        self.publisher.upload(&upload);
        let id = upload.id.clone();
        let line = Bytes::from(json_line(&FeedLine::Upload(upload)));
        let mut state = self.state();
        state.send(&line);
        push_bounded(
            &mut state.uploads,
            Remembered {
                id,
                line,
                timelines: Vec::new(),
            },
        );
    }

    pub(crate) fn publish_part(&self, part: PartOfUpload) {
        let line = Bytes::from(json_line(&FeedLine::Part(part)));
        let mut state = self.state();
        state.send(&line);
        push_bounded(&mut state.parts, line);
    }

    pub(crate) fn publish_end(&self, end: ConnectionEnd) {
        debug!(cookie = %end.cookie, requests = end.requests, "connection closed");
        let line = Bytes::from(json_line(&FeedLine::Connection(end)));
        let mut state = self.state();
        state.send(&line);
        push_bounded(&mut state.ends, line);
    }

    /// The lines so far and those to come: the server, then parts of uploads, then uploads, then
    /// connection ends, so that nothing stands after the end of its connection.
    pub(crate) fn subscribe(&self) -> (Vec<Bytes>, broadcast::Receiver<Bytes>) {
        let state = self.state();
        let uploads = state.uploads.iter().map(|upload| &upload.line);
        let past = [&state.server]
            .into_iter()
            .chain(&state.parts)
            .chain(uploads)
            .chain(&state.ends)
            .cloned();
        let live = state.live.as_ref().map(broadcast::Sender::subscribe);
        (
            past.collect(),
            live.unwrap_or_else(|| broadcast::channel(1).1),
        )
    }

    /// Ends the feed: nothing will follow.
    pub(crate) fn close(&self) {
        self.state().live = None;
        self.closed.cancel();
    }

    /// Completes when the feed has ended.
    pub(crate) fn closed(&self) -> WaitForCancellationFutureOwned {
        self.closed.clone().cancelled_owned()
    }

    /// What listeners are told.
    pub(crate) const fn events(&self) -> &Arc<Publisher> {
        &self.publisher
    }

    /// Where timelines are shown.
    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Keeps the timeline of one of an upload's connections, with the upload where that is kept;
    /// false when it is not known (any more). Blocks.
    pub(crate) fn set_timeline(&self, id: &str, connection: String, timeline: String) -> bool {
        if let (Some(history), Ok(kept_id)) = (&self.history, id.parse())
            && history.set_timeline(kept_id, connection.clone(), timeline.clone())
        {
            return true;
        }
        let mut state = self.state();
        let remembered = state.uploads.iter_mut().find(|upload| upload.id == id);
        remembered
            .map(|upload| {
                let timelines = &mut upload.timelines;
                timelines.retain(|(known, _)| *known != connection);
                timelines.push((connection, timeline.into()));
            })
            .is_some()
    }

    /// The timelines that were handed in for an upload, the latest standing last; none when the
    /// upload is not known (any more). Blocks.
    pub(crate) fn timelines(&self, id: &str) -> Option<Vec<Bytes>> {
        if let Some(kept) = self.kept_timelines(id) {
            return Some(kept);
        }
        let state = self.state();
        let upload = state.uploads.iter().find(|upload| upload.id == id)?;
        let timelines = upload.timelines.iter();
        Some(timelines.map(|(_, timeline)| timeline.clone()).collect())
    }

    /// The record of an upload; none when it is not known (any more). Blocks.
    pub(crate) fn upload(&self, id: &str) -> Option<Upload> {
        let kept = self.history.as_ref().zip(id.parse().ok());
        let kept = kept.and_then(|(history, id)| {
            let record = history.record(id);
            let record = record.inspect_err(|error| warn!(%error, "the history cannot be read"));
            serde_json::from_str(&record.ok()??).ok()
        });
        kept.or_else(|| {
            let state = self.state();
            let upload = state.uploads.iter().find(|upload| upload.id == id)?;
            match serde_json::from_slice(&upload.line) {
                Ok(FeedLine::Upload(upload)) => Some(upload),
                _ => None,
            }
        })
    }

    fn kept_timelines(&self, id: &str) -> Option<Vec<Bytes>> {
        let kept = self.history.as_ref()?.timelines(id.parse().ok()?);
        let kept = kept.inspect_err(|error| warn!(%error, "the history cannot be read"));
        Some(kept.ok()??.into_iter().map(Bytes::from).collect())
    }

    /// Up to `limit` uploads before this id, the latest first. Blocks.
    pub(crate) fn latest(&self, before: Option<u64>, limit: u32) -> Vec<UploadSummary> {
        if let Some(history) = &self.history {
            match history.list(before, limit) {
                Ok(listed) => return listed,
                Err(error) => warn!(%error, "the history cannot be read"),
            }
        }
        let state = self.state();
        let remembered = state.uploads.iter().filter_map(Remembered::summary);
        let mut listed: Vec<_> = remembered
            .filter(|listed| before.is_none_or(|before| listed.id < before))
            .collect();
        // An upload gets its id a little before it stands here.
        listed.sort_by_key(|listed| std::cmp::Reverse(listed.id));
        listed.truncate(limit as usize);
        listed
    }

    /// Where uploads are kept, if they are.
    pub(crate) fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Remembered {
    fn summary(&self) -> Option<UploadSummary> {
        match serde_json::from_slice(&self.line) {
            Ok(FeedLine::Upload(upload)) => UploadSummary::new(&upload, !self.timelines.is_empty()),
            _ => None,
        }
    }
}

impl State {
    fn send(&self, line: &Bytes) {
        if let Some(live) = &self.live {
            // An error says that nobody reads.
            let _ = live.send(line.clone());
        }
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == REMEMBERED {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast::error::TryRecvError;

    use super::*;
    use crate::record::{Cookie, tests::upload};

    fn journal() -> Journal {
        let listen = Vec::new();
        let (comm, version) = (String::new(), String::new());
        Journal::new(
            Server {
                pid: 1,
                comm,
                netns: 1,
                listen,
                version,
            },
            None,
            Addresses::open(),
        )
    }

    fn end(cookie: u64) -> ConnectionEnd {
        ConnectionEnd {
            cookie: Cookie(cookie),
            accepted_ns: 0,
            closed_ns: 0,
            requests: 0,
        }
    }

    #[test]
    fn forgets_the_oldest() {
        let journal = journal();
        for cookie in 0..=REMEMBERED as u64 {
            journal.publish_end(end(cookie));
        }
        let (past, _) = journal.subscribe();
        let oldest = json_line(&FeedLine::Connection(end(1)));
        assert_eq!(past.len(), 1 + REMEMBERED);
        assert_eq!(past.get(1), Some(&Bytes::from(oldest)));
    }

    /// Whoever reads the client's answer may be faster than the feed.
    #[test]
    fn a_timeline_may_come_before_the_feeds_line() {
        let root = tempfile::tempdir().unwrap();
        let history = History::open(root.path(), 10, false).unwrap();
        let mut journal = journal();
        journal.history = Some(history);
        journal.keep(&upload(1));
        assert!(journal.set_timeline("1", "7".into(), "1".into()));
        journal.publish_upload(upload(1));
        assert!(journal.set_timeline("1", "8".into(), "2".into()));
        assert_eq!(journal.timelines("1").unwrap(), ["1", "2"]);
    }

    #[test]
    fn does_not_wait_for_a_reader() {
        let journal = journal();
        let (_, mut live) = journal.subscribe();
        for cookie in 0..=BACKLOG as u64 {
            journal.publish_end(end(cookie));
        }
        assert_eq!(live.try_recv(), Err(TryRecvError::Lagged(1)));
    }

    #[test]
    fn ends_the_feed_when_closed() {
        let journal = journal();
        let (_, mut live) = journal.subscribe();
        journal.publish_end(end(1));
        journal.close();
        assert!(live.try_recv().is_ok());
        assert_eq!(live.try_recv(), Err(TryRecvError::Closed));
        assert_eq!(journal.subscribe().1.try_recv(), Err(TryRecvError::Closed));
    }
}
