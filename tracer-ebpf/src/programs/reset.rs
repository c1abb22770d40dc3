//! `tcp_send_reset` (Linux 4.15; `(const struct sock *sk, const struct sk_buff *skb, …)`, the
//! reason since 6.10) and `tcp_receive_reset` (Linux 4.15; `(struct sock *sk)`).

use core::ptr::addr_of;

use aya_ebpf::{Global, macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_ebpf::record::{MAX_RESET_REASONS, RESET_RECEIVED, RESET_SENT};

use crate::{
    filter,
    socket::Socket,
    socket_event::{self, Context},
};

/// Whether `tcp_send_reset` has its third argument. The verifier rejects reading one that does not
/// exist.
#[unsafe(no_mangle)]
static RESET_HAS_REASON: Global<u8> = Global::new(0);
/// For each number of the running kernel, one more than its place in
/// [`RESET_REASONS`](tracer_ebpf::record::RESET_REASONS); else 0.
#[unsafe(no_mangle)]
static RESET_REASONS: Global<[u8; MAX_RESET_REASONS]> = Global::new([0; MAX_RESET_REASONS]);

/// One record per RST that a traced socket sends.
#[btf_tracepoint]
pub(crate) fn tracer_rst_sent(ctx: BtfTracePointContext) -> i32 {
    observe(&ctx, RESET_SENT);
    0
}

/// One record per RST that a traced socket receives.
#[btf_tracepoint]
pub(crate) fn tracer_rst_recv(ctx: BtfTracePointContext) -> i32 {
    observe(&ctx, RESET_RECEIVED);
    0
}

/// A RST from no socket (a closed port) or from a mini-socket belongs to no traced connection.
#[inline(always)]
fn observe(ctx: &BtfTracePointContext, kind: u16) {
    let Some(socket) = Socket::from_argument(ctx, 0) else {
        return;
    };
    if filter::remembered(socket.sock()).is_some() {
        let reason = if kind == RESET_SENT { reason(ctx) } else { 0 };
        socket_event::submit(kind, socket, Context::Softirq, reason);
    }
}

#[inline(always)]
fn reason(ctx: &BtfTracePointContext) -> u32 {
    if RESET_HAS_REASON.load() == 0 {
        return 0;
    }
    let number = ctx.arg::<u32>(2) as usize;
    if number >= MAX_RESET_REASONS {
        return 0;
    }
    // SAFETY: `Global` is its value and nothing else, and `number` is within it. The loader has written
    // the value, of which the compiler knows nothing.
    unsafe {
        let table = addr_of!(RESET_REASONS).cast::<u8>();
        u32::from(table.add(number).read_volatile())
    }
}
