//! The end of a run that a signal asks for. From then on the time is limited, whatever is blocked: an output
//! whose reader reads nothing, a file system that does not answer, the upload server.

#[cfg(live)]
mod begin;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

/// How long after the signal outputs are still written.
pub const FOR_OUTPUTS: Duration = Duration::from_secs(5);
/// How long after the signal the process exists at most.
#[cfg(live)]
pub const FOR_ALL: Duration = Duration::from_secs(10);

/// A signal wakes none of those who wait for an output: they look this often whether one came.
const TURN: Duration = Duration::from_millis(20);

/// The time that is left. Clones share it. By default, nothing has asked for the end yet.
#[derive(Clone, Debug, Default)]
pub struct Ending(Arc<Mutex<Option<Instant>>>);

impl Ending {
    /// Whether outputs have no time left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let set = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        set.is_some_and(|until| until <= Instant::now())
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// When the sender is gone, or there is no time left.
    pub fn receive<T>(&self, from: &Receiver<T>) -> Result<T, RecvTimeoutError> {
        loop {
            match from.recv_timeout(TURN) {
                Err(RecvTimeoutError::Timeout) if !self.is_over() => {}
                received => return received,
            }
        }
    }
}
