//! `tcp_send_reset` (Linux 4.15; `(const struct sock *sk, const struct sk_buff *skb, …)`, the
//! reason since 6.10) and `tcp_receive_reset` (Linux 4.15; `(struct sock *sk)`).

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_ebpf::record::{RESET_RECEIVED, RESET_SENT};

use crate::{
    filter,
    socket::Socket,
    socket_event::{self, Context},
};

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
        socket_event::submit(kind, socket, Context::Softirq, 0);
    }
}
