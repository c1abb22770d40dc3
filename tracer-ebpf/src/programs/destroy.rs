//! `tcp_destroy_sock` (Linux 4.15): `(struct sock *sk)`.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{filter, socket::Socket};

/// Forgets the socket: not at CLOSE, because a `close` with unread data sends its RST after that.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub(crate) fn tracer_destroy(ctx: BtfTracePointContext) -> i32 {
    if let Some(socket) = Socket::from_argument(&ctx, 0) {
        filter::forget(socket.cookie);
    }
    0
}
