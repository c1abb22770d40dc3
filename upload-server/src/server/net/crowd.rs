//! The connections held at a time. Whoever is silent, in a TLS handshake, within a request's head or
//! between two requests, may have to make room for a newcomer: so silence cannot keep others out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// See the module.
#[derive(Debug)]
pub(crate) struct Crowd {
    places: Arc<Semaphore>,
    silent: Mutex<Silent>,
}

/// Silent connections in the order in which they fell silent.
#[derive(Debug, Default)]
struct Silent {
    last: u64,
    queue: BTreeMap<u64, CancellationToken>,
}

/// A connection's standing in the crowd.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Absent for those who have no place to give.
    crowd: Option<Arc<Crowd>>,
    queued: Option<u64>,
    dismissed: CancellationToken,
    /// Given back with the standing, so that whoever is in the queue has one.
    _place: Option<OwnedSemaphorePermit>,
}

impl Crowd {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            silent: Mutex::default(),
        }
    }

    /// A place for a newcomer, for which somebody silent may have to go; none where nobody is.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let places = || Arc::clone(&self.places);
        if let Ok(place) = places().try_acquire_owned() {
            return Some(place);
        }
        let (_, longest) = self.silent().queue.pop_first()?;
        longest.cancel();
        places().acquire_owned().await.ok()
    }

    fn silent(&self) -> MutexGuard<'_, Silent> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    /// A connection that has not said anything yet, with its place in a crowd or with another.
    pub(crate) fn new(crowd: Option<Arc<Crowd>>, place: Option<OwnedSemaphorePermit>) -> Self {
        let mut standing = Self {
            crowd,
            queued: None,
            dismissed: CancellationToken::new(),
            _place: place,
        };
        standing.silent();
        standing
    }

    /// Cancelled when the connection has to make room.
    pub(crate) fn dismissed(&self) -> CancellationToken {
        self.dismissed.clone()
    }

    /// No request is under way any more.
    pub(crate) fn silent(&mut self) {
        let Some(crowd) = &self.crowd else {
            return;
        };
        let mut silent = crowd.silent();
        silent.last += 1;
        let last = silent.last;
        silent.queue.insert(last, self.dismissed.clone());
        self.queued = Some(last);
    }

    /// A request is under way.
    pub(crate) fn busy(&mut self) {
        if let (Some(crowd), Some(queued)) = (&self.crowd, self.queued.take()) {
            crowd.silent().queue.remove(&queued);
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.busy();
    }
}
