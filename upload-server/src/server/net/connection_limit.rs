//! The connections held at a time. Whoever is silent, in a TLS handshake, within a request's head or
//! between two requests, may have to make room for a newcomer: so silence cannot keep others out.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// See the module.
#[derive(Debug)]
pub(crate) struct ConnectionSlots {
    permits: Arc<Semaphore>,
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
pub(crate) struct Slot {
    /// Absent for those who have no place to give.
    slots: Option<Arc<ConnectionSlots>>,
    queued: Option<u64>,
    dismissed: CancellationToken,
    /// Given back with the standing, so that whoever is in the queue has one.
    _permit: Option<OwnedSemaphorePermit>,
}

impl ConnectionSlots {
    pub(crate) fn new(permits: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            silent: Mutex::default(),
        }
    }

    /// A place for a newcomer, for which somebody silent may have to go; none where nobody is.
    pub(crate) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        let permits = || Arc::clone(&self.permits);
        if let Ok(permit) = permits().try_acquire_owned() {
            return Some(permit);
        }
        let (_, longest) = self.silent.lock().queue.pop_first()?;
        longest.cancel();
        permits().acquire_owned().await.ok()
    }
}

impl Slot {
    /// A connection that has not said anything yet, with its place in a crowd or with another.
    pub(crate) fn new(
        slots: Option<Arc<ConnectionSlots>>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let mut slot = Self {
            slots,
            queued: None,
            dismissed: CancellationToken::new(),
            _permit: permit,
        };
        slot.mark_silent();
        slot
    }

    /// Cancelled when the connection has to make room.
    pub(crate) fn dismissed(&self) -> CancellationToken {
        self.dismissed.clone()
    }

    /// No request is under way any more.
    pub(crate) fn mark_silent(&mut self) {
        let Some(slots) = &self.slots else {
            return;
        };
        let mut silent = slots.silent.lock();
        silent.last += 1;
        let last = silent.last;
        silent.queue.insert(last, self.dismissed.clone());
        self.queued = Some(last);
    }

    /// A request is under way.
    pub(crate) fn mark_busy(&mut self) {
        if let (Some(slots), Some(queued)) = (&self.slots, self.queued.take()) {
            slots.silent.lock().queue.remove(&queued);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.mark_busy();
    }
}
