//! When the process is asked to stop, and when it is asked again.

use std::io;

use rustix::process::Signal;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// What the process is asked for.
pub(crate) struct StopSignals {
    /// Finish what is under way, and stop.
    pub(crate) stop: CancellationToken,
    /// Stop at once.
    pub(crate) stop_now: CancellationToken,
}

/// Listens for SIGINT, SIGTERM and SIGHUP from now on. Needs a runtime.
pub(crate) fn listen() -> io::Result<StopSignals> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    // Unhandled it would kill the process; handled, the write fails with EFBIG.
    let file_too_large = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    let (stop, stop_now) = (CancellationToken::new(), CancellationToken::new());
    let (to_stop, to_stop_now) = (stop.clone(), stop_now.clone());
    tokio::spawn(async move {
        let _file_too_large = file_too_large;
        let mut asked = async || {
            tokio::select! {
                _ = interrupt.recv() => (),
                _ = terminate.recv() => (),
                _ = hangup.recv() => (),
            }
        };
        asked().await;
        info!("stopping, as soon as what is under way is done");
        if let Err(error) = sd_notify::notify(&[NotifyState::Stopping]) {
            debug!(%error, "systemd cannot be told");
        }
        to_stop.cancel();
        asked().await;
        warn!("stopping at once");
        to_stop_now.cancel();
        // Whoever asks a third time is not killed for it: the end is near.
        loop {
            asked().await;
        }
    });
    Ok(StopSignals { stop, stop_now })
}
