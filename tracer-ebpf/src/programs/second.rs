//! Events that interrupt a program on its own CPU. A process closes a socket, a timer interrupts it while the
//! program runs, and the segments that wait close others: the kernel skips a tracing program that interrupts
//! itself (`__bpf_trace_run`, `recursion_misses`). So a second program is attached at the same place. It does
//! nothing unless the first one is at work on this CPU.
//!
//! No third is needed: what interrupts is a softirq, and softirqs do not interrupt each other. With PREEMPT_RT
//! they may; then a loss is possible, and counted.

use aya_ebpf::{macros::map, maps::PerCpuArray};

use crate::ring;

/// The first programs.
pub(crate) const STATE: u32 = 0;
pub(crate) const RETRANSMIT: u32 = 1;

/// Non-zero while a first program is at work.
#[map]
static AT_WORK: PerCpuArray<u32> = PerCpuArray::with_max_entries(2, 0);

/// Runs a first program.
#[inline(always)]
pub(crate) fn first(which: u32, observe: impl FnOnce()) {
    mark(which, 1);
    observe();
    mark(which, 0);
}

/// Runs a second program, if the kernel has skipped the first.
#[inline(always)]
pub(crate) fn second(which: u32, observe: impl FnOnce()) {
    let is_skipped = AT_WORK.get_ptr(which).is_some_and(|at_work| {
        // SAFETY: an element of the map of this CPU.
        unsafe { at_work.read_volatile() != 0 }
    });
    if is_skipped {
        // First: the tracer reads it after the kernel's count of what was skipped.
        ring::count_made_up();
        observe();
    }
}

#[inline(always)]
fn mark(which: u32, value: u32) {
    if let Some(at_work) = AT_WORK.get_ptr_mut(which) {
        // SAFETY: an element of the map of this CPU.
        unsafe { at_work.write_volatile(value) };
    }
}
