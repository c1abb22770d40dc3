//! `tcp_rcv_space_adjust` (Linux 4.17): `(struct sock *sk)`, called from `tcp_recvmsg` in the
//! context of the process that reads.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_ebpf::record::READ;

use crate::{
    filter,
    socket::Socket,
    socket_event::{self, Context, Sequence},
    task::current_pid,
};

/// One record when a process first reads from a traced socket, and when another one does.
#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
pub(crate) fn tracer_read(ctx: BtfTracePointContext) -> i32 {
    if let Some(socket) = Socket::from_argument(&ctx, 0) {
        observe(socket);
    }
    0
}

#[inline(always)]
fn observe(socket: Socket) {
    let Some(remembered) = filter::remembered(socket.cookie) else {
        return;
    };
    let reader = current_pid();
    // SAFETY: an element of `SOCKETS`; two processes racing here cost one record more.
    unsafe {
        if (*remembered).reader == reader {
            return;
        }
        (*remembered).reader = reader;
    }
    socket_event::submit(READ, socket, Context::Process, Sequence::default());
}
