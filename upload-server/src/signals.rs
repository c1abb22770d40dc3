//! The signals that stop the process: the first gracefully, the second at once. A thread of its own waits for them,
//! and ends the process in the end: so they count even where a disk or another program blocks everything else. Another
//! signal asks for a reload.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use sd_notify::NotifyState;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ},
    iterator::Signals,
    low_level,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// How long the end may take once the requests in flight have had their time.
const LAST: Duration = Duration::from_secs(10);

/// How long the end may take where it is to come at once.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The exit status of a process that something has stuck in.
const FAILURE: i32 = 1;

pub(crate) struct Requested {
    /// Cancelled by the first signal: finish the requests in flight, and stop.
    pub(crate) stop: CancellationToken,
    /// Cancelled by the second signal: stop at once.
    pub(crate) stop_now: CancellationToken,
    /// Notified by SIGUSR1: read again what the command line names. SIGHUP stops, as it does where a terminal closes.
    pub(crate) reload: Arc<Notify>,
}

/// Listens for SIGINT, SIGTERM, SIGHUP and SIGUSR1 from now on. Requests in flight have `grace` to finish.
pub(crate) fn listen(grace: Duration) -> io::Result<Requested> {
    // Unhandled, SIGXFSZ would kill the process; handled, the write fails with EFBIG.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM, SIGUSR1])?;
    let reload = Arc::new(Notify::new());
    let requested = Arc::clone(&reload);
    let (signalled, signal) = mpsc::channel();
    start("signals", move || {
        for signal in signals.forever() {
            if signal == SIGUSR1 {
                requested.notify_one();
            } else {
                // A third signal does not kill the process: it is about to end anyway.
                let _ = signalled.send(());
            }
        }
    })?;
    let (stop, stop_now) = (CancellationToken::new(), CancellationToken::new());
    let tokens = Requested {
        stop: stop.clone(),
        stop_now: stop_now.clone(),
        reload,
    };
    start("stop", move || {
        if signal.recv().is_err() {
            return;
        }
        stop.cancel();
        info!("stopping once the requests in flight are done");
        if let Err(error) = sd_notify::notify(&[NotifyState::Stopping]) {
            debug!(%error, "cannot notify systemd");
        }
        if signal.recv_timeout(grace.saturating_add(LAST)).is_ok() {
            stop_now.cancel();
            warn!("stopping at once");
            thread::sleep(AT_ONCE);
        }
        warn!("something is stuck: the process ends without it");
        low_level::exit(FAILURE);
    })?;
    Ok(tokens)
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map(drop)
}
