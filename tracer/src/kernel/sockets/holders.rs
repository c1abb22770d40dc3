//! Which processes hold which sockets, from the descriptors in `/proc`.

use std::collections::{BTreeSet, HashMap, HashSet};

use anyhow::{Context as _, Result};
use procfs::{
    ProcError, ProcResult,
    process::{FDTarget, Process, all_processes},
};

use crate::core::input::Holder;

/// The holders of each of these sockets, by the socket's inode number, the oldest first. What
/// vanishes meanwhile is not there. Also, of how many processes the descriptors may not be read.
pub(super) fn of(inodes: &HashSet<u32>) -> Result<(HashMap<u32, Vec<Holder>>, usize)> {
    let mut unreadable = 0;
    let mut held: HashMap<u32, Vec<(u64, Holder)>> = HashMap::new();
    for process in all_processes().context("reading /proc")? {
        let Ok(process) = process else { continue };
        let sockets = match sockets_of(&process, inodes) {
            Ok(sockets) => sockets,
            Err(ProcError::PermissionDenied(_)) => {
                unreadable += 1;
                continue;
            }
            Err(_) => continue,
        };
        if sockets.is_empty() {
            continue;
        }
        if let Some((started, holder)) = describe(&process) {
            for inode in sockets {
                held.entry(inode)
                    .or_default()
                    .push((started, holder.clone()));
            }
        }
    }
    let oldest_first = held
        .into_iter()
        .map(|(inode, mut holders)| {
            holders.sort_by_key(|(started, holder)| (*started, holder.pid));
            (inode, holders.into_iter().map(|(_, one)| one).collect())
        })
        .collect();
    Ok((oldest_first, unreadable))
}

/// Each once, however many descriptors it has.
fn sockets_of(process: &Process, inodes: &HashSet<u32>) -> ProcResult<BTreeSet<u32>> {
    Ok(process
        .fd()?
        .filter_map(|descriptor| match descriptor.ok()?.target {
            FDTarget::Socket(inode) => u32::try_from(inode).ok(),
            _ => None,
        })
        .filter(|inode| inodes.contains(inode))
        .collect())
}

/// The process and when it started, in clock ticks after the machine did.
fn describe(process: &Process) -> Option<(u64, Holder)> {
    let stat = process.stat().ok()?;
    let status = process.status().ok()?;
    let cgroups = process.cgroups().ok();
    let cgroup = cgroups
        .into_iter()
        .flatten()
        .find(|cgroup| cgroup.hierarchy == 0)
        .map(|cgroup| cgroup.pathname);
    let holder = Holder {
        pid: u32::try_from(process.pid()).ok()?,
        uid: status.ruid,
        comm: stat.comm,
        cgroup,
    };
    Some((stat.starttime, holder))
}
