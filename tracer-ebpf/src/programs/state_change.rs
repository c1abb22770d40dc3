//! `inet_sock_set_state` (Linux 4.16): `(const struct sock *sk, const int oldstate, const int
//! newstate)`.

use core::{ffi::c_void, ptr::addr_of_mut};

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use aya_log_ebpf::debug;
use tracer_ebpf::{
    filter::{ACCEPTED, CONNECTED, Remembered},
    record::{AGAIN, CLOSED, Closed, IN_REPAIR, STATE_CHANGE, StateChange, state},
};

use crate::{
    filter, limits, memory, relay, ring, sample, second,
    sock::{Sock as _, Traced},
    socket::Socket,
    task, unix,
};

/// One record per change of state of a traced connection.
#[btf_tracepoint]
pub(crate) fn tracer_state(ctx: BtfTracePointContext) -> i32 {
    second::first(second::STATE, || observe(&ctx));
    0
}

/// The same where it interrupts that program.
#[btf_tracepoint]
pub(crate) fn tracer_state_2(ctx: BtfTracePointContext) -> i32 {
    second::second(second::STATE, || observe(&ctx));
    0
}

#[inline(always)]
fn observe(ctx: &BtfTracePointContext) {
    let raw: *mut c_void = ctx.arg(0);
    if raw.is_null() {
        return;
    }
    let sock = Traced(raw);
    let old = ctx.arg::<i32>(1) as u8;
    let new = ctx.arg::<i32>(2) as u8;
    let known = filter::remembered(sock);
    if known.is_none() && !filter::may_matter(old, new) {
        return;
    }
    let Some(socket) = Socket::from_argument(ctx, 0) else {
        return;
    };
    if new == state::LISTEN {
        filter::add_listener(socket);
    } else if old == state::LISTEN && new == state::CLOSE {
        filter::remove_listener(socket);
    }
    // A listening socket has no peer. Before Linux 6.15 (commit a3a128f611a9) a child has none
    // either on its way to SYN_RECV, and still has the listener's cookie. It is remembered here, so
    // that its segments are seen. Its first record is of SYN_RECV→ESTABLISHED.
    if socket.remote_port() == 0 {
        if old == state::LISTEN && new == state::SYN_RECV {
            filter::admits(sock, socket, old, new);
        }
        return;
    }
    let again = if old == state::CLOSE && new == state::SYN_SENT {
        known
    } else {
        None
    };
    let known = if let Some(before) = again {
        let Some(now) = filter::admits_again(sock, socket, before) else {
            return;
        };
        Some(now)
    } else if known.is_some() {
        known
    } else if filter::admits(sock, socket, old, new) {
        filter::remembered(sock)
    } else {
        debug!(
            ctx,
            "cookie {}: {} to {} not wanted",
            sock.cookie(),
            old,
            new
        );
        return;
    };
    if new == state::ESTABLISHED && old == state::SYN_SENT {
        filter::expect_peer_of_socket(socket);
    }
    if new == state::SYN_SENT {
        filter::follow_client(socket);
    }
    if let Some(remembered) = known {
        if is_system_call(new) {
            filter::set_holder_in(remembered);
        } else if old == state::SYN_RECV {
            filter::clear_holder_in(remembered);
        }
    }
    let mut flags = 0;
    if let Some(remembered) = known {
        // SAFETY: a value of `SOCKETS`.
        unsafe {
            if again.is_some() && (*remembered).recorded != 0 {
                flags |= AGAIN;
            }
            (*remembered).recorded = 1;
        }
    }
    if socket.is_in_repair() {
        flags |= IN_REPAIR;
    }
    let cookie = sock.cookie();
    if new == state::CLOSE {
        flags |= socket.closing();
        unix::answered(cookie);
    }
    match known {
        Some(remembered) if new == state::CLOSE => {
            send_closed(socket, cookie, remembered, (old, flags));
        }
        _ => send(socket, cookie, (old, new), flags),
    }
    if let Some(remembered) = known {
        // SAFETY: a value of `SOCKETS`.
        unsafe {
            open(sock, remembered, old, new);
            sample::changed(socket, remembered);
            if new == state::CLOSE {
                limits::end(socket, remembered);
            }
        }
    }
}

/// Remembers how the socket is opened, and submits what made the process connect it.
///
/// # Safety
/// `remembered` must be a value of `SOCKETS`.
#[inline(always)]
unsafe fn open(sock: Traced, remembered: *mut Remembered, old: u8, new: u8) {
    // SAFETY: as the caller promises.
    unsafe {
        if new == state::SYN_SENT {
            (*remembered).opening = CONNECTED;
            relay::connected(sock, remembered);
        } else if old == state::SYN_SENT {
            // It was traced only once its SYN had reached the other end.
            (*remembered).opening = CONNECTED;
        } else if (*remembered).opening == 0 && (old == state::SYN_RECV || new == state::SYN_RECV) {
            (*remembered).opening = ACCEPTED;
        }
    }
}

#[inline(always)]
fn send(socket: Socket, cookie: u64, change: (u8, u8), flags: u16) {
    let Some(mut entry) = ring::reserve::<StateChange>(STATE_CHANGE, cookie) else {
        return;
    };
    // SAFETY: the reserved entry.
    unsafe { fill(entry.as_mut_ptr(), socket, change, flags) };
    ring::send(entry);
}

/// The same for a change to CLOSE, with the totals of the socket's segments, as far as they were seen.
#[inline(always)]
fn send_closed(socket: Socket, cookie: u64, remembered: *mut Remembered, (old, flags): (u8, u16)) {
    let Some(mut entry) = ring::reserve::<Closed>(CLOSED, cookie) else {
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the reserved entry, and a value of `SOCKETS`.
    unsafe {
        fill(
            addr_of_mut!((*record).change),
            socket,
            (old, state::CLOSE),
            flags,
        );
        memory::copy(
            addr_of_mut!((*remembered).passed),
            addr_of_mut!((*record).passed),
        );
    }
    ring::send(entry);
}

/// Writes every field after the header.
///
/// # Safety
/// `record` must be valid for writes.
#[inline(always)]
unsafe fn fill(record: *mut StateChange, socket: Socket, (old, new): (u8, u8), flags: u16) {
    // SAFETY: as the caller promises.
    unsafe {
        socket.write_addresses(addr_of_mut!((*record).addresses));
        if is_system_call(new) {
            task::write_current(addr_of_mut!((*record).task));
        } else {
            memory::zero(addr_of_mut!((*record).task));
        }
        if is_counted(new) {
            socket.write_counters(addr_of_mut!((*record).counters));
        } else {
            memory::zero(addr_of_mut!((*record).counters));
        }
        addr_of_mut!((*record).old).write(old);
        addr_of_mut!((*record).new).write(new);
        addr_of_mut!((*record).flags).write(flags);
        addr_of_mut!((*record).error).write(socket.error());
    }
}

/// On the way to SYN_SENT and SYN_RECV, nothing is counted yet.
#[inline(always)]
const fn is_counted(new: u8) -> bool {
    !matches!(new, state::SYN_SENT | state::SYN_RECV)
}

/// Only `connect`, `close` and `shutdown` lead to these states.
#[inline(always)]
const fn is_system_call(new: u8) -> bool {
    matches!(new, state::SYN_SENT | state::FIN_WAIT1 | state::LAST_ACK)
}
