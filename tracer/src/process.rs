//! What `/proc` knows of processes and mounts.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

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

/// Whether there is a process with this id.
#[must_use]
pub fn exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}
