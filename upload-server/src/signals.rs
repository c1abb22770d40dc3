//! The signals that stop the process: the first gracefully, the second at once.

use std::io;

use rustix::process::Signal;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub(crate) struct StopSignals {
    /// Cancelled by the first signal: finish the requests in flight, and stop.
    pub(crate) stop: CancellationToken,
    /// Cancelled by the second signal: stop at once.
    pub(crate) stop_now: CancellationToken,
}

/// Listens for SIGINT, SIGTERM and SIGHUP from now on. Needs a runtime.
pub(crate) fn listen() -> io::Result<StopSignals> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    // Unhandled, SIGXFSZ would kill the process; handled, the write fails with EFBIG.
    let file_too_large = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    let (stop, stop_now) = (CancellationToken::new(), CancellationToken::new());
    let (to_stop, to_stop_now) = (stop.clone(), stop_now.clone());
    tokio::spawn(async move {
        let _file_too_large = file_too_large;
        let mut signalled = async || {
            tokio::select! {
                _ = interrupt.recv() => (),
                _ = terminate.recv() => (),
                _ = hangup.recv() => (),
            }
        };
        signalled().await;
        info!("stopping once the requests in flight are done");
        if let Err(error) = sd_notify::notify(&[NotifyState::Stopping]) {
            debug!(%error, "cannot notify systemd");
        }
        to_stop.cancel();
        signalled().await;
        warn!("stopping at once");
        to_stop_now.cancel();
        // A third signal does not kill the process: it is about to end anyway.
        loop {
            signalled().await;
        }
    });
    Ok(StopSignals { stop, stop_now })
}
