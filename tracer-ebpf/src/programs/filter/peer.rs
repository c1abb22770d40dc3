//! Follows a traced connection to its other end on this machine: by the addresses that its socket will
//! have, or by its initial sequence number.

use aya_ebpf::{helpers::generated::bpf_ktime_get_ns, macros::map, maps::LruHashMap};
use tracer_ebpf::{
    filter::{BY_COOKIE, BY_PROCESS, HAS_EXPECTED},
    record::Addresses,
};

use super::{FILTER_BY, mark_filled};
use crate::socket::Socket;

/// The addresses of a traced connection as its other end sees them, so that both ends are traced where
/// both are on this machine.
#[map]
static PEERS: LruHashMap<Addresses, u8> = LruHashMap::with_max_entries(1 << 14, 0);

/// The initial sequence numbers that traced clients sent, and when. NAT translates addresses on the
/// way, and not these.
#[map]
static NUMBERS: LruHashMap<u32, u64> = LruHashMap::with_max_entries(1 << 14, 0);

/// A SYN reaches the other end on this machine in less. The same number later is another client's.
const LOCAL_DELIVERY_NS: u64 = 1_000_000_000;

/// Whether a traced connection is followed to its other end: where the filter does not find that by itself.
#[inline(always)]
pub(crate) fn expects_peers() -> bool {
    FILTER_BY.load() & (BY_PROCESS | BY_COOKIE) != 0
}

/// A traced client's SYN leaves with this sequence number.
#[inline(always)]
pub(crate) fn expect_number(seq: u32) {
    if expects_peers() {
        // SAFETY: a helper without arguments.
        let now = unsafe { bpf_ktime_get_ns() };
        let _ = NUMBERS.insert(seq, now, 0);
    }
}

/// A SYN with this sequence number and these addresses reaches a listener. If a traced client sent it,
/// the connection with these addresses is traced, too.
#[inline(never)]
pub(crate) fn match_number(seq: u32, addresses: &Addresses) {
    let Some(sent) = NUMBERS.get_ptr(seq) else {
        return;
    };
    // SAFETY: an element of the map, and a helper without arguments.
    let ago = unsafe { bpf_ktime_get_ns() - *sent };
    if ago < LOCAL_DELIVERY_NS {
        let _ = PEERS.insert(*addresses, 1, 0);
    }
}

/// Whether a SYN-ACK with this acknowledgment number answers the SYN of a traced client. NAT may have
/// given the SYN-ACK addresses that are not its socket's.
#[inline(always)]
pub(crate) fn answers_number(ack: u32) -> bool {
    if !expects_peers() {
        return false;
    }
    let Some(sent) = NUMBERS.get_ptr(ack.wrapping_sub(1)) else {
        return false;
    };
    // SAFETY: an element of the map, and a helper without arguments.
    unsafe { bpf_ktime_get_ns() - *sent < LOCAL_DELIVERY_NS }
}

/// A traced client's SYN leaves. If the server's end is on this machine, it is traced, too.
#[inline(always)]
pub(crate) fn expect_peer_of(own: &Addresses) {
    if expects_peers() {
        expect_other_end(own);
    }
}

/// The other end of a connection with these addresses is traced, if it is on this machine.
#[inline(never)]
pub(super) fn expect_other_end(own: &Addresses) {
    let peer = Addresses {
        local: own.remote,
        remote: own.local,
        local_port: own.remote_port,
        remote_port: own.local_port,
        netns: 0,
    };
    let _ = PEERS.insert(peer, 1, 0);
    mark_filled(HAS_EXPECTED);
}

/// Whether a connection with these addresses, as its own socket has them, is expected.
#[inline(always)]
pub(super) fn is_expected(addresses: &Addresses) -> bool {
    PEERS.get_ptr(addresses).is_some()
}

#[inline(always)]
pub(super) fn is_expected_socket(socket: Socket) -> bool {
    is_expected(&addresses(socket))
}

/// A traced client's addresses are complete.
#[inline(always)]
pub(crate) fn expect_peer_of_socket(socket: Socket) {
    if expects_peers() {
        expect_peer_of(&addresses(socket));
    }
}

/// Without the network namespace, which may differ between the two ends.
#[inline(always)]
fn addresses(socket: Socket) -> Addresses {
    let mut addresses = core::mem::MaybeUninit::<Addresses>::uninit();
    // SAFETY: all fields are written, and there is no padding.
    unsafe {
        socket.write_addresses(addresses.as_mut_ptr());
        (*addresses.as_mut_ptr()).netns = 0;
        addresses.assume_init()
    }
}
