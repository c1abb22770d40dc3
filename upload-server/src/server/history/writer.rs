//! Writes the history. Orders go into one queue. A caller that waits for its order takes the database
//! and writes everything that is queued, in one transaction: callers that come meanwhile find their
//! order written when they get the database. So no upload wakes another thread, and each transaction, which
//! may cost a flush to the disk, is shared by all that wait for one. The orders that nobody waits for
//! go with the next transaction; a thread writes them if none follows soon.

use std::{
    mem,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, params};
use tracing::warn;

use super::upload_row::{self, UploadRow};
use crate::server::net::held_records::Answered;

/// How many orders may be queued that nobody waits for.
const BACKLOG: usize = 4_096;

/// How long such an order is queued at most.
const LAG: Duration = Duration::from_millis(20);

/// After so many orders, what is in the write-ahead log goes into the database's file (a checkpoint).
const ORDERS_PER_CHECKPOINT: usize = 1_000;

/// A log begins anew once all of it is in the file. While uploads go on, some of it never is, for they write more
/// meanwhile: so at this length, in pages, they wait for the rest.
const LONG_LOG: u32 = 8_192;

/// How many bytes an upload may have on average, with its timelines.
const BYTES_PER_UPLOAD: u64 = 32 * 1024;

/// How many bytes a history may have, however few uploads it keeps.
const FEWEST_BYTES: u64 = 1024 * 1024;

/// What to write.
pub(super) enum Order {
    Keep(Box<UploadRow>),
    /// Add the response to the records of these uploads.
    Answered {
        ids: Vec<u64>,
        answered: Answered,
        /// When it was sent, in RFC 3339.
        ended: Option<String>,
    },
    Timeline {
        id: u64,
        connection: String,
        timeline: String,
    },
}

/// Why an order was not queued.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotQueued {
    #[error("the history is too far behind: this record is not kept")]
    Full,
    #[error("the history is closed")]
    Closed,
}

pub(super) struct Writer {
    queue: Mutex<Queue>,
    /// Notified when there is something to tidy up, and when the history is closed.
    untidy: Condvar,
    /// Absent once the history is closed.
    database: Mutex<Option<Connection>>,
    /// How many orders were written since the last checkpoint.
    since_checkpoint: AtomicUsize,
    /// The last orders could not be written.
    fails: AtomicBool,
    keep: u32,
}

#[derive(Default)]
struct Queue {
    orders: Vec<(Order, Outcome)>,
    /// Something was queued since the oldest uploads were forgotten.
    untidy: bool,
    closed: bool,
}

/// What became of an order: whether the upload was known. Never set where the write failed.
pub(super) type Outcome = Arc<OnceLock<bool>>;

impl Writer {
    /// Keeps the latest `keep` uploads.
    pub(super) fn new(database: Connection, keep: u32) -> Self {
        Self {
            queue: Mutex::default(),
            untidy: Condvar::new(),
            database: Mutex::new(Some(database)),
            since_checkpoint: AtomicUsize::new(0),
            fails: AtomicBool::new(false),
            keep,
        }
    }

    /// Queues an order, and does not wait for it.
    pub(super) fn queue(&self, order: Order) -> Result<(), NotQueued> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(NotQueued::Closed);
        }
        if queue.orders.len() >= BACKLOG {
            return Err(NotQueued::Full);
        }
        self.push(&mut queue, order, Outcome::default());
        Ok(())
    }

    /// Queues an order that [`Self::wait`] waits for.
    pub(super) fn begin(&self, order: Order) -> Outcome {
        let outcome = Outcome::default();
        self.push(&mut self.queue.lock(), order, Arc::clone(&outcome));
        outcome
    }

    /// Returns when an order is written: whether its upload was known. None where it cannot be
    /// written. Blocks.
    pub(super) fn wait(&self, outcome: &Outcome) -> Option<bool> {
        if outcome.get().is_none() {
            let mut database = self.database.lock();
            if outcome.get().is_none() {
                let orders = mem::take(&mut self.queue.lock().orders);
                if let Some(database) = database.as_mut() {
                    self.write_all(database, &orders, None);
                }
            }
        }
        outcome.get().copied()
    }

    /// Writes what is queued, and forgets the oldest uploads. Blocks.
    pub(super) fn tidy_up(&self) {
        let mut database = self.database.lock();
        let orders = {
            let mut queue = self.queue.lock();
            if !mem::take(&mut queue.untidy) {
                return;
            }
            mem::take(&mut queue.orders)
        };
        if let Some(database) = database.as_mut() {
            self.write_all(database, &orders, Some(self.keep));
        }
    }

    /// Tidies up after each order, until the history is closed. Orders that follow each other share
    /// the work. `checkpoints` is a connection to the same database.
    pub(super) fn keep_tidy(&self, checkpoints: &Connection) {
        loop {
            let mut queue = self.queue.lock();
            self.untidy
                .wait_while(&mut queue, |queue| !queue.untidy && !queue.closed);
            self.untidy
                .wait_while_for(&mut queue, |queue| !queue.closed, LAG);
            let closed = queue.closed;
            drop(queue);
            self.tidy_up();
            if self.since_checkpoint.load(Ordering::Relaxed) >= ORDERS_PER_CHECKPOINT
                && let Err(error) = self.checkpoint(checkpoints)
            {
                warn!(%error, "the history's log cannot be emptied: it grows");
            }
            if closed {
                return;
            }
        }
    }

    /// Makes [`Self::keep_tidy`] return. Nothing is queued afterwards.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.untidy.notify_all();
    }

    /// Closes the database. Blocks.
    pub(super) fn close_database(&self) {
        *self.database.lock() = None;
    }

    fn checkpoint(&self, checkpoints: &Connection) -> Result<(), rusqlite::Error> {
        self.since_checkpoint.store(0, Ordering::Relaxed);
        if checkpoint(checkpoints)? >= LONG_LOG {
            let _no_order = self.database.lock();
            checkpoint(checkpoints)?;
        }
        Ok(())
    }

    /// Writes all orders or none, and forgets all uploads but the latest `keep`. Orders that cannot be written are
    /// lost: uploads go on without them.
    fn write_all(&self, database: &mut Connection, orders: &[(Order, Outcome)], keep: Option<u32>) {
        match try_write_all(database, orders, keep) {
            Ok(known) => {
                // Other orders may write nothing: the disk may fail still.
                let has_written = orders
                    .iter()
                    .any(|(order, _)| matches!(order, Order::Keep(_)));
                if has_written && self.fails.swap(false, Ordering::Relaxed) {
                    warn!(
                        "the history is written again: it lacks the uploads that ended meanwhile"
                    );
                }
                self.since_checkpoint
                    .fetch_add(orders.len(), Ordering::Relaxed);
                for ((_, outcome), known) in orders.iter().zip(known) {
                    // Each outcome is set here alone.
                    let _ = outcome.set(known);
                }
            }
            Err(error) => {
                if !self.fails.swap(true, Ordering::Relaxed) {
                    warn!(%error, "the history cannot be written: uploads go on without it");
                }
            }
        }
    }

    fn push(&self, queue: &mut Queue, order: Order, outcome: Outcome) {
        queue.orders.push((order, outcome));
        if !mem::replace(&mut queue.untidy, true) {
            self.untidy.notify_all();
        }
    }
}

/// Moves the log into the database's file, as far as no reader needs it. Returns how many pages the log had at the
/// beginning.
fn checkpoint(database: &Connection) -> Result<u32, rusqlite::Error> {
    database.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))
}

fn try_write_all(
    database: &mut Connection,
    orders: &[(Order, Outcome)],
    keep: Option<u32>,
) -> Result<Vec<bool>, rusqlite::Error> {
    // A transaction of rusqlite would compile its statements each time.
    database.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let written = write_orders(database, orders, keep);
    let end = if written.is_ok() {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    let ended = database.prepare_cached(end)?.execute([]);
    if ended.is_err() && !database.is_autocommit() {
        database.execute_batch("ROLLBACK")?;
    }
    let known = written?;
    ended?;
    Ok(known)
}

fn write_orders(
    database: &Connection,
    orders: &[(Order, Outcome)],
    keep: Option<u32>,
) -> Result<Vec<bool>, rusqlite::Error> {
    let written = orders.iter().map(|(order, _)| match order {
        Order::Keep(row) => row.write(database).map(|()| true),
        Order::Answered {
            ids,
            answered,
            ended,
        } => upload_row::answer(database, ids, answered, ended.as_deref()).map(|()| true),
        Order::Timeline {
            id,
            connection,
            timeline,
        } => write_timeline(database, *id, connection, timeline),
    });
    let known = written.collect::<Result<_, _>>()?;
    if let Some(keep) = keep {
        let forget = "DELETE FROM uploads WHERE id <= (SELECT max(id) FROM uploads) - ?1";
        database.prepare_cached(forget)?.execute([keep])?;
        forget_beyond(database, most_bytes(keep))?;
    }
    Ok(known)
}

/// How many bytes the history of so many uploads may have.
fn most_bytes(keep: u32) -> u64 {
    (u64::from(keep) * BYTES_PER_UPLOAD).max(FEWEST_BYTES)
}

/// Forgets the oldest uploads until what is left has at most so many bytes. The file does not shrink: later
/// uploads take its free pages.
fn forget_beyond(database: &Connection, most_bytes: u64) -> Result<(), rusqlite::Error> {
    let mut forgotten = 0;
    while used_bytes(database)? > most_bytes {
        let oldest = "DELETE FROM uploads WHERE id IN
            (SELECT id FROM uploads ORDER BY id LIMIT 1 + (SELECT count(*) FROM uploads) / 8)";
        match database.prepare_cached(oldest)?.execute([])? {
            0 => break,
            rows => forgotten += rows,
        }
    }
    if forgotten > 0 {
        warn!(
            forgotten,
            most_bytes, "the history is too large: it forgets the oldest uploads before their time"
        );
    }
    Ok(())
}

fn used_bytes(database: &Connection) -> Result<u64, rusqlite::Error> {
    let number = |pragma: &str| {
        database
            .prepare_cached(pragma)?
            .query_row([], |row| row.get::<_, i64>(0))
    };
    let pages = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
    Ok((pages * number("PRAGMA page_size")?).cast_unsigned())
}

/// Returns false when the upload is unknown.
fn write_timeline(
    database: &Connection,
    id: u64,
    connection: &str,
    timeline: &str,
) -> Result<bool, rusqlite::Error> {
    // Replaces the row instead of changing it, so that the rows are in the order of arrival.
    let insert = "INSERT OR REPLACE INTO timelines (upload, connection, timeline)
        SELECT id, ?2, ?3 FROM uploads WHERE id = ?1";
    let id = id.cast_signed();
    let mut insert = database.prepare_cached(insert)?;
    let inserted = insert.execute(params![id, connection, timeline])?;
    Ok(inserted > 0)
}
