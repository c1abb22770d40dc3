//! The history: the record of every upload, kept in a database (SQLite) across restarts and crashes.
//! A caller that needs to know that a record is written waits, off the runtime; all others go on.
//! SQLite with a write-ahead log survives a kill, and lets other programs read meanwhile.

mod schema;
mod summary;
#[cfg(test)]
mod tests;
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
