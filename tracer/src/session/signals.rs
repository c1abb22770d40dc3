//! The signals that ask for the end: SIGINT, SIGTERM and SIGHUP. They arrive on a thread of their own, so
//! they count whatever the others wait for.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::Signal;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::{Handle, SignalsInfo, exfiltrator::WithRawSiginfo},
    low_level::emulate_default_handler,
};
use tokio::sync::mpsc;

use crate::{ending::Ending, privileges, terminal};

/// How long the command may take to end after SIGTERM was passed on to it.
pub const FOR_COMMAND: Duration = Duration::from_secs(10);

/// Catches the signals until it is dropped.
#[derive(Debug)]
pub struct Signals {
    sent: mpsc::UnboundedReceiver<Signal>,
    listener: Handle,
    is_for_command: Arc<AtomicBool>,
}

impl Signals {
    /// From now on the first of these signals begins the end, and the second one ends the tracer at once.
    ///
    /// `is_for_command`: signals that a process sent are for the command. The first SIGTERM gives it
    /// [`FOR_COMMAND`], the second one begins the end, and the third one ends the tracer at once.
    pub fn listen(ending: Ending, is_for_command: bool) -> io::Result<Self> {
        let mut signals = SignalsInfo::<WithRawSiginfo>::new([SIGHUP, SIGINT, SIGTERM])?;
        let listener = signals.handle();
        let (to, sent) = mpsc::unbounded_channel();
        let is_for_command = Arc::new(AtomicBool::new(is_for_command));
        let passes_on = Arc::clone(&is_for_command);
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                privileges::drop_all();
                let mut asked = 0;
                for signal in &mut signals {
                    let number = signal.si_signo;
                    let passes_on = passes_on.load(Ordering::Relaxed);
                    // The terminal sends to every process in the foreground, the command among
                    // them. sigaction(2): what a process sends has a si_code of 0 or less.
                    if passes_on && signal.si_code > 0 {
                        continue;
                    }
                    // The receiver may be gone: the time runs all the same.
                    let _ = Signal::from_named_raw(number).map(|signal| to.send(signal));
                    // A command may go on after the others.
                    if passes_on && number != SIGTERM {
                        continue;
                    }
                    asked += 1;
                    match (asked, passes_on) {
                        (1, true) => ending.begin(FOR_COMMAND),
                        (1, false) | (2, true) => ending.begin(Duration::ZERO),
                        _ => {
                            terminal::give_back();
                            let _ = emulate_default_handler(number);
                        }
                    }
                }
            })?;
        Ok(Self {
            sent,
            listener,
            is_for_command,
        })
    }

    /// The command has ended: the signals are the tracer's.
    pub fn command_ended(&self) {
        self.is_for_command.store(false, Ordering::Relaxed);
    }

    /// The next signal; pending forever once the handler is closed.
    pub async fn next(&mut self) -> Signal {
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
