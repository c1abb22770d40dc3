//! The threads that serve connections: each is an event loop of its own, and serves its connections from the
//! first byte to the last. A runtime that shares its tasks among threads wakes another thread for a
//! small upload several times: that costs more than the upload.

use std::{
    cell::Cell,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use tokio::{
    runtime::{self, Handle},
    sync::oneshot,
};
use tracing::warn;

/// As many as there are cores, and at least two: one may wait for the disk. Dropped, they end: serve nothing
/// any more by then.
pub(crate) struct EventLoops(Vec<EventLoop>);

struct EventLoop {
    handle: Handle,
    /// How many connections it serves.
    connections: Arc<AtomicUsize>,
    /// Dropped, the loop ends.
    running: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A place for one connection in an event loop.
pub(super) struct Place {
    pub(super) handle: Handle,
    connections: Arc<AtomicUsize>,
}

/// How many threads of an event loop may wait for the disk. tokio starts one for each write that finds none
/// idle; of hundreds, most would wait for the lock of their queue.
const BLOCKING_THREADS: usize = 64;

const FEWEST: usize = 2;

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// How many event loops there are.
pub(crate) fn count() -> usize {
    thread::available_parallelism()
        .map_or(FEWEST, Into::into)
        .max(FEWEST)
}

/// The number of the event loop that this thread is; 0 for any other thread.
pub(crate) fn current() -> usize {
    NUMBER.get()
}

impl EventLoops {
    pub(crate) fn start() -> io::Result<Self> {
        (0..count())
            .map(EventLoop::start)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// A place in the loop with the fewest connections.
    pub(super) fn place(&self) -> Place {
        let load = |event_loop: &&EventLoop| event_loop.connections.load(Ordering::Relaxed);
        let fewest = self.0.iter().min_by_key(load);
        let (handle, connections) = fewest.map_or_else(
            || (Handle::current(), Arc::default()),
            |found| (found.handle.clone(), Arc::clone(&found.connections)),
        );
        connections.fetch_add(1, Ordering::Relaxed);
        Place {
            handle,
            connections,
        }
    }

    /// Completes once each loop has run a task: none of them is stuck.
    pub(super) async fn turn(&self) {
        for event_loop in &self.0 {
            // A loop ends after this, and its tasks do not panic.
            let _ = event_loop.handle.spawn(async {}).await;
        }
    }
}

impl EventLoop {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            // Tools name a process's work after the thread that does it.
            .thread_name("upload-server")
            .max_blocking_threads(BLOCKING_THREADS)
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("upload-server".to_owned())
            .spawn(move || {
                NUMBER.set(number);
                // It ends when the sender is dropped.
                let _ = runtime.block_on(ended);
            })?;
        Ok(Self {
            handle,
            connections: Arc::default(),
            running: Some(running),
            thread: Some(thread),
        })
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.running = None;
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            warn!("a thread that serves connections panicked");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
