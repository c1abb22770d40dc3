//! The process that `--pid` names: there, and able to open a connection.

use std::{fs, io::ErrorKind, os::fd::OwnedFd, path::Path};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::{Interest, unix::AsyncFd};
use tracing::debug;

use crate::{kernel::pid_namespace, message};

/// `PF_KTHREAD` (`include/linux/sched.h`), among the flags in `/proc/PID/stat`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// The id of the process that `pid` names. A thread's id names its process.
pub(super) fn find(pid: u32) -> Result<u32> {
    let directory = Path::new("/proc").join(pid.to_string());
    let status = match fs::read_to_string(directory.join("status")) {
        Ok(status) => status,
        // ESRCH: it ended meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(3) => {
            bail!("there is no process {pid}")
        }
        Err(error) => return Err(error).with_context(|| format!("reading of process {pid}")),
    };
    let status = Status::parse(&status);
    if is_kernel_thread(&directory) {
        bail!(
            "process {pid} ({}) is a thread of the kernel, which owns no connection: choose by --port instead",
            status.name
        );
    }
    if status.is_zombie && status.threads <= 1 {
        bail!(
            "process {pid} ({}) has ended (a zombie): it opens no connection any more",
            status.name
        );
    }
    match status.process {
        Some(process) if process != pid => {
            message(&format!(
                "{pid} is a thread of process {process} ({}): tracing that process",
                status.name
            ));
            Ok(process)
        }
        _ => Ok(pid),
    }
}

/// Says when a process ends that the filter names: the run goes on without it.
pub(super) async fn announce_end(pid: u32) {
    if let Err(error) = ended(pid).await {
        debug!(pid, error = format!("{error:#}"), "its end stays unknown");
        return;
    }
    message(&format!("process {pid} has ended"));
}

async fn ended(pid: u32) -> Result<()> {
    // `/proc` may show another PID namespace than the one whose ids the kernel takes here.
    if pid_namespace::own_id()? != std::process::id() {
        bail!("its id is one of another PID namespace");
    }
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let process = pidfd_open(pid.context("no process id")?, PidfdFlags::NONBLOCK)?;
    let _ = watch(process)?.readable().await?;
    Ok(())
}

#[expect(
    unsafe_code,
    reason = "tokio's promise about the descriptor, which an OwnedFd keeps"
)]
fn watch(process: OwnedFd) -> Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` stays open, and the same, until it is dropped.
    let watched = unsafe { AsyncFd::register_with_interest(process, Interest::READABLE) };
    Ok(watched.map_err(std::io::Error::from)?)
}

/// Of `/proc/PID/status`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Status<'a> {
    name: &'a str,
    process: Option<u32>,
    is_zombie: bool,
    /// Those that have not ended, and the leader in any case.
    threads: u32,
}

impl<'a> Status<'a> {
    fn parse(text: &'a str) -> Self {
        let mut status = Self::default();
        for (field, value) in text.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match field {
                "Name" => status.name = value,
                "Tgid" => status.process = value.parse().ok(),
                "State" => status.is_zombie = value.starts_with(['Z', 'X']),
                "Threads" => status.threads = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
        status
    }
}

fn is_kernel_thread(directory: &Path) -> bool {
    fs::read_to_string(directory.join("stat")).is_ok_and(|stat| flags(&stat) & KERNEL_THREAD != 0)
}

/// The seventh field after the name, which may hold spaces and parentheses itself.
fn flags(stat: &str) -> u64 {
    let (_, rest) = stat.rsplit_once(')').unwrap_or_default();
    let flags = rest.split_whitespace().nth(6);
    flags.and_then(|flags| flags.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Status, flags};

    #[test]
    fn a_status() {
        let text = "Name:\tpython3 (x)\nState:\tZ (zombie)\nTgid:\t42\nPid:\t43\nThreads:\t2\n";
        let expected = Status {
            name: "python3 (x)",
            process: Some(42),
            is_zombie: true,
            threads: 2,
        };
        assert_eq!(Status::parse(text), expected);
        assert_eq!(Status::parse("nothing of the kind"), Status::default());
    }

    #[test]
    fn flags_after_any_name() {
        assert_eq!(flags("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0"), 2_129_984);
        assert_eq!(flags("9 (a) b) (c) R 1 9 9 0 -1 4194304 0"), 4_194_304);
        assert_eq!(flags(""), 0);
    }
}
