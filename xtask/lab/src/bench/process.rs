//! Processes that are measured: their CPU time and memory. None is left behind.

use std::{
    fs, io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixDatagram,
    },
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::time::{clock_getcpuclockid, clock_gettime};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::stop::{Stop, readable};

/// How long a program may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running process. Dropped, it is ended.
pub(crate) struct Process {
    name: String,
    child: Child,
    pid: Pid,
    /// Readable once it has ended.
    ended: OwnedFd,
}

impl Process {
    /// Starts `command` without input; its output goes where `command` sends it.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        Self::start_reading(name, command, Stdio::null())
    }

    /// Starts `command` with this input.
    pub(crate) fn start_reading(name: &str, command: &mut Command, input: Stdio) -> Result<Self> {
        let mut child = command
            .stdin(input)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let opened = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("no process id")
            .and_then(|pid| Ok((pid, pidfd_open(pid, PidfdFlags::empty())?)));
        match opened {
            Ok((pid, ended)) => Ok(Self {
                name: name.into(),
                child,
                pid,
                ended,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Starts `command` without input and waits until it says that it is ready (`sd_notify(3)`) on a
    /// socket that is made as `socket`.
    pub(crate) fn start_notifying(
        name: &str,
        command: &mut Command,
        socket: &Path,
        stop: &Stop,
    ) -> Result<Self> {
        Self::start_notifying_reading(name, command, Stdio::null(), socket, stop)
    }

    /// The same with this input.
    pub(crate) fn start_notifying_reading(
        name: &str,
        command: &mut Command,
        input: Stdio,
        socket: &Path,
        stop: &Stop,
    ) -> Result<Self> {
        let _ = fs::remove_file(socket);
        let notify =
            UnixDatagram::bind(socket).context("the socket for its readiness cannot be made")?;
        let process = Self::start_reading(name, command.env("NOTIFY_SOCKET", socket), input)?;
        let begun = Instant::now();
        let mut message = [0; 4096];
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            match stop.wait(&[notify.as_fd(), process.ended.as_fd()], left)? {
                Some(0) => {
                    let length = notify.recv(&mut message)?;
                    if message[..length]
                        .split(|byte| *byte == b'\n')
                        .any(|line| line == b"READY=1")
                    {
                        return Ok(process);
                    }
                }
                Some(_) => bail!("{name} could not start: see its messages above"),
                None => bail!("{name} was not ready after {PATIENCE:?}"),
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error if it has ended already.
    pub(crate) fn check(&self) -> Result<()> {
        if readable(&self.ended, Duration::ZERO)? {
            bail!("{} ended too early", self.name);
        }
        Ok(())
    }

    /// The CPU time that all its threads have taken so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let clock = clock_getcpuclockid(nix::unistd::Pid::from_raw(self.pid.as_raw_pid()))?;
        Ok(clock_gettime(clock)?.into())
    }

    /// A line of `/proc/PID/status` in bytes: `VmRSS`, `VmHWM`.
    pub(crate) fn memory(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        kibibytes(&status, field).with_context(|| format!("{} has no {field}", self.name))
    }

    /// What it prints, where its command asked for a pipe; once.
    pub(crate) fn stdout(&mut self) -> Result<ChildStdout> {
        let stdout = self.child.stdout.take();
        stdout.with_context(|| format!("{} has no pipe for its output", self.name))
    }

    /// Its messages, where its command asked for a pipe; once.
    pub(crate) fn stderr(&mut self) -> Result<ChildStderr> {
        let stderr = self.child.stderr.take();
        stderr.with_context(|| format!("{} has no pipe for its messages", self.name))
    }

    /// Asks it to end, as Ctrl-C does.
    pub(crate) fn interrupt(&self) -> Result<()> {
        kill_process(self.pid, Signal::INT)
            .with_context(|| format!("{} cannot be interrupted", self.name))
    }

    /// Waits until it has ended by itself. Its CPU time can still be read.
    pub(crate) fn wait(&self, limit: Duration, stop: &Stop) -> Result<()> {
        match stop.wait(&[self.ended.as_fd()], limit)? {
            Some(_) => Ok(()),
            None => bail!("{} had not ended after {limit:?}", self.name),
        }
    }

    /// Waits until it has ended by itself; returns its output if `command` asked for a pipe.
    pub(crate) fn finish(mut self, limit: Duration, stop: &Stop) -> Result<String> {
        self.wait(limit, stop)?;
        let status = self.child.wait()?;
        let stdout = match self.child.stdout.take() {
            Some(stdout) => io::read_to_string(stdout)?,
            None => String::new(),
        };
        if !status.success() {
            bail!("{} failed: {status}", self.name);
        }
        Ok(stdout)
    }

    fn end(&mut self) -> io::Result<ExitStatus> {
        if !readable(&self.ended, Duration::ZERO)? {
            kill_process(self.pid, Signal::TERM)?;
        }
        if !readable(&self.ended, PATIENCE)? {
            self.child.kill()?;
        }
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Also after its end, which `wait` remembers.
        if !matches!(self.child.try_wait(), Ok(Some(_))) && self.end().is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs `command` to its end and returns what it printed.
pub(crate) fn finish(
    name: &str,
    command: &mut Command,
    limit: Duration,
    stop: &Stop,
) -> Result<String> {
    Process::start(name, command.stdout(Stdio::piped()))?.finish(limit, stop)
}

fn kibibytes(status: &str, field: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "VmHWM:\t    2048 kB\nVmRSS:\t     4 kB\n";
        assert_eq!(kibibytes(status, "VmRSS"), Some(4096));
        assert_eq!(kibibytes(status, "VmSize"), None);
    }

    #[test]
    fn a_process_shows_its_output() {
        let stop = Stop::listen().unwrap();
        let printed = finish("echo", Command::new("echo").arg("so"), PATIENCE, &stop);
        assert_eq!(
            printed.unwrap(),
            "so
"
        );
    }

    #[test]
    fn the_clock_of_a_process_counts_what_it_computes() {
        let busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        let mut command = Command::new("sh");
        let process = Process::start("sh", command.args(["-c", busy])).unwrap();
        assert!(readable(&process.ended, PATIENCE).unwrap());
        // A process that nobody has waited for still has its clock.
        assert!(process.cpu().unwrap() > Duration::from_millis(1));
    }

    #[test]
    fn a_failure_is_reported() {
        let stop = Stop::listen().unwrap();
        assert!(finish("false", &mut Command::new("false"), PATIENCE, &stop).is_err());
    }
}
