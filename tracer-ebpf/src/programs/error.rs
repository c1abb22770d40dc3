//! `inet_sk_error_report` (Linux 5.14): `(const struct sock *sk)`.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_ebpf::record::ERROR;

use crate::{
    filter,
    socket::Socket,
    socket_event::{self, Context},
};

/// One record per error that a traced socket reports. At the next change of state the process may
/// have read the error already, which clears it.
#[btf_tracepoint]
pub(crate) fn tracer_error(ctx: BtfTracePointContext) -> i32 {
    if let Some(socket) = Socket::from_argument(&ctx, 0)
        && filter::remembered(socket.sock()).is_some()
    {
        let error = socket.error();
        socket_event::submit(ERROR, socket, Context::Softirq, error);
    }
    0
}
