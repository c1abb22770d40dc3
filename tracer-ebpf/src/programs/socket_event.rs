//! The record of whatever is not a change of state.

use core::ptr::addr_of_mut;

use tracer_ebpf::record::SocketEvent;

use crate::{memory, ring, sock::Sock as _, socket::Socket, task};

/// The sequence numbers of the segment that an event is about.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sequence {
    pub(crate) seq: u32,
    pub(crate) end_seq: u32,
    pub(crate) snd_una: u32,
}

/// Whether the hook runs in the context of the process that acts.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Context {
    Process,
    Softirq,
}

/// Submits an event of `socket`; `error` is its errno, or 0.
#[inline(always)]
pub(crate) fn submit(kind: u16, socket: Socket, context: Context, sequence: Sequence, error: u32) {
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
        write_rest(record, sequence, socket.state());
        addr_of_mut!((*record).error).write(error);
    }
    ring::send(entry);
}

/// Everything after the task.
///
/// # Safety
/// `record` must be valid for writes.
#[inline(always)]
pub(crate) unsafe fn write_rest(record: *mut SocketEvent, sequence: Sequence, state: u8) {
    // SAFETY: as the caller promises.
    unsafe {
        addr_of_mut!((*record).seq).write(sequence.seq);
        addr_of_mut!((*record).end_seq).write(sequence.end_seq);
        addr_of_mut!((*record).snd_una).write(sequence.snd_una);
        addr_of_mut!((*record).state).write(state);
        let padding = addr_of_mut!((*record).padding).cast::<u8>();
        padding.write(0);
        padding.add(1).write(0);
        padding.add(2).write(0);
        addr_of_mut!((*record).error).write(0);
        addr_of_mut!((*record).end_padding).write(0);
    }
}
