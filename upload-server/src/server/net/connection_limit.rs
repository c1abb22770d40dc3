//! Slots for concurrent connections. A connection without a request in flight is silent: it is in a TLS
//! handshake, within a request's head or between two requests. When all slots are taken, the one silent
//! for longest is dismissed to make room: so silent connections cannot keep others out.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

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

/// A connection's slot. Dropping it frees the slot.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Absent for a connection beyond the limit, which is only refused.
    slots: Option<Arc<ConnectionSlots>>,
    queued: Option<u64>,
    dismissed: CancellationToken,
    /// Returned when the slot is dropped. So every connection in the queue has one.
    _permit: Option<OwnedSemaphorePermit>,
}

impl ConnectionSlots {
    pub(crate) fn new(permits: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            silent: Mutex::default(),
        }
    }

    /// A permit for a new connection, for which a silent one may be dismissed. None where all are
    /// busy.
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
    /// For a new connection, which is silent at first.
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

    /// Cancelled when the connection must make room.
    pub(crate) fn dismissed(&self) -> CancellationToken {
        self.dismissed.clone()
    }

    /// Call when no request is in flight any more.
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

    /// Call when a request is in flight.
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
