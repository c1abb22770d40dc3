//! A program in the background that says when it is ready, in systemd's way (`sd_notify(3)`).

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
    /// Somebody wants this to end.
    Stop,
}

pub(crate) struct Service {
    name: &'static str,
    pid: Option<Pid>,
    wait: JoinHandle<io::Result<ExitStatus>>,
}

impl Service {
    /// Starts `command`, whose `NOTIFY_SOCKET` is to be `socket`, and sends its news to `events`.
    pub(crate) fn start(
        name: &'static str,
        mut command: Command,
        socket: &Path,
        events: &Sender<Event>,
    ) -> Result<Self> {
        let notify = UnixDatagram::bind(socket).context("no socket to hear that it is ready")?;
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

    /// Asks it to end, if it has not already, and waits until it has.
    pub(crate) fn stop(self) -> Result<ExitStatus> {
        if let Some(pid) = self.pid.filter(|_| !self.wait.is_finished()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let Ok(status) = self.wait.join() else {
            bail!("nobody knows how {} ended", self.name);
        };
        status.with_context(|| format!("waiting for {}", self.name))
    }
}
