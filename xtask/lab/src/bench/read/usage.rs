//! A program that runs to its end, and what it used.

use std::{
    os::fd::AsFd as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use wait4::Wait4 as _;

use crate::bench::stop::Stop;

/// tshark takes minutes for a gigabyte.
const PATIENCE: Duration = Duration::from_secs(1800);

pub(super) struct Usage {
    /// From its start to its end.
    pub(super) took: Duration,
    /// Processor time.
    pub(super) cpu: Duration,
    /// The most memory that it had at one time, in bytes.
    pub(super) peak: u64,
}

/// Runs a program, whose output nobody reads, to its end.
pub(super) fn run(name: &str, command: &mut Command, stop: &Stop) -> Result<Usage> {
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{name} cannot be started"))?;
    if let Err(error) = wait(name, &child, stop) {
        // It may have ended by itself.
        let _ = child.kill();
        child.wait()?;
        return Err(error);
    }
    let used = child.wait4()?;
    let took = begun.elapsed();
    if !used.status.success() {
        bail!("{name} failed: {}", used.status);
    }
    Ok(Usage {
        took,
        cpu: used.rusage.utime + used.rusage.stime,
        peak: used.rusage.maxrss,
    })
}

/// Waits until it has ended. It can still be asked what it used.
fn wait(name: &str, child: &Child, stop: &Stop) -> Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let ended = pidfd_open(pid.context("no process id")?, PidfdFlags::empty())?;
    match stop.wait(&[ended.as_fd()], PATIENCE)? {
        Some(_) => Ok(()),
        None => bail!("{name} had not ended after {PATIENCE:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_used() {
        let stop = Stop::listen().unwrap();
        let busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        let used = run("sh", Command::new("sh").args(["-c", busy]), &stop).unwrap();
        assert!(used.cpu > Duration::from_millis(1));
        assert!(used.peak > 100_000, "{}", used.peak);
        assert!(run("false", &mut Command::new("false"), &stop).is_err());
    }
}
