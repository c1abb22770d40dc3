//! Process ids in the PID namespace of the tracer. The kernel's helpers give those of the initial one,
//! which a tracer in a container cannot see.

use core::ffi::c_void;

use aya_ebpf::{Global, helpers::generated::bpf_seq_write};
use tracer_ebpf::filter::ProcessIds;

use crate::{
    kernel::{
        PID_LEVEL, PID_NAMESPACE_INUM, PID_NUMBERS, Pointer, TASK_PID, TASK_TGID, TASK_THREAD_PID,
        UPID_NR, UPID_NS, offset, read,
    },
    memory::opaque,
};

/// The inode number of the PID namespace whose ids the tracer shows; 0 for the initial one.
#[unsafe(no_mangle)]
static PID_NAMESPACE: Global<u32> = Global::new(0);

/// How deep PID namespaces may be nested (`MAX_PID_NS_LEVEL`).
const MAX_LEVEL: u64 = 32;

#[inline(always)]
pub(crate) fn is_initial() -> bool {
    PID_NAMESPACE.load() == 0
}

/// The id of a process's leader in the tracer's PID namespace; 0 if it has none there.
#[inline(always)]
pub(crate) fn shown_pid(leader: Pointer) -> u32 {
    shown(leader.follow(&TASK_THREAD_PID))
}

/// The number of a `struct pid` in the tracer's PID namespace; 0 if it has none there.
//
// It has one for each namespace from the initial one down to the process's own.
#[inline(always)]
pub(crate) fn shown(pid: Pointer) -> u32 {
    if pid.is_null() {
        return 0;
    }
    let deepest: u32 = pid.load(&PID_LEVEL);
    let (numbers, nr, ns) = (offset(&PID_NUMBERS), offset(&UPID_NR), offset(&UPID_NS));
    let inum = offset(&PID_NAMESPACE_INUM);
    // A `struct upid` ends with the pointer to the namespace.
    let size = ns + size_of::<u64>() as u64;
    let mut level = 0;
    loop {
        // Otherwise LLVM counts down to 0, and before Linux 6.2 the verifier learns nothing from a
        // comparison with that.
        level = opaque(level);
        if level > MAX_LEVEL || level > u64::from(deepest) {
            return 0;
        }
        let upid = pid.as_ptr() as u64 + numbers + level * size;
        let namespace: u64 = read(upid + ns);
        if read::<u32>(namespace + inum) == PID_NAMESPACE.load() {
            return read(upid + nr);
        }
        level += 1;
    }
}

/// `struct bpf_iter__task`.
#[repr(C)]
struct Iteration {
    /// `struct bpf_iter_meta`, whose first member is the `struct seq_file`.
    meta: *const *mut c_void,
    /// NULL at the end.
    task: *const c_void,
}

/// Writes both ids of each process that the reader can see: the iterator `task` (Linux 5.8) goes
/// through the PID namespace of its reader.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
extern "C" fn tracer_tasks(iteration: *const Iteration) -> i32 {
    // SAFETY: the program's context; both pointers are typed by the verifier.
    unsafe {
        let task = (*iteration).task;
        if task.is_null() {
            return 0;
        }
        let task = Pointer::new(task);
        let initial: u32 = task.load(&TASK_TGID);
        if task.load::<u32>(&TASK_PID) != initial {
            return 0;
        }
        let ids = ProcessIds {
            shown: shown_pid(task),
            initial,
        };
        let to = *(*iteration).meta;
        bpf_seq_write(
            to.cast(),
            (&raw const ids).cast(),
            size_of::<ProcessIds>() as u32,
        );
    }
    0
}
