//! Which socket a thread read from before it acts on another: a proxy reads a request from its client's
//! socket, and sends it on to its server's; with the response, the other way.
//!
//! The kernel has no such relation. Here it is the order of a thread's system calls: what it read last caused
//! what it does now. That is exact for a thread that passes on what it reads before it reads elsewhere. A
//! thread that reads from several sockets first, and acts then, is credited with the last one.

use core::ptr::addr_of_mut;

use aya_ebpf::{macros::map, maps::LruHashMap};
use tracer_ebpf::{
    filter::{CONNECTED, Remembered, TURN_BEGAN, TURN_SETTLED},
    record::{EGRESS, RELAY, Relay},
};

use crate::{
    ring,
    sock::{Sock as _, Traced},
    task, unix,
};

/// Whether a hook runs after the system call has done its work.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum IsOver {
    Yes,
    No,
}

/// A thread's latest read.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct LatestRead {
    /// The socket's cookie; an MPTCP socket's is that of its first traced subflow.
    cookie: u64,
    /// [`Remembered::opening`] of the socket.
    opening: u64,
}

impl LatestRead {
    /// The socket's cookie, if it was accepted, or opened before the tracer.
    #[inline(always)]
    pub(crate) fn of_server(self) -> Option<u64> {
        if self.opening == u64::from(CONNECTED) {
            None
        } else {
            Some(self.cookie)
        }
    }
}

/// By thread. Only threads that read from an accepted socket are added: those of servers, and so of proxies.
#[map]
static LATEST_READS: LruHashMap<u32, LatestRead> = LruHashMap::with_max_entries(4096, 0);

/// The current thread has read from the socket.
///
/// # Safety
/// `remembered` must be a value of `SOCKETS`.
#[inline(always)]
pub(crate) unsafe fn read(sock: Traced, remembered: *mut Remembered) {
    let thread = task::current_thread();
    let latest = LATEST_READS.get_ptr_mut(thread);
    // SAFETY: as the caller promises, and an element of the map, which this thread alone writes.
    unsafe {
        let opening = (*remembered).opening;
        if latest.is_none() && opening == CONNECTED {
            return;
        }
        let read = LatestRead {
            cookie: cookie(sock, remembered),
            opening: u64::from(opening),
        };
        match latest {
            Some(latest) => latest.write(read),
            None => _ = LATEST_READS.insert(thread, read, 0),
        }
    }
}

/// The current thread's latest read.
#[inline(always)]
pub(crate) fn latest() -> Option<LatestRead> {
    let latest = LATEST_READS.get_ptr(task::current_thread())?;
    // SAFETY: an element of the map, which this thread alone writes.
    Some(unsafe { *latest })
}

/// The current thread sends on the socket, or has sent.
///
/// # Safety
/// `remembered` must be a value of `SOCKETS`.
#[inline(always)]
pub(crate) unsafe fn sent(sock: Traced, remembered: *mut Remembered, is_over: IsOver) {
    // SAFETY: as the caller promises.
    unsafe {
        let turn = (*remembered).turn;
        if is_over == IsOver::Yes {
            if turn != TURN_BEGAN {
                return;
            }
            (*remembered).turn = 0;
        } else {
            if turn == TURN_SETTLED || (*remembered).last_payload == u32::from(EGRESS) + 1 {
                return;
            }
            (*remembered).turn = TURN_SETTLED;
        }
        submit(sock, remembered, 0);
        if (*remembered).opening != CONNECTED {
            unix::answered(cookie(sock, remembered));
        }
    }
}

/// The current thread connects the socket. What it sends first is settled by that: a thread that waits for the
/// connection may read elsewhere meanwhile.
///
/// # Safety
/// `remembered` must be a value of `SOCKETS`.
#[inline(always)]
pub(crate) unsafe fn connected(sock: Traced, remembered: *mut Remembered) {
    // SAFETY: as the caller promises.
    unsafe {
        if submit(sock, remembered, 1) {
            (*remembered).turn = TURN_SETTLED;
        }
    }
}

/// Submits a record, if the thread has read from a socket of the other kind; returns whether it has.
///
/// # Safety
/// `remembered` must be a value of `SOCKETS`.
#[inline(always)]
unsafe fn submit(sock: Traced, remembered: *mut Remembered, connects: u8) -> bool {
    let Some(latest) = LATEST_READS.get_ptr_mut(task::current_thread()) else {
        return false;
    };
    // SAFETY: as the caller promises, an element of the map, and the reserved entry, of which every field after
    // the header is written.
    unsafe {
        let read = (*latest).cookie;
        if (*latest).opening == u64::from((*remembered).opening) {
            return false;
        }
        let Some(mut entry) = ring::reserve::<Relay>(RELAY, cookie(sock, remembered)) else {
            return false;
        };
        let record = entry.as_mut_ptr();
        addr_of_mut!((*record).read).write(read);
        // The padding with it.
        addr_of_mut!((*record).connects)
            .cast::<u64>()
            .write(u64::from(connects).to_le());
        ring::send(entry);
    }
    true
}

/// # Safety
/// `remembered` must be a value of `SOCKETS`.
#[inline(always)]
unsafe fn cookie(sock: Traced, remembered: *mut Remembered) -> u64 {
    // SAFETY: as the caller promises.
    match unsafe { (*remembered).first_subflow } {
        0 => sock.cookie(),
        first => first,
    }
}
