//! What the tracer reports to a service manager such as systemd (`sd_notify(3)`): that it traces, and that it still does.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::debug;

/// Reports that no connection can be missed from now on.
pub fn notify_ready() {
    notify(NotifyState::Ready);
}

/// What a service manager waits for that watches this process (`WatchdogSec=`, systemd.service(5)).
pub struct Watchdog {
    /// Half of its time. Absent where none watches.
    pause: Option<Duration>,
    last: Instant,
}

impl Watchdog {
    /// As the environment has it.
    pub fn of_service_manager() -> Self {
        Self {
            pause: sd_notify::watchdog_enabled().map(|longest| longest / 2),
            last: Instant::now(),
        }
    }

    /// Notifies the service manager where it is time to. Called each time that the kernel's records were taken.
    pub fn beat(&mut self) {
        if self.pause.is_some_and(|pause| self.last.elapsed() >= pause) {
            self.last = Instant::now();
            notify(NotifyState::Watchdog);
        }
    }
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        debug!(%error, "cannot notify the service manager");
    }
}
