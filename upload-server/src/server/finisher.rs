//! Stores small files that have arrived whole, one after the other on as few threads as keep up. Each
//! thread that one wakes for another costs more than a small file: so a file that arrives while others
//! are stored wakes none, and their records go into the history together.

use std::{collections::VecDeque, sync::Arc, thread};

use parking_lot::Mutex;
use tokio::{sync::oneshot, task::spawn_blocking};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{
    error::Error,
    intake::ReceivedFile,
    preconditions::Preconditions,
    store::{Store, Stored},
    transfer::{Completed, Receipt, Transfer},
};

/// How many files are stored before their records are kept together.
const BATCH: usize = 16;

/// How many files wait for each thread before another one joins.
const WAITING_PER_THREAD: usize = 2 * BATCH;

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
    most_threads: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Finish, oneshot::Sender<Finished>)>,
    threads: usize,
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
        let written = bytes.write(|| store.new_file()).map_err(Error::from);
        let published = written.and_then(|(file, digests)| {
            requested.check(&digests)?;
            let stored = store.publish(file, &name, &self.preconditions)?;
            Ok((stored, digests))
        });
        let completed = match published {
            Ok((stored, digests)) => {
                let completed = self.transfer.complete(&stored, digests);
                Ok((stored, completed))
            }
            Err(error) => {
                self.transfer.failed(&error);
                Err(error)
            }
        };
        (completed, self.working)
    }
}

impl Finisher {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            most_threads: thread::available_parallelism().map_or(1, Into::into),
            state: Arc::default(),
        }
    }

    /// Stores the file off the runtime. It also does so when its caller is dropped.
    pub(crate) fn submit(&self, finish: Finish) -> oneshot::Receiver<Finished> {
        let (done, finished) = oneshot::channel();
        let mut state = self.state.lock();
        state.waiting.push_back((finish, done));
        let enough = state.waiting.len() <= state.threads * WAITING_PER_THREAD;
        if !enough && state.threads < self.most_threads {
            state.threads += 1;
            drop(state);
            self.spawn();
        }
        finished
    }

    fn spawn(&self) {
        let finisher = self.clone();
        spawn_blocking(move || {
            let thread = FinishingThread(finisher);
            while thread.0.store_batch() {}
        });
    }

    /// Returns false where nothing waits.
    fn store_batch(&self) -> bool {
        let batch: Vec<_> = {
            let mut state = self.state.lock();
            let length = state.waiting.len().min(BATCH);
            state.waiting.drain(..length).collect()
        };
        let store = |(finish, done): (Finish, _)| (finish.store(&self.store), done);
        let stored: Vec<_> = batch.into_iter().map(store).collect();
        let any = !stored.is_empty();
        for ((stored, _working), done) in stored {
            let finished = stored.map(|(stored, completed)| (stored, completed.receipt()));
            // The request may be gone.
            let _ = done.send(finished);
        }
        any
    }
}

/// A thread that is counted.
struct FinishingThread(Finisher);

impl Drop for FinishingThread {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if state.waiting.is_empty() {
            state.threads -= 1;
        } else {
            // A file came at the last moment, or the thread panicked.
            drop(state);
            self.0.spawn();
        }
    }
}
