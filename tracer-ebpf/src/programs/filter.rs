//! Which sockets are traced: decided when a socket is born (`connect`, or the third ACK of a
//! passive open), remembered in `SOCKETS`, and from then on a single look-up.

use aya_ebpf::{
    Global,
    macros::map,
    maps::{HashMap, LruHashMap},
};
use tracer_ebpf::{
    filter::{BY_COOKIE, BY_PID, BY_PORT, Remembered},
    record::{Addresses, UNTRACKED, state},
};

use crate::{ring, socket::Socket, task::current_pid};

/// The kinds of condition that are set; none traces every connection.
#[unsafe(no_mangle)]
static FILTER_BY: Global<u32> = Global::new(0);

/// Wanted ports, of either end.
#[map]
static PORTS: HashMap<u16, u8> = HashMap::with_max_entries(1024, 0);

/// Wanted processes (thread groups).
#[map]
static PIDS: HashMap<u32, u8> = HashMap::with_max_entries(4096, 0);

/// Local ports on which the wanted processes listen.
#[map]
static LISTENERS: HashMap<u16, u8> = HashMap::with_max_entries(4096, 0);

/// Sockets that passed, by cookie.
#[map]
static SOCKETS: HashMap<u64, Remembered> = HashMap::with_max_entries(1 << 16, 0);

/// Addresses as the other end of a wanted connection sees them, so that both ends are traced where
/// both are on this machine.
#[map]
static PEERS: LruHashMap<Addresses, u8> = LruHashMap::with_max_entries(1 << 14, 0);

/// Whether a state change of `socket` is wanted; remembers the socket if so.
#[inline(always)]
pub(crate) fn admits(socket: Socket, old: u8, new: u8) -> bool {
    if remembered(socket.cookie).is_some() {
        if new == state::ESTABLISHED && old == state::SYN_SENT {
            expect_peer_of(&addresses(socket));
        }
        return true;
    }
    if !matches(socket, new) {
        return false;
    }
    // Changes of state are still told then; segments, resets, retransmits and readers are not.
    if SOCKETS.insert(socket.cookie, Remembered::NEW, 0).is_err() {
        ring::count_lost(UNTRACKED);
    }
    true
}

/// What is remembered of a traced socket.
#[inline(always)]
pub(crate) fn remembered(cookie: u64) -> Option<*mut Remembered> {
    SOCKETS.get_ptr_mut(cookie)
}

/// Whether a connection known by its ports alone is wanted.
#[inline(always)]
pub(crate) fn admits_ports(local: u16, remote: u16) -> bool {
    let by = FILTER_BY.load();
    by & (BY_PID | BY_COOKIE) == 0 && (by & BY_PORT == 0 || port_matches(local, remote))
}

/// Whether a segment of a connection that has no socket here yet is wanted: one for a listener.
#[inline(always)]
pub(crate) fn admits_early(addresses: &Addresses) -> bool {
    let by = FILTER_BY.load();
    if by & BY_PORT != 0 && !port_matches(addresses.local_port, addresses.remote_port) {
        return false;
    }
    if by & (BY_PID | BY_COOKIE) == 0 {
        return true;
    }
    by & BY_PID != 0 && LISTENERS.get_ptr(addresses.local_port).is_some()
        || PEERS.get_ptr(addresses).is_some()
}

/// A traced client's SYN leaves: a server's end on this machine finds this note when it arrives.
#[inline(always)]
pub(crate) fn expect_peer_of(own: &Addresses) {
    if FILTER_BY.load() & (BY_PID | BY_COOKIE) != 0 {
        let peer = Addresses {
            local: own.remote,
            remote: own.local,
            local_port: own.remote_port,
            remote_port: own.local_port,
            netns: 0,
        };
        let _ = PEERS.insert(peer, 1, 0);
    }
}

/// Forgets a socket that is gone: its cookie is never used again.
#[inline(always)]
pub(crate) fn forget(cookie: u64) {
    let _ = SOCKETS.remove(cookie);
}

#[inline(always)]
fn matches(socket: Socket, new: u8) -> bool {
    let by = FILTER_BY.load();
    if by == 0 {
        return true;
    }
    if by == BY_COOKIE {
        return is_expected_peer(socket);
    }
    if by & BY_PORT != 0 && !port_matches(socket.local_port(), socket.remote_port()) {
        return false;
    }
    if by & BY_PID == 0 {
        return true;
    }
    if new == state::SYN_SENT {
        return PIDS.get_ptr(current_pid()).is_some();
    }
    LISTENERS.get_ptr(socket.local_port()).is_some() || is_expected_peer(socket)
}

#[inline(always)]
fn port_matches(local: u16, remote: u16) -> bool {
    PORTS.get_ptr(local).is_some() || PORTS.get_ptr(remote).is_some()
}

#[inline(always)]
fn is_expected_peer(socket: Socket) -> bool {
    PEERS.get_ptr(addresses(socket)).is_some()
}

/// The addresses without the network namespace, which may differ between the two ends.
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
