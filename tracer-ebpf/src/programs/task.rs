//! The task that runs now, for hooks in the context of the process that acts.

use core::ptr::addr_of_mut;

use aya_ebpf::helpers::generated::{
    bpf_get_current_pid_tgid, bpf_get_current_task_btf, bpf_get_current_uid_gid,
};
use tracer_ebpf::record::Task;

use crate::kernel::{Pointer, TASK_COMM, TASK_GROUP_LEADER};

/// The process (thread group) that runs now.
#[inline(always)]
pub(crate) fn current_pid() -> u32 {
    // SAFETY: a helper without arguments.
    (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32
}

/// The task that runs now, with the name of its process rather than of its thread.
///
/// # Safety
/// `into` must be valid for writes.
#[inline(always)]
pub(crate) unsafe fn write_current(into: *mut Task) {
    // SAFETY: as the caller promises; helpers without arguments, the last from Linux 5.11.
    unsafe {
        let pid_tgid = bpf_get_current_pid_tgid();
        addr_of_mut!((*into).pid).write((pid_tgid >> 32) as u32);
        addr_of_mut!((*into).tid).write(pid_tgid as u32);
        addr_of_mut!((*into).uid).write(bpf_get_current_uid_gid() as u32);
        addr_of_mut!((*into).padding).write(0);
        let leader =
            Pointer::new(bpf_get_current_task_btf().cast_const().cast()).follow(&TASK_GROUP_LEADER);
        let comm = addr_of_mut!((*into).comm).cast::<u64>();
        comm.write_unaligned(leader.load_after(&TASK_COMM, 0));
        comm.add(1)
            .write_unaligned(leader.load_after(&TASK_COMM, 8));
    }
}

/// No task.
///
/// # Safety
/// `into` must be valid for writes.
#[inline(always)]
pub(crate) unsafe fn write_none(into: *mut Task) {
    let words = into.cast::<u64>();
    let mut word = 0;
    while word < size_of::<Task>() / 8 {
        // SAFETY: as the caller promises; records are aligned to 8 bytes. Volatile, because the
        // optimiser would call a memset that loops over bytes.
        unsafe { words.add(word).write_volatile(0) };
        word += 1;
    }
}
