//! Which process owns a socket, from hooks in the context of the process that acts on it:
//! `tcp_rcv_space_adjust` (Linux 4.17; `(struct sock *sk)`, called from `tcp_recvmsg`),
//! `sock_send_length` (Linux 6.3; `(struct sock *sk, int ret, int flags)`; before it, the functions
//! that send), and `cgroup/sock_release` (Linux 5.9), which runs when the last process closes a
//! socket.

use core::{ffi::c_void, ptr::addr_of_mut};

use aya_ebpf::{
    EbpfContext as _,
    macros::{btf_tracepoint, cgroup_sock, fentry},
    programs::{BtfTracePointContext, FEntryContext, SockContext},
};
use tracer_ebpf::{
    filter::Remembered,
    record::{ADOPTED, READ, RELEASE, SEND, SocketEvent, state},
};

use crate::{
    filter, limits, memory,
    relay::{self, IsOver},
    ring,
    sock::{OfCgroup, Traced},
    socket::Socket,
    socket_event::{self, Context},
    task, unix,
};

/// The socket is closed in any case.
const ALLOW: i32 = 1;

/// One record when a process reads from a traced socket that another process acted on last.
#[btf_tracepoint]
pub(crate) fn tracer_read(ctx: BtfTracePointContext) -> i32 {
    observe(&ctx, READ, IsOver::Yes);
    0
}

/// The same for a process that sends: a server may speak first. The tracepoint is one for sockets of all families.
#[btf_tracepoint]
pub(crate) fn tracer_send(ctx: BtfTracePointContext) -> i32 {
    if !unix::observe(&ctx) {
        observe(&ctx, SEND, IsOver::Yes);
    }
    0
}

/// The same before Linux 6.3: `tcp_sendmsg` (`(struct sock *sk, struct msghdr *msg, size_t size)`).
#[fentry]
pub(crate) fn tracer_sendmsg(ctx: FEntryContext) -> i32 {
    observe(&BtfTracePointContext::new(ctx.as_ptr()), SEND, IsOver::No);
    0
}

/// The same for `sendfile` and `splice`: `tcp_sendpage` (`(struct sock *sk, struct page *page, int
/// offset, size_t size, int flags)`, until Linux 6.4).
#[fentry]
pub(crate) fn tracer_sendpage(ctx: FEntryContext) -> i32 {
    observe(&BtfTracePointContext::new(ctx.as_ptr()), SEND, IsOver::No);
    0
}

/// The same for the process that closes the socket, whether or not the connection was reset.
#[cgroup_sock(sock_release)]
pub(crate) fn tracer_release(ctx: SockContext) -> i32 {
    let sock = OfCgroup(ctx.sock);
    if let Some(remembered) = filter::remembered(sock)
        && let Some(cookie) = filter::set_holder(sock, remembered)
    {
        submit_alone(RELEASE, cookie);
    }
    ALLOW
}

#[inline(always)]
fn observe(ctx: &BtfTracePointContext, kind: u16, is_over: IsOver) {
    let raw: *mut c_void = ctx.arg(0);
    if raw.is_null() {
        return;
    }
    let sock = Traced(raw);
    let Some(remembered) = filter::remembered(sock).or_else(|| adopt(ctx)) else {
        return;
    };
    // SAFETY: a value of `SOCKETS`, in the context of the process that acts.
    unsafe {
        if kind == READ {
            limits::read(remembered);
            relay::read(sock, remembered);
        } else {
            limits::sent(remembered);
            relay::sent(sock, remembered, is_over);
        }
    }
    let Some(cookie) = filter::set_holder(sock, remembered) else {
        return;
    };
    if let Some(socket) = Socket::from_argument(ctx, 0) {
        // SAFETY: as above.
        unsafe { filter::follow_holder(remembered, socket) };
        socket_event::submit(kind, socket, Context::Process, 0);
    } else {
        // An MPTCP socket.
        submit_alone(kind, cookie);
    }
}

/// A process acts on a socket that is not traced. It is traced from now on, if it leads to a traced connection.
#[inline(always)]
fn adopt(ctx: &BtfTracePointContext) -> Option<*mut Remembered> {
    if !filter::is_any_followed() {
        return None;
    }
    let socket = Socket::from_argument(ctx, 0)?;
    let remembered = filter::adopt(socket)?;
    socket_event::submit(ADOPTED, socket, Context::Process, 0);
    Some(remembered)
}

/// Without addresses.
#[inline(always)]
fn submit_alone(kind: u16, cookie: u64) {
    let Some(mut entry) = ring::reserve::<SocketEvent>(kind, cookie) else {
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the reserved entry; every field after the header is written.
    unsafe {
        memory::zero(addr_of_mut!((*record).addresses));
        task::write_current(addr_of_mut!((*record).task));
        socket_event::write_rest(record, state::CLOSE, 0);
    }
    ring::send(entry);
}
