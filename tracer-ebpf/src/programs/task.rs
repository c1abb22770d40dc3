//! The current task, for hooks in the context of the process that acts.

use core::ptr::addr_of_mut;

use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_task_btf,
    bpf_get_current_uid_gid,
};
use tracer_ebpf::record::Task;

use crate::{
    kernel::{
        Pointer, TASK_COMM, TASK_FLAGS, TASK_GROUP_LEADER, TASK_REAL_PARENT, TASK_RUNTIME,
        TASK_TGID,
    },
    memory, pid_namespace,
};

/// `PF_KTHREAD` in `include/linux/sched.h`. A thread of io_uring belongs to its process and has it not.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// Of the thread group.
#[inline(always)]
pub(crate) fn current_pid() -> u32 {
    // SAFETY: a helper without arguments.
    (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32
}

/// The thread itself.
#[inline(always)]
pub(crate) fn current_thread() -> u32 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_get_current_pid_tgid() as u32 }
}

/// How long the thread has run on a CPU, in nanoseconds.
#[inline(always)]
pub(crate) fn current_runtime() -> u64 {
    current_task().load(&TASK_RUNTIME)
}

/// The thread group of the process that started it.
#[inline(always)]
pub(crate) fn parent_pid() -> u32 {
    current_task().follow(&TASK_REAL_PARENT).load(&TASK_TGID)
}

/// The process, or the one that started it where both have the same name: a server that starts a process for each
/// connection, or some that accept in turn.
#[inline(always)]
pub(crate) fn current_family() -> u32 {
    let parent = current_task().follow(&TASK_REAL_PARENT);
    let leader = parent.follow(&TASK_GROUP_LEADER);
    let [first, rest] = current_comm();
    if leader.load_after::<u64>(&TASK_COMM, 0) == first
        && leader.load_after::<u64>(&TASK_COMM, 8) == rest
    {
        parent.load(&TASK_TGID)
    } else {
        current_pid()
    }
}

/// Whether it is a thread of the kernel, which acts for others: no socket is its own.
#[inline(always)]
pub(crate) fn is_kernel_thread() -> bool {
    current_task().load::<u32>(&TASK_FLAGS) & KERNEL_THREAD != 0
}

/// The name of the thread group's leader.
#[inline(always)]
pub(crate) fn current_comm() -> [u64; 2] {
    [tracer_comm(0), tracer_comm(1)]
}

/// The first or the second eight bytes of that name.
//
// This is a global function (Linux 5.6): the verifier follows it once by itself, and neither again for each way that leads
// to a call, nor what comes after a call for each way through it. The task is a trusted pointer, which `Socket` explains.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tracer_comm(half: u64) -> u64 {
    let leader = current_task().follow(&TASK_GROUP_LEADER);
    if half == 0 {
        leader.load_after(&TASK_COMM, 0)
    } else {
        leader.load_after(&TASK_COMM, 8)
    }
}

#[inline(always)]
fn current_task() -> Pointer {
    // SAFETY: a helper without arguments, from Linux 5.11.
    unsafe { Pointer::new(bpf_get_current_task_btf().cast_const().cast()) }
}

/// The id of the current process as the tracer shows it; 0 if it has none in the tracer's PID
/// namespace.
#[inline(always)]
fn shown_pid() -> u32 {
    if pid_namespace::is_initial() {
        current_pid()
    } else {
        pid_namespace::shown_pid(current_task().follow(&TASK_GROUP_LEADER))
    }
}

/// Writes the name of the process, not of its thread. A kernel thread's is none.
///
/// # Safety
/// `into` must be valid for writes and aligned to 8 bytes.
#[inline(always)]
pub(crate) unsafe fn write_current(into: *mut Task) {
    if is_kernel_thread() {
        // SAFETY: as the caller promises.
        unsafe { memory::zero(into) };
        return;
    }
    // SAFETY: as the caller promises; helpers without arguments.
    unsafe {
        addr_of_mut!((*into).pid).write(shown_pid());
        addr_of_mut!((*into).uid).write(bpf_get_current_uid_gid() as u32);
        addr_of_mut!((*into).comm)
            .cast::<[u64; 2]>()
            .write_unaligned(current_comm());
        addr_of_mut!((*into).cgroup).write(bpf_get_current_cgroup_id());
    }
}
