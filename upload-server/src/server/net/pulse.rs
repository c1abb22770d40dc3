//! Shows a service manager that the server still serves (`WatchdogSec=`, systemd.service(5)): each event loop runs a
//! task, and so does the one that accepts connections.

use std::{convert::Infallible, future::pending, time::Duration};

use sd_notify::NotifyState;
use tokio::time::sleep;
use tracing::debug;

use super::event_loops::EventLoops;

/// What a service manager waits for.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    /// How long the server pauses between two notifications.
    pause: Duration,
}

impl Pulse {
    /// Where a service manager watches this process: twice in its time.
    #[must_use]
    pub fn of_service_manager() -> Option<Self> {
        let longest = sd_notify::watchdog_enabled()?;
        Some(Self { pause: longest / 2 })
    }
}

/// Notifies the service manager as long as every loop turns.
pub(crate) async fn beat(pulse: Option<Pulse>, event_loops: &EventLoops) -> Infallible {
    let Some(Pulse { pause }) = pulse else {
        return pending().await;
    };
    loop {
        event_loops.turn().await;
        if let Err(error) = sd_notify::notify(&[NotifyState::Watchdog]) {
            debug!(%error, "cannot notify systemd");
        }
        sleep(pause).await;
    }
}
