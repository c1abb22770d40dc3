//! `tcp_retransmit_skb` (Linux 4.15; `(const struct sock *sk, const struct sk_buff *skb)`; Linux 6.17
//! adds `int err` and calls it for failed attempts as well) and
//! `tcp_retransmit_synack` (Linux 4.15; `(const struct sock *sk, const struct request_sock *req)`).

use core::{ffi::c_void, mem::MaybeUninit, ptr::addr_of_mut};

use aya_ebpf::{Global, macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_ebpf::record::{
    Addresses, RETRANSMIT, RETRANSMIT_SYN_ACK, SocketEvent, TIME_OUT, TimeOut, state,
};

use crate::{
    addresses, filter,
    kernel::{Pointer, REQUEST_COMMON, SKB_LEN, TCP_BYTES_ACKED, TCP_RETRANSMITS},
    memory, ring, second,
    sock::Sock as _,
    socket::Socket,
    socket_event::{self, Context},
};

/// Whether `tcp_retransmit_skb` has its third argument. The verifier rejects reading one that does not
/// exist.
#[unsafe(no_mangle)]
static RETRANSMIT_HAS_ERROR: Global<u8> = Global::new(0);

const ENOBUFS: u32 = 105;

/// One record per segment that a traced socket retransmits, or tries to, and one more where the timer
/// does.
#[btf_tracepoint]
pub(crate) fn tracer_retrans(ctx: BtfTracePointContext) -> i32 {
    second::first(second::RETRANSMIT, || observe_segment(&ctx));
    0
}

/// The same where it interrupts that program.
#[btf_tracepoint]
pub(crate) fn tracer_retran_2(ctx: BtfTracePointContext) -> i32 {
    second::second(second::RETRANSMIT, || observe_segment(&ctx));
    0
}

/// One record per SYN-ACK that a listener retransmits for a traced connection.
#[btf_tracepoint]
pub(crate) fn tracer_synack(ctx: BtfTracePointContext) -> i32 {
    if let Some(listener) = Socket::from_argument(&ctx, 0) {
        observe_syn_ack(&ctx, listener);
    }
    0
}

#[inline(always)]
fn observe_segment(ctx: &BtfTracePointContext) {
    let Some(socket) = Socket::from_argument(ctx, 0) else {
        return;
    };
    if filter::remembered(socket.sock()).is_none() {
        return;
    }
    let error = if RETRANSMIT_HAS_ERROR.load() != 0 {
        errno(ctx.arg::<i32>(2))
    } else {
        0
    };
    socket_event::submit(RETRANSMIT, socket, Context::Softirq, error);
    // `icsk_retransmits` counts what the timer sent again since the peer acknowledged something new.
    if error == 0
        && socket.state() != state::SYN_SENT
        && socket.as_tcp_sock().load::<u8>(&TCP_RETRANSMITS) != 0
    {
        submit_time_out(ctx, socket);
    }
}

#[inline(always)]
fn submit_time_out(ctx: &BtfTracePointContext, socket: Socket) {
    let segment: *const c_void = ctx.arg(1);
    // SAFETY: the tracepoint's argument of type `struct sk_buff *`: of the retransmission queue, without
    // headers.
    let segment = unsafe { Pointer::new(segment) };
    let Some(mut entry) = ring::reserve::<TimeOut>(TIME_OUT, socket.sock().cookie()) else {
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the reserved entry; every field after the header is written.
    unsafe {
        addr_of_mut!((*record).bytes_acked).write(socket.as_tcp_sock().load(&TCP_BYTES_ACKED));
        addr_of_mut!((*record).length).write(segment.load(&SKB_LEN));
        addr_of_mut!((*record).padding).write(0);
    }
    ring::send(entry);
}

/// `tcp_transmit_skb` returns a negative errno, or, where a queue was full, the positive
/// `NET_XMIT_DROP`, which the kernel turns into ENOBUFS elsewhere (`net_xmit_errno`).
#[inline(always)]
const fn errno(result: i32) -> u32 {
    if result > 0 {
        ENOBUFS
    } else {
        result.unsigned_abs()
    }
}

/// The connection has no socket yet. The record has the request's addresses and the listener's cookie.
#[inline(always)]
fn observe_syn_ack(ctx: &BtfTracePointContext, listener: Socket) {
    let request: *const c_void = ctx.arg(1);
    // SAFETY: the tracepoint's argument of type `struct request_sock *`.
    let common = unsafe { Pointer::new(request) }.inner(&REQUEST_COMMON);
    // SAFETY: all fields are written, and there is no padding.
    let admitted = unsafe {
        let mut addresses = MaybeUninit::<Addresses>::uninit();
        addresses::write(common, addresses.as_mut_ptr());
        (*addresses.as_mut_ptr()).netns = 0;
        filter::admits_handshake(addresses.assume_init_ref(), addresses::netns(common))
    };
    if !admitted {
        return;
    }
    let Some(mut entry) =
        ring::reserve::<SocketEvent>(RETRANSMIT_SYN_ACK, listener.sock().cookie())
    else {
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: `record` is the reserved entry; every field after the header is written.
    unsafe {
        addresses::write(common, addr_of_mut!((*record).addresses));
        memory::zero(addr_of_mut!((*record).task));
        socket_event::write_rest(record, state::NEW_SYN_RECV, 0);
    }
    ring::send(entry);
}
