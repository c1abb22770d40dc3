//! When the process is asked to stop.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

/// Completes at the first SIGINT, SIGTERM or SIGHUP from now on.
pub(crate) fn shutdown() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    // Unhandled it would kill the process; handled, the write fails with EFBIG.
    let file_too_large = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    Ok(async move {
        let _file_too_large = file_too_large;
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
            _ = hangup.recv() => (),
        }
        info!("stopping");
    })
}
