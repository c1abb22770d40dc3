//! From a traced connection to those in front of it. A process that connects to a traced port is a client of the
//! server there, and is followed. What it then reads from, or sends on, where a socket listens, is a connection that
//! it accepted: a proxy passes on what it reads there. From then on connections to that listener are traced from
//! their SYN on, and their clients, where these are on this machine, are followed in turn.
//!
//! A client that accepts nothing, such as `curl`, is followed and costs a look-up per read. Nothing is looked up before
//! the first process is followed.

use aya_ebpf::{Global, bindings::BPF_NOEXIST, macros::map, maps::LruHashMap};
use tracer_ebpf::{
    filter::{ACCEPTED, CONNECTED, HAS_FOLLOWED, Listener, Remembered},
    record::state,
};

use super::{PORTS, is_filled, listener, mark_filled, port_matches, remember, set_holder_in};
use crate::{
    ring,
    socket::Socket,
    task::{current_family, current_pid, is_kernel_thread},
};

/// Whether processes are followed. Only where the filter has ports, and nothing else.
#[unsafe(no_mangle)]
static FOLLOWS: Global<u8> = Global::new(0);

/// The thread groups that are followed. The one that was idle for longest makes room, and is followed again when it
/// connects.
#[map]
static FOLLOWED: LruHashMap<u32, u8> = LruHashMap::with_max_entries(4096, 0);

/// Where sockets listen, traced or not. The value is the followed process that was last seen to act on a connection
/// accepted there, or the one that started it for that; 0 for none.
#[map]
static LISTENING: LruHashMap<Listener, u32> = LruHashMap::with_max_entries(8192, 0);

/// A socket begins to listen.
#[inline(always)]
pub(super) fn add_listener(socket: Socket) {
    if FOLLOWS.load() != 0 {
        let key = listener(socket.netns(), socket.local_port());
        // A followed process may be known to accept there, through another socket.
        let _ = LISTENING.insert(key, 0, u64::from(BPF_NOEXIST));
    }
}

/// The current process connects a traced socket.
#[inline(always)]
pub(crate) fn follow_client(socket: Socket) {
    if FOLLOWS.load() != 0 && is_client_of_traced(socket) {
        follow_current();
    }
}

/// The current process acts on a traced socket for the first time.
///
/// # Safety
/// `remembered` must be a value of `SOCKETS`.
#[inline(always)]
pub(crate) unsafe fn follow_holder(remembered: *mut Remembered, socket: Socket) {
    // SAFETY: as the caller promises.
    let calls = unsafe { (*remembered).followed != 0 && (*remembered).opening == CONNECTED };
    if FOLLOWS.load() != 0 && (calls || is_client_of_traced(socket)) {
        follow_current();
    }
}

#[inline(always)]
fn follow_current() {
    if is_kernel_thread() {
        return;
    }
    follow(current_pid());
    if !is_filled(HAS_FOLLOWED) {
        mark_filled(HAS_FOLLOWED);
    }
}

#[inline(always)]
fn follow(pid: u32) {
    if FOLLOWED.get_ptr(pid).is_none() {
        let _ = FOLLOWED.insert(pid, 1, 0);
    }
}

/// A process has ended. The kernel may use its id again.
#[inline(always)]
pub(super) fn forget(pid: u32) {
    if FOLLOWS.load() != 0 {
        let _ = FOLLOWED.remove(pid);
    }
}

/// Whether any process is followed.
#[inline(always)]
pub(crate) fn is_any_followed() -> bool {
    FOLLOWS.load() != 0 && is_filled(HAS_FOLLOWED)
}

/// The current process acts on a socket that is not remembered. If it was accepted by a followed process, or
/// connected to one, remembers it, and that this process accepts there, or is followed.
#[inline(always)]
pub(crate) fn adopt(socket: Socket) -> Option<*mut Remembered> {
    if socket.state() != state::ESTABLISHED {
        return None;
    }
    let opening = if calls_front(socket) {
        follow_current();
        CONNECTED
    } else {
        let current = current_pid();
        FOLLOWED.get_ptr(current)?;
        let accepts = LISTENING.get_ptr_mut(listener(socket.netns(), socket.local_port()))?;
        let family = current_family();
        if family != current {
            follow(family);
        }
        // SAFETY: an element of the map. Processes that race here are all followed.
        unsafe { *accepts = family };
        ACCEPTED
    };
    let Some(remembered) = remember(socket.sock()) else {
        ring::count_lost_socket();
        return None;
    };
    set_holder_in(remembered);
    // SAFETY: a value of `SOCKETS`.
    unsafe {
        (*remembered).opening = opening;
        (*remembered).followed = 1;
    }
    Some(remembered)
}

/// Marks a socket that the filter admits where its ports are not the chosen ones.
///
/// # Safety
/// `remembered` must be a value of `SOCKETS`.
#[inline(always)]
pub(super) unsafe fn mark(remembered: *mut Remembered, socket: Socket) {
    if FOLLOWS.load() != 0 && !port_matches(socket.local_port(), socket.remote_port()) {
        // SAFETY: as the caller promises.
        unsafe { (*remembered).followed = 1 };
    }
}

/// Whether a connection is one that a followed process accepts, or its other end on this machine.
#[inline(always)]
pub(super) fn is_in_front(socket: Socket) -> bool {
    is_any_followed()
        && (is_accepted_at(socket.netns(), socket.local_port()) || calls_front(socket))
}

/// Whether a followed process accepts connections at this port.
#[inline(always)]
pub(super) fn is_accepted_at(netns: u32, port: u16) -> bool {
    if !is_any_followed() {
        return false;
    }
    let Some(accepts) = LISTENING.get_ptr(listener(netns, port)) else {
        return false;
    };
    // SAFETY: an element of the map.
    let process = unsafe { *accepts };
    // Most listeners are nobody's that is followed: one look-up is enough.
    process != 0 && FOLLOWED.get_ptr(process).is_some()
}

/// Whether the socket is the client's of a connection to a traced server.
#[inline(always)]
fn is_client_of_traced(socket: Socket) -> bool {
    PORTS.get_ptr(socket.remote_port()).is_some() || calls_front(socket)
}

/// Whether its peer is on this machine, where a followed process accepts. The peer of another machine may have the
/// same port.
#[inline(always)]
fn calls_front(socket: Socket) -> bool {
    socket.is_peer_here() && is_accepted_at(socket.netns(), socket.remote_port())
}
