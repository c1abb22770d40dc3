//! Which processes are traced: by id, by name, by cgroup.

use aya_ebpf::{
    Global, helpers::generated::bpf_get_current_ancestor_cgroup_id, macros::map, maps::HashMap,
};
use tracer_ebpf::filter::{BY_CGROUP, BY_COMM, BY_PID, FAMILY};

use super::FILTER_BY;
use crate::{
    ring,
    task::{current_comm, current_pid, parent_pid},
};

/// The depths in the hierarchy at which the traced cgroups are, a bit each.
#[unsafe(no_mangle)]
static CGROUP_LEVELS: Global<u32> = Global::new(0);

/// The filter has a bit per depth.
const DEPTHS: i32 = 32;

/// By the ids of thread groups.
#[map]
static PIDS: HashMap<u32, u8> = HashMap::with_max_entries(1 << 15, 0);

#[map]
static COMMS: HashMap<[u64; 2], u8> = HashMap::with_max_entries(256, 0);

#[map]
static CGROUPS: HashMap<u64, u8> = HashMap::with_max_entries(256, 0);

/// A process starts a child.
#[inline(always)]
pub(crate) fn add_child(parent: u32, child: u32) {
    let is_family = PIDS.get_ptr(parent).is_some_and(|wanted| {
        // SAFETY: an element of the map.
        unsafe { *wanted == FAMILY }
    });
    if is_family && PIDS.insert(child, FAMILY, 0).is_err() {
        ring::count_lost_socket();
    }
}

/// A process has ended.
#[inline(always)]
pub(super) fn remove(pid: u32) {
    let _ = PIDS.remove(pid);
}

/// Whether the current process meets every condition on processes.
#[inline(always)]
pub(super) fn is_process_wanted() -> bool {
    let by = FILTER_BY.load();
    if by & BY_PID != 0 && PIDS.get_ptr(current_pid()).is_none() {
        return false;
    }
    if by & BY_COMM != 0 && COMMS.get_ptr(current_comm()).is_none() {
        return false;
    }
    by & BY_CGROUP == 0 || is_cgroup_wanted()
}

/// Whether the filter names the parent of the current process by its id.
#[inline(always)]
pub(super) fn is_child_of_wanted() -> bool {
    FILTER_BY.load() & BY_PID != 0 && PIDS.get_ptr(parent_pid()).is_some()
}

/// Whether the cgroup of the current process, or one of its ancestors, is traced.
#[inline(always)]
fn is_cgroup_wanted() -> bool {
    let levels = CGROUP_LEVELS.load();
    let mut level = 0;
    while level < DEPTHS {
        if levels >> level & 1 != 0 {
            // SAFETY: a helper since Linux 5.7; 0 where the cgroup is not that deep.
            let id = unsafe { bpf_get_current_ancestor_cgroup_id(level) };
            if CGROUPS.get_ptr(id).is_some() {
                return true;
            }
        }
        level += 1;
    }
    false
}
