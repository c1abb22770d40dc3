//! Stores small files that have arrived whole. Waking a thread for each would cost more than a small file
//! does: so a task of the event loop stores them, once the tasks that are ready have run. All files that have
//! arrived by then are stored one after the other, and their records go into the history together. A
//! thread that may block does it where the disk is slow, and where one task does not keep up.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    task::{spawn_blocking, yield_now},
};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{
    error::Error,
    intake::ReceivedFile,
    net::event_loops,
    preconditions::Preconditions,
    store::{Store, Stored},
    transfer::{Completed, Receipt, Transfer},
};

/// How many files are stored before their records are kept together.
const BATCH: usize = 16;

/// How many files wait for each worker before another one joins.
const WAITING_PER_WORKER: usize = 2 * BATCH;

/// A batch on a disk that is not slow takes less than this: no event loop may block for longer.
const SLOW: Duration = Duration::from_millis(50);

/// How long a disk that was slow counts as slow.
const SLOW_FOR: Duration = Duration::from_secs(10);

/// The file that a client sent, and the record of its upload.
pub(crate) struct Finish {
    pub(crate) received: ReceivedFile,
    pub(crate) preconditions: Preconditions,
    pub(crate) transfer: Transfer,
    /// The server does not end before.
    pub(crate) working: TaskTrackerToken,
}

pub(crate) type Finished = Result<(Stored, Receipt), Error>;

#[derive(Clone)]
pub(crate) struct Finisher {
    store: Store,
    most_workers: usize,
    /// Of each event loop: what arrives in one wakes no other.
    queues: Arc<[Mutex<Queue>]>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Finish, oneshot::Sender<Finished>)>,
    workers: usize,
    slow_until: Option<Instant>,
}

/// Stores what waits in a queue, until nothing does.
struct Worker {
    finisher: Finisher,
    queue: usize,
}

impl Finish {
    /// Stores the file, and waits until its record is kept. Blocks.
    pub(crate) fn run(self, store: &Store) -> Finished {
        let (stored, _working) = self.store(store);
        let (stored, completed) = stored?;
        Ok((stored, completed.receipt()))
    }

    /// Gives the file its name, and begins to keep the record of its upload. A file that has the
    /// wrong digest, or cannot have its name, is removed.
    fn store(self, store: &Store) -> (Result<(Stored, Completed), Error>, TaskTrackerToken) {
        let ReceivedFile {
            bytes,
            name,
            requested,
        } = self.received;
        let mut transfer = self.transfer;
        let (begun, waited) = (Instant::now(), bytes.waited());
        let written = bytes.write(|| store.new_file()).map_err(Error::from);
        let published = written.and_then(|(file, digests)| {
            requested.check(&digests)?;
            let stored = store.publish(file, &name, &self.preconditions)?;
            Ok((stored, digests))
        });
        transfer.waited_for_disk(waited + begun.elapsed());
        let completed = match published {
            Ok((stored, digests)) => {
                let completed = transfer.complete(&stored, digests);
                Ok((stored, completed))
            }
            Err(error) => {
                transfer.failed(&error);
                Err(error)
            }
        };
        (completed, self.working)
    }
}

impl Finisher {
    pub(crate) fn new(store: Store) -> Self {
        let event_loops = event_loops::count();
        Self {
            store,
            most_workers: event_loops,
            queues: (0..event_loops).map(|_| Mutex::default()).collect(),
        }
    }

    /// Stores the file, even when its caller is dropped.
    pub(crate) fn submit(&self, finish: Finish) -> oneshot::Receiver<Finished> {
        let (done, finished) = oneshot::channel();
        let number = event_loops::current();
        let mut queue = self.queues[number].lock();
        queue.waiting.push_back((finish, done));
        let enough = queue.waiting.len() <= queue.workers * WAITING_PER_WORKER;
        if !enough && queue.workers < self.most_workers {
            let may_block = queue.workers > 0 || queue.is_slow();
            queue.workers += 1;
            drop(queue);
            let worker = Worker {
                finisher: self.clone(),
                queue: number,
            };
            worker.start(may_block);
        }
        finished
    }
}

impl Worker {
    /// `may_block`: on a thread that may block, instead of the event loop.
    fn start(self, may_block: bool) {
        if may_block {
            spawn_blocking(move || while self.store_batch() {});
        } else {
            tokio::spawn(async move {
                // The tasks that are ready run first: more files may arrive.
                while self.store_batch() && !self.queue().lock().is_slow() {
                    yield_now().await;
                }
            });
        }
    }

    /// Returns whether more files wait. Blocks.
    fn store_batch(&self) -> bool {
        let batch: Vec<_> = {
            let mut queue = self.queue().lock();
            let length = queue.waiting.len().min(BATCH);
            queue.waiting.drain(..length).collect()
        };
        let begun = Instant::now();
        let store = |(finish, done): (Finish, _)| (finish.store(&self.finisher.store), done);
        let stored: Vec<_> = batch.into_iter().map(store).collect();
        for ((stored, _working), done) in stored {
            let finished = stored.map(|(stored, completed)| (stored, completed.receipt()));
            // The request may be gone.
            let _ = done.send(finished);
        }
        let now = Instant::now();
        let mut queue = self.queue().lock();
        if now - begun > SLOW {
            queue.slow_until = Some(now + SLOW_FOR);
        }
        !queue.waiting.is_empty()
    }

    fn queue(&self) -> &Mutex<Queue> {
        &self.finisher.queues[self.queue]
    }
}

impl Queue {
    fn is_slow(&self) -> bool {
        self.slow_until.is_some_and(|until| Instant::now() < until)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut queue = self.queue().lock();
        if queue.waiting.is_empty() {
            queue.workers -= 1;
            return;
        }
        // A file came at the last moment, the disk is slow, or the worker panicked.
        let may_block = queue.workers > 1 || queue.is_slow();
        drop(queue);
        let next = Self {
            finisher: self.finisher.clone(),
            queue: self.queue,
        };
        next.start(may_block);
    }
}
