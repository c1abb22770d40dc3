//! How long the thread that sends on a socket ran on a CPU.

use core::ptr::addr_of_mut;

use tracer_ebpf::filter::Remembered;

use crate::task;

/// The current thread has sent on the socket, or is about to. What it ran since it did last counts; that of
/// another thread does not.
///
/// The kernel brings the time up to date at each tick and each switch of threads, so a sum is a tick late
/// at most.
///
/// # Safety
/// `remembered` must be a value of `SOCKETS`, and the hook must run in the context of the process that sends.
#[inline(always)]
pub(crate) unsafe fn sent(remembered: *mut Remembered) {
    // SAFETY: as the caller promises.
    unsafe {
        let limits = addr_of_mut!((*remembered).limits);
        let (thread, runtime_ns) = (task::current_thread(), task::current_runtime());
        if (*limits).thread == thread && runtime_ns > (*limits).runtime_ns {
            (*limits).processor_ns += runtime_ns - (*limits).runtime_ns;
        }
        (*limits).thread = thread;
        (*limits).runtime_ns = runtime_ns;
    }
}
