//! What `/proc` knows of processes and mounts.

use std::{collections::HashSet, os::unix::fs::MetadataExt as _, path::PathBuf};

use anyhow::{Context as _, Result};
use procfs::{
    net::TcpState,
    process::{FDTarget, Process},
};
use tracer_ebpf::filter::Listener;

/// Where the root of the cgroup v2 hierarchy is mounted, if it is.
///
/// # Errors
/// When `/proc/self/mounts` cannot be read.
pub fn cgroup2_root() -> Result<Option<PathBuf>> {
    let mounts = procfs::mounts().context("reading /proc/mounts")?;
    Ok(mounts
        .into_iter()
        .find(|mount| mount.fs_vfstype == "cgroup2")
        .map(|mount| PathBuf::from(mount.fs_file)))
}

/// Where a process listens now, once per socket.
///
/// # Errors
/// When there is no such process, or its descriptors may not be read.
pub fn listeners(pid: u32) -> Result<Vec<Listener>> {
    let process = Process::new(i32::try_from(pid).context("no such process id")?)
        .with_context(|| format!("there is no process {pid}"))?;
    let sockets: HashSet<u64> = process
        .fd()
        .with_context(|| {
            format!("the descriptors of process {pid} may not be read: run the tracer as root")
        })?
        .filter_map(|descriptor| match descriptor.ok()?.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect();
    let v4 = process.tcp().unwrap_or_default();
    let v6 = process.tcp6().unwrap_or_default();
    let netns = std::fs::metadata(format!("/proc/{pid}/ns/net"))
        .with_context(|| format!("there is no process {pid}"))?
        .ino();
    let netns = u32::try_from(netns).context("the inode number of a network namespace")?;
    Ok(v4
        .into_iter()
        .chain(v6)
        .filter(|entry| entry.state == TcpState::Listen && sockets.contains(&entry.inode))
        .map(|entry| Listener {
            netns,
            port: u32::from(entry.local_address.port()),
        })
        .collect())
}
