//! The record of an event that is neither a change of state nor a segment.

use core::ptr::addr_of_mut;

use tracer_ebpf::record::SocketEvent;

use crate::{memory, ring, sock::Sock as _, socket::Socket, task};

/// Whether the hook runs in the context of the process that acts.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Context {
    Process,
    Softirq,
}

/// Submits an event of `socket`; `error` is its errno, or 0.
#[inline(always)]
pub(crate) fn submit(kind: u16, socket: Socket, context: Context, error: u32) {
    let Some(mut entry) = ring::reserve::<SocketEvent>(kind, socket.sock().cookie()) else {
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: `record` is the reserved entry; every field after the header is written.
    unsafe {
        socket.write_addresses(addr_of_mut!((*record).addresses));
        if context == Context::Process {
            task::write_current(addr_of_mut!((*record).task));
        } else {
            memory::zero(addr_of_mut!((*record).task));
        }
        write_rest(record, socket.state(), error);
    }
    ring::send(entry);
}

/// Everything after the task.
///
/// # Safety
/// `record` must be valid for writes.
#[inline(always)]
pub(crate) unsafe fn write_rest(record: *mut SocketEvent, state: u8, error: u32) {
    // SAFETY: as the caller promises.
    unsafe {
        // The padding with it.
        addr_of_mut!((*record).state)
            .cast::<u32>()
            .write(u32::from(state).to_le());
        addr_of_mut!((*record).error).write(error);
    }
}
