//! The end begins: from now on a thread waits to exit.

use std::{
    process,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use tracing::debug;

use super::{Ending, FOR_ALL, FOR_OUTPUTS};
use crate::{message, privileges, terminal};

impl Ending {
    /// Begins the end after this time: outputs have [`FOR_OUTPUTS`] then, and after [`FOR_ALL`] the process
    /// exits. An end that comes earlier stays.
    pub fn begin(&self, after: Duration) {
        let until = Instant::now() + after + FOR_OUTPUTS;
        {
            let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if set.is_some_and(|set| set <= until) {
                return;
            }
            *set = Some(until);
        }
        let run = Arc::downgrade(&self.0);
        let started = thread::Builder::new()
            .name("ending".to_owned())
            .spawn(move || exit_after(after + FOR_ALL, &run));
        if let Err(error) = started {
            debug!(%error, "nothing ends the tracer if it is blocked");
        }
    }
}

/// Exits, unless the run is over by then.
fn exit_after(time: Duration, run: &Weak<Mutex<Option<Instant>>>) {
    privileges::drop_all();
    thread::sleep(time);
    if run.strong_count() > 0 {
        terminal::give_back();
        message("the tracer could not end in time: what is not written by now is lost");
        process::exit(1);
    }
}
