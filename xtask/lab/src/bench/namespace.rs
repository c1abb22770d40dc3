//! A network namespace without a name: the kernel removes it with its last file descriptor, however this
//! process ends.

use std::{fs::File, os::fd::AsRawFd as _, process::Command, thread};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace, by its file.
pub(crate) struct Namespace(File);

impl Namespace {
    pub(crate) fn new() -> Result<Self> {
        in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).context("no network namespace can be made")?;
            Ok(Self(File::open("/proc/thread-self/ns/net")?))
        })
    }

    /// The number of its file, for `/proc/PID/fd`.
    pub(super) fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Does `work` in this namespace. What it opens or starts there stays there.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        in_thread(|| {
            setns(&self.0, CloneFlags::CLONE_NEWNET)?;
            work()
        })
    }
}

/// A namespace is a thread's: this one has a thread of its own, so that no other is moved.
fn in_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(work);
        thread
            .join()
            .unwrap_or_else(|_| Err(anyhow!("a thread in a network namespace ended badly")))
    })
}

/// Makes frames leave `device` as they are: it neither splits nor joins segments.
pub(super) fn without_offloads(device: &str) -> Result<()> {
    let offloads = ["tso", "off", "gso", "off", "gro", "off"];
    configure(Command::new("ethtool").args(["-K", device]).args(offloads))
}

/// Runs a program that sets up a namespace.
pub(crate) fn configure(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("{program} cannot be started"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{program} refuses to set up a network namespace: {}",
            stderr.trim()
        );
    }
    Ok(())
}
