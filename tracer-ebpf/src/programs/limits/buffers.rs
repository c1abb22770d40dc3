//! Who settled the size of a socket's buffers.

use tracer_ebpf::record::{LARGEST_RECEIVE_BUFFER, LARGEST_SEND_BUFFER};

use crate::{
    kernel::{
        COMMON_NET, NET_TCP_RMEM, NET_TCP_WMEM, Pointer, SOCK_COMMON, SOCK_RCVBUF, SOCK_SNDBUF,
        SOCK_USERLOCKS,
    },
    socket::Socket,
};

/// `SOCK_SNDBUF_LOCK | SOCK_RCVBUF_LOCK`; the others lock an address or a port.
const BUFFER_LOCKS: u8 = 3;
/// `net.ipv4.tcp_wmem` and `tcp_rmem` have three numbers: the least, the first and the largest size.
const LARGEST: usize = 2 * size_of::<u32>();

/// The bits of `record::Limits::fixed_buffers`.
#[inline(always)]
pub(super) fn fixed(socket: Socket) -> u8 {
    let sock = socket.as_tcp_sock();
    let net = sock.inner(&SOCK_COMMON).follow(&COMMON_NET);
    let mut bits = sock.load_bits(&SOCK_USERLOCKS) & BUFFER_LOCKS;
    if is_at(sock.load(&SOCK_SNDBUF), net, &NET_TCP_WMEM) {
        bits |= LARGEST_SEND_BUFFER;
    }
    if is_at(sock.load(&SOCK_RCVBUF), net, &NET_TCP_RMEM) {
        bits |= LARGEST_RECEIVE_BUFFER;
    }
    bits
}

/// Whether the kernel would make a buffer of this size no larger.
#[inline(always)]
fn is_at(size: u32, net: Pointer, limits: &aya_ebpf::Global<u32>) -> bool {
    let largest: u32 = net.load_after(limits, LARGEST);
    largest != 0 && size >= largest
}
