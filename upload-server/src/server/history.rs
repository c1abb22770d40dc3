//! The history: the record of every upload, kept in a database (SQLite) across restarts and crashes.
//! A caller that needs to know that a record is written waits, off the runtime; all others go on.
//! SQLite with a write-ahead log survives a kill, and lets other programs read meanwhile.

mod schema;
mod summary;
mod upload_row;
mod writer;

use std::{
    fmt, fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tracing::warn;

pub(crate) use self::{summary::UploadSummary, upload_row::HistoryLine};
use self::{
    upload_row::UploadRow,
    writer::{Order, Outcome, Writer},
};
use super::{clock::wall_clock, file_lock::Locked, net::held_records::Answered};
use crate::record::Upload;

/// Only the server's user may read the names and addresses of clients.
const MODE: u32 = 0o600;

/// How long the write-ahead log's file stays once its content is in the database's file.
const LOG_BYTES: u32 = 32 * 1024 * 1024;

/// The history of a server. Clones share it.
#[derive(Clone)]
pub struct History(Arc<Inner>);

struct Inner {
    path: PathBuf,
    last_id: u64,
    writer: Arc<Writer>,
    /// Keeps the database tidy.
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Keeps other servers out.
    _lock: Locked,
}

/// A record on its way into the history.
#[must_use]
pub(crate) struct Keeping {
    writer: Arc<Writer>,
    outcome: Outcome,
}

/// Why the history cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Two servers would give their uploads the same ids.
    #[error("another server keeps its own there")]
    InUse,
    #[error("it was written by a newer version of this server")]
    Newer,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
}

impl History {
    /// Opens the history in this directory, which is created if missing. It keeps the latest `keep`
    /// uploads; with `fsync`, they survive a power failure, too.
    pub fn open(directory: &Path, keep: u32, fsync: bool) -> Result<Self, HistoryError> {
        fs::create_dir_all(directory)?;
        let lock = Locked::new(private(&directory.join("history.lock"))?)?;
        let lock = lock.ok_or(HistoryError::InUse)?;
        let path = directory.join("history.sqlite");
        private(&path)?;
        let mut database = Connection::open(&path)?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        let synchronous = if fsync { "FULL" } else { "NORMAL" };
        database.pragma_update(None, "synchronous", synchronous)?;
        database.pragma_update(None, "foreign_keys", true)?;
        // No upload waits for that.
        database.pragma_update(None, "wal_autocheckpoint", 0)?;
        // A log that had to grow does not stay as long.
        database.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        schema::migrate(&mut database, &schema::MIGRATIONS)?;
        let last_id: Option<i64> =
            database.query_row("SELECT max(id) FROM uploads", [], |row| row.get(0))?;
        let writer = Arc::new(Writer::new(database, keep));
        let tidy = Arc::clone(&writer);
        let checkpoints = Connection::open(&path)?;
        let thread = thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || tidy.keep_tidy(&checkpoints))?;
        Ok(Self(Arc::new(Inner {
            path,
            last_id: last_id.unwrap_or_default().cast_unsigned(),
            writer,
            thread: Mutex::new(Some(thread)),
            _lock: lock,
        })))
    }

    /// The highest id so far.
    pub(crate) fn last_id(&self) -> u64 {
        self.0.last_id
    }

    /// Queues an upload's record to be written, in place of an earlier one. Does not wait.
    pub(crate) fn queue(&self, upload: &Upload) {
        let Some(row) = UploadRow::new(upload) else {
            return;
        };
        if let Err(reason) = self.0.writer.queue(Order::Keep(Box::new(row))) {
            warn!(id = upload.id, "{reason}");
        }
    }

    /// Queues the response to be added to the records of these uploads. Does not wait.
    pub(crate) fn queue_response(&self, ids: Vec<u64>, answered: Answered) {
        let ended = answered.sent_ns.or(answered.response_ns).map(wall_clock);
        let order = Order::Answered {
            ids,
            answered,
            ended,
        };
        if let Err(reason) = self.0.writer.queue(order) {
            warn!("{reason}");
        }
    }

    /// Begins to write an upload's record, in place of an earlier one. It is kept once
    /// [`Keeping::wait`] returns: what is begun before the first wait is written together.
    pub(crate) fn keep(&self, upload: &Upload) -> Option<Keeping> {
        let order = Order::Keep(Box::new(UploadRow::new(upload)?));
        Some(Keeping {
            outcome: self.0.writer.begin(order),
            writer: Arc::clone(&self.0.writer),
        })
    }

    /// Keeps the timeline of one of an upload's connections. Returns false when the upload is
    /// unknown. Blocks.
    pub(crate) fn set_timeline(&self, id: u64, connection: String, timeline: String) -> bool {
        let order = Order::Timeline {
            id,
            connection,
            timeline,
        };
        let writer = &self.0.writer;
        writer.wait(&writer.begin(order)) == Some(true)
    }

    /// The timelines of an upload, the latest last. None when the upload is unknown. Blocks.
    pub(crate) fn timelines(&self, id: u64) -> Result<Option<Vec<String>>, rusqlite::Error> {
        let database = self.read()?;
        let known = "SELECT 1 FROM uploads WHERE id = ?1";
        let known = database.query_row(known, [id.cast_signed()], |_| Ok(()));
        match known.optional()? {
            Some(()) => Ok(Some(upload_row::timelines(&database, id)?)),
            None => Ok(None),
        }
    }

    /// The record of an upload as JSON. Blocks.
    pub(crate) fn record(&self, id: u64) -> Result<Option<String>, rusqlite::Error> {
        let database = self.read()?;
        let record = "SELECT record FROM uploads WHERE id = ?1";
        let record = database.query_row(record, [id.cast_signed()], |row| row.get(0));
        record.optional()
    }

    /// Up to `limit` uploads before this id, the latest first. Blocks.
    pub(crate) fn lines(
        &self,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<HistoryLine>, rusqlite::Error> {
        upload_row::before(&self.read()?, before.unwrap_or(u64::MAX >> 1), limit)
    }

    /// The same as summaries.
    pub(crate) fn latest(
        &self,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<UploadSummary>, rusqlite::Error> {
        summary::before(&self.read()?, before.unwrap_or(u64::MAX >> 1), limit)
    }

    /// Writes what is queued, and closes the database. Blocks.
    pub(crate) fn close(&self) {
        self.0.close();
    }

    /// Opens the database to read what has been queued until now.
    fn read(&self) -> Result<Connection, rusqlite::Error> {
        self.0.writer.tidy_up();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(&self.0.path, flags)
    }
}

impl Keeping {
    /// Returns when the record is kept, or cannot be. Blocks.
    pub(crate) fn wait(self) {
        self.writer.wait(&self.outcome);
    }
}

impl Inner {
    fn close(&self) {
        self.writer.close();
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            warn!("the history's thread panicked");
        }
        self.writer.close_database();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("History").field(&self.0.path).finish()
    }
}

fn private(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).mode(MODE);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::record::tests::upload;

    fn keep(history: &History, upload: &Upload) {
        history.keep(upload).unwrap().wait();
    }

    fn ids(history: &History, before: Option<u64>) -> Vec<String> {
        let past = history.lines(before, 100).unwrap();
        let past = serde_json::to_value(past).unwrap();
        let past = past.as_array().unwrap().iter();
        past.map(|past| past["upload"]["id"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn outlives_the_server() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("made/if/missing");
        let history = History::open(&directory, 10, false).unwrap();
        assert_eq!(history.last_id(), 0);
        keep(&history, &upload(1));
        history.queue(&upload(2));
        assert!(history.set_timeline(1, "7".into(), "{}".into()));
        assert!(!history.set_timeline(3, "7".into(), "{}".into()));
        history.close();
        drop(history);

        let history = History::open(&directory, 10, true).unwrap();
        assert_eq!(history.last_id(), 2);
        assert_eq!(ids(&history, None), ["2", "1"]);
        assert_eq!(history.timelines(1).unwrap().unwrap(), ["{}"]);
        assert_eq!(history.timelines(2).unwrap().unwrap(), [""; 0]);
        assert_eq!(history.timelines(3).unwrap(), None);
        for file in ["history.sqlite", "history.lock"] {
            let mode = fs::metadata(directory.join(file)).unwrap().permissions();
            assert_eq!(mode.mode() & 0o777, MODE, "{file}");
        }
    }

    #[test]
    fn keeps_the_latest_record() {
        let root = tempfile::tempdir().unwrap();
        let history = History::open(root.path(), 10, false).unwrap();
        keep(&history, &upload(1));
        assert!(history.set_timeline(1, "7".into(), "[1]".into()));
        assert!(history.set_timeline(1, "8".into(), "[2]".into()));
        let mut known = upload(1);
        known.status = Some(201);
        keep(&history, &known);
        assert!(history.set_timeline(1, "7".into(), "[3]".into()));
        let past = history.lines(None, 1).unwrap();
        let line = serde_json::to_value(&past[0]).unwrap();
        assert_eq!(line["upload"]["status"], 201);
        assert_eq!(line["timelines"], serde_json::json!([[2], [3]]));
    }

    #[test]
    fn forgets_the_oldest() {
        let root = tempfile::tempdir().unwrap();
        let history = History::open(root.path(), 3, false).unwrap();
        for id in 1..=5 {
            keep(&history, &upload(id));
            assert!(history.set_timeline(id, "7".into(), "{}".into()));
        }
        assert_eq!(ids(&history, None), ["5", "4", "3"]);
        assert_eq!(history.timelines(2).unwrap(), None);
        assert_eq!(ids(&history, Some(5)), ["4", "3"]);
        assert_eq!(history.lines(Some(5), 1).unwrap().len(), 1);
    }

    /// The timelines of 20 uploads are larger than the history of 20 may be.
    #[test]
    fn has_a_size() {
        let root = tempfile::tempdir().unwrap();
        let history = History::open(root.path(), 20, false).unwrap();
        let timeline = format!("\"{}\"", "x".repeat(100_000));
        for id in 1..=20 {
            keep(&history, &upload(id));
            assert!(history.set_timeline(id, "7".into(), timeline.clone()));
            assert!(ids(&history, None).contains(&id.to_string()));
        }
        let left = ids(&history, None).len();
        assert!((7..=10).contains(&left), "{left}");
        history.close();
        let file = fs::metadata(root.path().join("history.sqlite")).unwrap();
        assert!(file.len() < 1_300_000, "{}", file.len());
    }

    /// Orders follow each other without a pause in which the log could be emptied.
    #[test]
    fn its_log_has_a_size() {
        const ORDERS: u64 = 3_000;
        let root = tempfile::tempdir().unwrap();
        let history = History::open(root.path(), 100, false).unwrap();
        let mut large = upload(1);
        large.error = Some("x".repeat(15_000));
        let log = root.path().join("history.sqlite-wal");
        let mut longest = 0;
        for id in 1..=ORDERS {
            large.id = id.to_string();
            keep(&history, &large);
            longest = longest.max(fs::metadata(&log).unwrap().len());
        }
        // Each order takes eight pages of the log or more.
        assert!(longest < 64 * 1024 * 1024, "{longest}");
    }

    #[test]
    fn takes_the_response_later() {
        let root = tempfile::tempdir().unwrap();
        let history = History::open(root.path(), 10, false).unwrap();
        keep(&history, &upload(1));
        let answered = Answered {
            status: Some(201),
            response_ns: Some(7),
            sent_ns: Some(8),
        };
        // The second is unknown.
        history.queue_response(vec![1, 2], answered);
        let mut expected = upload(1);
        answered.add_to(&mut expected);
        let record = history.record(1).unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Upload>(&record).unwrap(), expected);
        assert_eq!(ids(&history, None), ["1"]);
    }

    #[test]
    fn keeps_what_comes_at_the_same_time() {
        let root = tempfile::tempdir().unwrap();
        let history = History::open(root.path(), 1_000, false).unwrap();
        thread::scope(|scope| {
            for first in 0..4 {
                let history = &history;
                scope.spawn(move || {
                    for id in (1 + first..=200).step_by(4) {
                        let together = [history.keep(&upload(id)), history.keep(&upload(id + 200))];
                        together.into_iter().flatten().for_each(Keeping::wait);
                        history.queue(&upload(id));
                        assert!(history.set_timeline(id, "7".into(), "{}".into()));
                        assert!(history.record(id + 200).unwrap().is_some());
                    }
                });
            }
        });
        assert_eq!(history.lines(None, 1_000).unwrap().len(), 400);
    }

    #[test]
    fn is_read_as_it_was_queued() {
        let root = tempfile::tempdir().unwrap();
        let history = History::open(root.path(), 10, false).unwrap();
        history.queue(&upload(1));
        assert_eq!(ids(&history, None), ["1"]);
        history.close();
        keep(&history, &upload(2));
        history.queue(&upload(3));
        assert_eq!(ids(&history, None), ["1"]);
    }

    #[test]
    fn belongs_to_one_server() {
        let root = tempfile::tempdir().unwrap();
        let history = History::open(root.path(), 3, false).unwrap();
        let second = History::open(root.path(), 3, false);
        assert!(matches!(second, Err(HistoryError::InUse)));
        history.close();
        drop(history);
        assert!(History::open(root.path(), 3, false).is_ok());
    }

    #[test]
    fn a_file_of_another_kind_is_not_touched() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("history.sqlite");
        let text = "no database".repeat(1_000);
        fs::write(&path, &text).unwrap();
        let opened = History::open(root.path(), 3, false);
        assert!(matches!(opened, Err(HistoryError::Database(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
