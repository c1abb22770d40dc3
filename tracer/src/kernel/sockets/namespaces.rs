//! Every network namespace of this machine, visited one after another.

use std::{
    collections::HashSet,
    fs::{self, File},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result, anyhow};
use procfs::process::Process;
use rustix::{
    io::Errno,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use tracing::debug;

use super::{Which, diag};
use crate::core::input::OpenSocket;

/// The sockets of every network namespace that a process is in, or that is mounted somewhere (as
/// `ip netns` does).
///
/// On a thread of its own, which ends in the last of them.
pub(super) fn dump_each(which: Which) -> Result<Found> {
    thread::scope(|scope| scope.spawn(|| Visit::all(which)).join()).unwrap_or_else(|_| {
        Err(anyhow!(
            "the thread that visits network namespaces panicked"
        ))
    })
}

/// What was found in all of them.
#[derive(Default)]
pub(super) struct Found {
    pub(super) sockets: Vec<OpenSocket>,
    /// The namespaces that were looked at, by their inode numbers.
    pub(super) netns: Vec<u32>,
    /// How many may not be entered.
    pub(super) not_entered: usize,
}

struct Visit {
    which: Which,
    seen: HashSet<u64>,
    found: Found,
}

impl Visit {
    fn all(which: Which) -> Result<Found> {
        let mut visit = Self {
            which,
            seen: HashSet::new(),
            found: Found::default(),
        };
        // Without setns, which needs a capability.
        let own = own()?;
        visit.seen.insert(own.into());
        visit.found.sockets = diag::dump(own, which)?;
        visit.found.netns.push(own);
        for process in fs::read_dir("/proc").context("reading /proc")? {
            let path = process.context("reading /proc")?.path();
            if is_process(&path) {
                visit.namespace(&path.join("ns/net"));
            }
        }
        for path in mounted() {
            visit.namespace(&path);
        }
        Ok(visit.found)
    }

    /// What cannot be opened is gone, or belongs to a process that is counted as left out when
    /// its descriptors are read.
    fn namespace(&mut self, link: &Path) {
        let Ok(file) = File::open(link) else { return };
        let Ok(inode) = file.metadata().map(|metadata| metadata.ino()) else {
            return;
        };
        if !self.seen.insert(inode) {
            return;
        }
        let entered = move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network));
        if entered == Err(Errno::INVAL) {
            // It was unmounted meanwhile, and this is the file it was mounted on.
            return;
        }
        let sockets = entered.context("it may not be entered").and_then(|()| {
            let netns = number(inode)?;
            Ok((netns, diag::dump(netns, self.which)?))
        });
        match sockets {
            Ok((netns, sockets)) => {
                self.found.netns.push(netns);
                self.found.sockets.extend(sockets);
            }
            Err(error) => {
                debug!(
                    inode,
                    error = format!("{error:#}"),
                    "a network namespace is left out"
                );
                self.found.not_entered += 1;
            }
        }
    }
}

/// The calling thread's.
pub(super) fn own() -> Result<u32> {
    number(inode(Path::new("/proc/thread-self/ns/net")).context("reading /proc")?)
}

/// Where namespaces are mounted: each is a file of type nsfs, and its root names the kind.
fn mounted() -> Vec<PathBuf> {
    Process::myself()
        .and_then(|myself| myself.mountinfo())
        .map(|mounts| {
            mounts
                .into_iter()
                .filter(|mount| mount.fs_type == "nsfs" && mount.root.starts_with("net:"))
                .map(|mount| mount.mount_point)
                .collect()
        })
        .unwrap_or_default()
}

fn is_process(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit))
}

fn inode(path: &Path) -> std::io::Result<u64> {
    Ok(fs::metadata(path)?.ino())
}

/// The kernel counts namespaces in 32 bits.
fn number(inode: u64) -> Result<u32> {
    u32::try_from(inode).context("a network namespace with a number of more than 32 bits")
}
