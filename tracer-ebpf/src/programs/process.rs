//! Follows the descendants of a traced process: `sched_process_fork` (Linux 2.6.28;
//! `(struct task_struct *parent, struct task_struct *child)`) and `sched_process_free` (Linux 2.6.28;
//! `(struct task_struct *p)`, called when the task is gone and its id may be used again).

use core::ffi::c_void;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    filter,
    kernel::{Pointer, TASK_PID, TASK_TGID},
};

/// The child is traced where its parent is traced with its descendants.
#[btf_tracepoint]
pub(crate) fn tracer_fork(ctx: BtfTracePointContext) -> i32 {
    let parent: u32 = task(&ctx, 0).load(&TASK_TGID);
    let child: u32 = task(&ctx, 1).load(&TASK_TGID);
    // A new thread belongs to the same process.
    if parent != child {
        filter::add_child(parent, child);
    }
    0
}

/// A process ends with its leader: the kernel keeps that task until the last thread has ended.
#[btf_tracepoint]
pub(crate) fn tracer_exit(ctx: BtfTracePointContext) -> i32 {
    let pid: u32 = task(&ctx, 0).load(&TASK_PID);
    if pid == task(&ctx, 0).load::<u32>(&TASK_TGID) {
        filter::remove_process(pid);
    }
    0
}

#[inline(always)]
fn task(ctx: &BtfTracePointContext, n: usize) -> Pointer {
    let raw: *const c_void = ctx.arg(n);
    // SAFETY: a tracepoint's argument of type `struct task_struct *`.
    unsafe { Pointer::new(raw) }
}
