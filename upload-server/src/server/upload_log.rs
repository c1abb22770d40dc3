//! The records of uploads: each gets an id, goes into the history where the server keeps one, and
//! into the feed. Look-ups read the history, or else what the feed remembers.

mod feed;

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use tokio::sync::broadcast;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tracing::{debug, info, warn};

use self::feed::Feed;
use super::{
    history::{History, Keeping, UploadSummary},
    net::held_records::Answered,
};
use crate::record::{ConnectionEnd, PartOfUpload, Server, Upload};

pub(crate) struct UploadLog {
    last_id: AtomicU64,
    history: Option<History>,
    feed: Feed,
}

impl UploadLog {
    /// Ids continue where the history ends.
    pub(crate) fn new(server: Server, history: Option<History>) -> Self {
        Self {
            last_id: AtomicU64::new(history.as_ref().map_or(0, History::last_id)),
            history,
            feed: Feed::new(server),
        }
    }

    pub(crate) fn next_id(&self) -> String {
        (self.last_id.fetch_add(1, Ordering::Relaxed) + 1).to_string()
    }

    /// Begins to keep the record of a complete upload in the history. Wait for it before the client
    /// gets its answer: no client learns of a complete upload that a crash could still erase from the
    /// history.
    pub(crate) fn keep(&self, upload: &Upload) -> Option<Keeping> {
        self.history.as_ref()?.keep(upload)
    }

    /// Keeps the record of an upload that has ended in the history, in place of an earlier one.
    pub(super) fn queue(&self, upload: &Upload) {
        if let Some(history) = &self.history {
            history.queue(upload);
        }
    }

    pub(super) fn publish_upload(&self, upload: &Upload) {
        info!(
            id = upload.id,
            client = %upload.origin(),
            name = upload.name,
            bytes = upload.bytes,
            status = upload.status,
            error = upload.error,
            "upload {}",
            upload.outcome,
        );
        self.feed.publish_upload(upload);
    }

    /// Adds the response to the records of these uploads, which were published before it was sent. In the feed,
    /// it is in the remembered lines alone.
    pub(super) fn answered(&self, ids: Vec<u64>, answered: Answered) {
        self.feed.answered(&ids, answered);
        if let Some(history) = &self.history {
            history.queue_response(ids, answered);
        }
    }

    pub(crate) fn publish_part(&self, part: PartOfUpload) {
        self.feed.publish_part(part);
    }

    pub(crate) fn publish_end(&self, end: ConnectionEnd) {
        debug!(cookie = %end.cookie, requests = end.requests, "connection closed");
        self.feed.publish_end(end);
    }

    /// The remembered lines of the feed, and those to come.
    pub(crate) fn subscribe(&self) -> (Vec<Bytes>, broadcast::Receiver<Bytes>) {
        self.feed.subscribe()
    }

    /// Ends the feed.
    pub(crate) fn close(&self) {
        self.feed.close();
    }

    /// Completes when the feed has ended.
    pub(crate) fn closed(&self) -> WaitForCancellationFutureOwned {
        self.feed.closed()
    }

    /// Keeps the timeline of one of an upload's connections, in place of an earlier one. Returns
    /// false when the upload is unknown or forgotten. Blocks.
    pub(crate) fn set_timeline(&self, id: &str, connection: String, timeline: String) -> bool {
        // The history has an upload a moment before the feed does, and a tracer that reads the
        // client's answer may be as fast as that.
        if let (Some(history), Ok(kept_id)) = (&self.history, id.parse())
            && history.set_timeline(kept_id, connection.clone(), timeline.clone())
        {
            return true;
        }
        self.feed.set_timeline(id, connection, timeline)
    }

    /// The timelines of an upload, the latest last. None when the upload is unknown or forgotten.
    /// Blocks.
    pub(crate) fn timelines(&self, id: &str) -> Option<Vec<Bytes>> {
        self.kept_timelines(id).or_else(|| self.feed.timelines(id))
    }

    /// None when the upload is unknown or forgotten. Blocks.
    pub(crate) fn upload(&self, id: &str) -> Option<Upload> {
        self.kept_upload(id).or_else(|| self.feed.upload(id))
    }

    /// Up to `limit` uploads before this id, the latest first. Blocks.
    pub(crate) fn latest(&self, before: Option<u64>, limit: u32) -> Vec<UploadSummary> {
        if let Some(history) = &self.history {
            match history.latest(before, limit) {
                Ok(latest) => return latest,
                Err(error) => warn!(%error, "cannot read the history"),
            }
        }
        self.feed.latest(before, limit)
    }

    pub(crate) fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    fn kept_timelines(&self, id: &str) -> Option<Vec<Bytes>> {
        let kept = self.history.as_ref()?.timelines(id.parse().ok()?);
        let kept = kept.inspect_err(|error| warn!(%error, "cannot read the history"));
        Some(kept.ok()??.into_iter().map(Bytes::from).collect())
    }

    fn kept_upload(&self, id: &str) -> Option<Upload> {
        let kept = self.history.as_ref()?.record(id.parse().ok()?);
        let kept = kept.inspect_err(|error| warn!(%error, "cannot read the history"));
        serde_json::from_str(&kept.ok()??).ok()
    }
}

/// The feed's first line: this process, and the addresses on which it takes uploads.
pub(crate) fn this_server(listen: Vec<SocketAddr>) -> io::Result<Server> {
    Ok(Server {
        pid: process::id(),
        comm: fs::read_to_string("/proc/self/comm")?.trim_end().to_owned(),
        netns: fs::metadata("/proc/self/ns/net")?.ino(),
        listen,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::upload;

    #[test]
    fn a_timeline_may_come_before_the_feeds_line() {
        let root = tempfile::tempdir().unwrap();
        let history = History::open(root.path(), 10, false).unwrap();
        let log = UploadLog::new(this_server(Vec::new()).unwrap(), Some(history));
        log.keep(&upload(1)).unwrap().wait();
        assert!(log.set_timeline("1", "7".into(), "1".into()));
        log.queue(&upload(1));
        log.publish_upload(&upload(1));
        assert!(log.set_timeline("1", "8".into(), "2".into()));
        assert_eq!(log.timelines("1").unwrap(), ["1", "2"]);
    }
}
