//! Signals that another process sent to the tracer, to be forwarded to the command.

use std::{io, thread};

use rustix::{process::Signal, thread::CapabilitySet};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::{Handle, SignalsInfo, exfiltrator::WithRawSiginfo},
};
use tokio::sync::mpsc;

use crate::privileges;

/// Catches the signals until it is dropped.
#[derive(Debug)]
pub(super) struct Signals {
    sent: mpsc::UnboundedReceiver<Signal>,
    listener: Handle,
}

impl Signals {
    /// From now on these signals do not end the tracer.
    pub(super) fn listen() -> io::Result<Self> {
        let mut signals = SignalsInfo::<WithRawSiginfo>::new([SIGHUP, SIGINT, SIGTERM])?;
        let listener = signals.handle();
        let (to, sent) = mpsc::unbounded_channel();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                privileges::keep(CapabilitySet::empty());
                for signal in &mut signals {
                    // The terminal sends to every process in the foreground, the command among
                    // them. sigaction(2): what a process sends has a si_code of 0 or less.
                    let by_a_process = signal.si_code <= 0;
                    if let Some(signal) = Signal::from_named_raw(signal.si_signo)
                        && by_a_process
                        && to.send(signal).is_err()
                    {
                        break;
                    }
                }
            })?;
        Ok(Self { sent, listener })
    }

    /// The next signal; pending forever once the handler is closed.
    pub(super) async fn next(&mut self) -> Signal {
        match self.sent.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.listener.close();
    }
}
