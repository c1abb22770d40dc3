//! Which processes are wanted as descendants of a wanted one: `sched_process_fork`
//! (`(struct task_struct *parent, struct task_struct *child)`) and `sched_process_free`
//! (`(struct task_struct *p)`, which runs when nothing of the task is left and its id may be used
//! again).

use core::ffi::c_void;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    filter,
    kernel::{Pointer, TASK_PID, TASK_TGID},
};

/// A child of a wanted process is wanted, where the process's descendants are.
#[btf_tracepoint]
pub(crate) fn tracer_fork(ctx: BtfTracePointContext) -> i32 {
    let parent: u32 = task(&ctx, 0).load(&TASK_TGID);
    let child: u32 = task(&ctx, 1).load(&TASK_TGID);
    // A new thread belongs to the same process.
    if parent != child {
        filter::note_child(parent, child);
    }
    0
}

/// The process is gone with its first thread, which the kernel keeps until the last has ended.
#[btf_tracepoint]
pub(crate) fn tracer_exit(ctx: BtfTracePointContext) -> i32 {
    let pid: u32 = task(&ctx, 0).load(&TASK_PID);
    if pid == task(&ctx, 0).load::<u32>(&TASK_TGID) {
        filter::forget_process(pid);
    }
    0
}

#[inline(always)]
fn task(ctx: &BtfTracePointContext, n: usize) -> Pointer {
    let raw: *const c_void = ctx.arg(n);
    // SAFETY: a tracepoint's argument of type `struct task_struct *`.
    unsafe { Pointer::new(raw) }
}
