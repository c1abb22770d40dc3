//! The lines of the control socket's `GET /uploads`: the latest are remembered, and each new one goes
//! to every reader. Both are bounded: a reader that is too slow loses the rest, and delays nobody.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    record::{ConnectionEnd, FeedLine, PartOfUpload, Server, Upload},
    server::{encoding::json_line, history::UploadSummary, net::held_records::Answered},
};

/// How many uploads, how many parts of uploads, and how many connection ends, are remembered.
const REMEMBERED: usize = 1_000;

/// How many lines a reader may be behind.
const BACKLOG: usize = 4_096;

pub(super) struct Feed {
    closed: CancellationToken,
    state: Mutex<State>,
}

struct State {
    server: Bytes,
    parts: VecDeque<Bytes>,
    uploads: VecDeque<Remembered>,
    ends: VecDeque<Bytes>,
    /// Absent once the feed is closed.
    live: Option<broadcast::Sender<Bytes>>,
}

struct Remembered {
    id: String,
    line: Bytes,
    /// By connection, the latest last.
    timelines: Vec<(String, Bytes)>,
}

impl Feed {
    pub(super) fn new(server: Server) -> Self {
        Self {
            closed: CancellationToken::new(),
            state: Mutex::new(State {
                server: json_line(&FeedLine::Server(server)).into(),
                parts: VecDeque::new(),
                uploads: VecDeque::new(),
                ends: VecDeque::new(),
                live: Some(broadcast::Sender::new(BACKLOG)),
            }),
        }
    }

    pub(super) fn publish_upload(&self, upload: &Upload) {
        let id = upload.id.clone();
        let line = Bytes::from(json_line(&FeedLine::Upload(upload.clone())));
        let mut state = self.state.lock();
        state.send(&line);
        let timelines = Vec::new();
        push_bounded(
            &mut state.uploads,
            Remembered {
                id,
                line,
                timelines,
            },
        );
    }

    /// Adds the response to the remembered lines of these uploads.
    pub(super) fn answered(&self, ids: &[u64], answered: Answered) {
        let ids: HashSet<u64> = ids.iter().copied().collect();
        let is_one = |upload: &Remembered| upload.id.parse().is_ok_and(|id| ids.contains(&id));
        let mut state = self.state.lock();
        for remembered in state.uploads.iter_mut().filter(|upload| is_one(upload)) {
            if let Some(mut record) = remembered.record() {
                answered.add_to(&mut record);
                remembered.line = json_line(&FeedLine::Upload(record)).into();
            }
        }
    }

    pub(super) fn publish_part(&self, part: PartOfUpload) {
        let line = Bytes::from(json_line(&FeedLine::Part(part)));
        let mut state = self.state.lock();
        state.send(&line);
        push_bounded(&mut state.parts, line);
    }

    pub(super) fn publish_end(&self, end: ConnectionEnd) {
        let line = Bytes::from(json_line(&FeedLine::Connection(end)));
        let mut state = self.state.lock();
        state.send(&line);
        push_bounded(&mut state.ends, line);
    }

    /// The remembered lines and those to come. Connection ends come after parts and uploads, so that
    /// no upload follows the end of its connection.
    pub(super) fn subscribe(&self) -> (Vec<Bytes>, broadcast::Receiver<Bytes>) {
        let state = self.state.lock();
        let uploads = state.uploads.iter().map(|upload| &upload.line);
        let remembered = [&state.server]
            .into_iter()
            .chain(&state.parts)
            .chain(uploads)
            .chain(&state.ends)
            .cloned();
        let live = state.live.as_ref().map(broadcast::Sender::subscribe);
        (
            remembered.collect(),
            live.unwrap_or_else(|| broadcast::channel(1).1),
        )
    }

    /// Ends the feed, for its readers too.
    pub(super) fn close(&self) {
        self.state.lock().live = None;
        self.closed.cancel();
    }

    /// Completes when the feed is closed.
    pub(super) fn closed(&self) -> WaitForCancellationFutureOwned {
        self.closed.clone().cancelled_owned()
    }

    /// Keeps the timeline of one of an upload's connections. Returns false when the upload is not
    /// remembered.
    pub(super) fn set_timeline(&self, id: &str, connection: String, timeline: String) -> bool {
        let mut state = self.state.lock();
        let remembered = state.uploads.iter_mut().find(|upload| upload.id == id);
        remembered
            .map(|upload| {
                let timelines = &mut upload.timelines;
                timelines.retain(|(known, _)| *known != connection);
                timelines.push((connection, timeline.into()));
            })
            .is_some()
    }

    /// The timelines of an upload, the latest last. None when the upload is not remembered.
    pub(super) fn timelines(&self, id: &str) -> Option<Vec<Bytes>> {
        let state = self.state.lock();
        let upload = state.uploads.iter().find(|upload| upload.id == id)?;
        let timelines = upload.timelines.iter();
        Some(timelines.map(|(_, timeline)| timeline.clone()).collect())
    }

    /// None when the upload is not remembered.
    pub(super) fn upload(&self, id: &str) -> Option<Upload> {
        let state = self.state.lock();
        let upload = state.uploads.iter().find(|upload| upload.id == id)?;
        upload.record()
    }

    /// Up to `limit` uploads before this id, the latest first.
    pub(super) fn latest(&self, before: Option<u64>, limit: u32) -> Vec<UploadSummary> {
        let state = self.state.lock();
        let uploads = state.uploads.iter().filter_map(|remembered| {
            UploadSummary::new(&remembered.record()?, !remembered.timelines.is_empty())
        });
        let mut latest: Vec<_> = uploads
            .filter(|upload| before.is_none_or(|before| upload.id < before))
            .collect();
        // Uploads that end at the same time may be published in another order than that of their
        // ids.
        latest.sort_by_key(|upload| std::cmp::Reverse(upload.id));
        latest.truncate(limit as usize);
        latest
    }
}

impl State {
    fn send(&self, line: &Bytes) {
        if let Some(live) = &self.live {
            // An error means that the feed has no reader.
            let _ = live.send(line.clone());
        }
    }
}

impl Remembered {
    fn record(&self) -> Option<Upload> {
        match serde_json::from_slice(&self.line) {
            Ok(FeedLine::Upload(upload)) => Some(upload),
            _ => None,
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
    use crate::record::Cookie;

    fn feed() -> Feed {
        Feed::new(Server {
            pid: 1,
            comm: String::new(),
            netns: 1,
            listen: Vec::new(),
            version: String::new(),
        })
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
        let feed = feed();
        for cookie in 0..=REMEMBERED as u64 {
            feed.publish_end(end(cookie));
        }
        let (remembered, _) = feed.subscribe();
        let oldest = json_line(&FeedLine::Connection(end(1)));
        assert_eq!(remembered.len(), 1 + REMEMBERED);
        assert_eq!(remembered.get(1), Some(&Bytes::from(oldest)));
    }

    #[test]
    fn does_not_wait_for_a_reader() {
        let feed = feed();
        let (_, mut live) = feed.subscribe();
        for cookie in 0..=BACKLOG as u64 {
            feed.publish_end(end(cookie));
        }
        assert_eq!(live.try_recv(), Err(TryRecvError::Lagged(1)));
    }

    #[test]
    fn ends_when_closed() {
        let feed = feed();
        let (_, mut live) = feed.subscribe();
        feed.publish_end(end(1));
        feed.close();
        assert!(live.try_recv().is_ok());
        assert_eq!(live.try_recv(), Err(TryRecvError::Closed));
        assert_eq!(feed.subscribe().1.try_recv(), Err(TryRecvError::Closed));
    }
}
