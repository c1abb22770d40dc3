//! The thread that writes. Orders that arrive while it writes go into one transaction together: each
//! transaction costs a flush to the disk.

use std::sync::mpsc::{Receiver, SyncSender};

use rusqlite::{Connection, Transaction, params};
use tracing::warn;

use super::upload_row::UploadRow;

/// The most orders in one transaction.
const BATCH: usize = 256;

/// What to write, and the channel that reports it as written.
pub(super) enum Order {
    Keep(Box<UploadRow>, Option<SyncSender<()>>),
    Timeline {
        id: u64,
        connection: String,
        timeline: String,
        done: SyncSender<bool>,
    },
    Close,
}

/// Reports to a waiting caller that its order is written.
type Reply = Box<dyn FnOnce()>;

/// Writes until [`Order::Close`]. If a write fails, the waiting callers' channels are closed.
pub(super) fn write_all(database: &mut Connection, keep: u32, orders: &Receiver<Order>) {
    let mut open = true;
    while open {
        let Ok(first) = orders.recv() else {
            return;
        };
        let mut batch = vec![first];
        batch.extend(orders.try_iter().take(BATCH - 1));
        open = !batch.iter().any(|order| matches!(order, Order::Close));
        match write(database, keep, batch) {
            Ok(replies) => replies.into_iter().for_each(|send| send()),
            Err(error) => warn!(%error, "the history cannot be written"),
        }
    }
}

fn write(
    database: &mut Connection,
    keep: u32,
    batch: Vec<Order>,
) -> Result<Vec<Reply>, rusqlite::Error> {
    let transaction = database.transaction()?;
    let mut replies: Vec<Reply> = Vec::new();
    for order in batch {
        match order {
            Order::Keep(row, done) => {
                row.write(&transaction)?;
                if let Some(done) = done {
                    replies.push(reply(done, ()));
                }
            }
            Order::Timeline {
                id,
                connection,
                timeline,
                done,
            } => {
                let known = write_timeline(&transaction, id, &connection, &timeline)?;
                replies.push(reply(done, known));
            }
            Order::Close => {}
        }
    }
    let forget = "DELETE FROM uploads WHERE id <= (SELECT max(id) FROM uploads) - ?1";
    transaction.prepare_cached(forget)?.execute([keep])?;
    transaction.commit()?;
    Ok(replies)
}

fn reply<T: 'static>(done: SyncSender<T>, value: T) -> Reply {
    Box::new(move || {
        // The caller may be gone.
        let _ = done.send(value);
    })
}

/// Returns false when the upload is unknown.
fn write_timeline(
    transaction: &Transaction<'_>,
    id: u64,
    connection: &str,
    timeline: &str,
) -> Result<bool, rusqlite::Error> {
    // Replaces the row instead of changing it, so that the rows are in the order of arrival.
    let insert = "INSERT OR REPLACE INTO timelines (upload, connection, timeline)
        SELECT id, ?2, ?3 FROM uploads WHERE id = ?1";
    let id = id.cast_signed();
    let mut insert = transaction.prepare_cached(insert)?;
    let inserted = insert.execute(params![id, connection, timeline])?;
    Ok(inserted > 0)
}
