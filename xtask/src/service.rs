//! A background program that reports readiness as a systemd service does (`sd_notify(3)`).

use std::{
    io::{self, ErrorKind},
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Command, ExitStatus},
    sync::mpsc::Sender,
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// What happens while services run.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The service of this name is ready.
    Ready(&'static str),
    /// The service of this name has ended.
    Ended(&'static str),
    /// A signal asked this program to end.
    Stop,
}

pub(crate) struct Service {
    name: &'static str,
    pid: Option<Pid>,
    wait: JoinHandle<io::Result<ExitStatus>>,
}

impl Service {
    /// Starts `command`, whose `NOTIFY_SOCKET` must be `socket`, and reports on it to `events`.
    pub(crate) fn start(
        name: &'static str,
        mut command: Command,
        socket: &Path,
        events: &Sender<Event>,
    ) -> Result<Self> {
        let notify =
            UnixDatagram::bind(socket).context("the socket for its readiness cannot be made")?;
        let mut child = command
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let ready = events.clone();
        thread::spawn(move || {
            let mut message = [0; 4096];
            loop {
                let length = match notify.recv(&mut message) {
                    Ok(length) => length,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(_) => break,
                };
                if message[..length]
                    .split(|byte| *byte == b'\n')
                    .any(|line| line == b"READY=1")
                {
                    let _ = ready.send(Event::Ready(name));
                }
            }
        });
        let ended = events.clone();
        let wait = thread::spawn(move || {
            let status = child.wait();
            let _ = ended.send(Event::Ended(name));
            status
        });
        Ok(Self { name, pid, wait })
    }

    /// Asks the program to end, and waits for it.
    pub(crate) fn stop(self) -> Result<ExitStatus> {
        if let Some(pid) = self.pid.filter(|_| !self.wait.is_finished()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let Ok(status) = self.wait.join() else {
            bail!("the exit status of {} is unknown", self.name);
        };
        status.with_context(|| format!("waiting for {}", self.name))
    }
}
