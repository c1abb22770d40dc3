//! Which sockets are traced. This is decided when a connection is opened (`connect`, or the third ACK
//! of a passive open), and remembered in the socket itself (`bpf_sk_storage`, for tracing programs
//! since Linux 5.11). So an untraced socket costs one look at a pointer, and the kernel frees the
//! memory with the socket.

mod follow;
mod own;
mod peer;
mod process;

use core::ptr::{addr_of, null_mut};

use aya_ebpf::{
    Global,
    bindings::{BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE},
    btf_maps::SkStorage,
    helpers::generated::{bpf_sk_storage_delete, bpf_sk_storage_get},
    macros::{btf_map, map},
    maps::{Array, HashMap, PerCpuArray},
};
use tracer_ebpf::{
    filter::{
        BY_COOKIE, BY_PORT, BY_PROCESS, FILLABLE, HAS_EXPECTED, HAS_NAMED, Listener, REFUSALS,
        REFUSED_ACCEPT, REFUSED_CHILD, REFUSED_CONNECT, REFUSED_OTHER, Remembered,
    },
    record::{Addresses, state},
};

use self::process::{is_child_of_wanted, is_process_wanted};
pub(crate) use self::{
    follow::{adopt, follow_client, follow_holder, is_any_followed},
    peer::{
        answers_number, expect_number, expect_peer_of, expect_peer_of_socket, expects_peers,
        match_number,
    },
    process::add_child,
};
use crate::{
    memory, ring,
    sock::{Sock, Traced},
    socket::Socket,
    task::{current_pid, is_kernel_thread},
};

/// The `BY_` bits. None: every connection.
#[unsafe(no_mangle)]
static FILTER_BY: Global<u32> = Global::new(0);

/// Traced ports, of either end.
#[map]
static PORTS: HashMap<u16, u8> = HashMap::with_max_entries(1024, 0);

/// Where traced processes listen, and with how many sockets.
#[map]
static LISTENERS: HashMap<Listener, u32> = HashMap::with_max_entries(4096, 0);

/// Sockets that passed.
#[btf_map]
static SOCKETS: SkStorage<Remembered> = SkStorage::new();

/// Cookies of sockets that the tracer names. They join `SOCKETS` at their next event.
#[map]
static NAMED: HashMap<u64, u8> = HashMap::with_max_entries(1 << 18, BPF_F_NO_PREALLOC);

/// Which maps have entries, so that the others need no look-up: [`HAS_NAMED`] and its like.
#[map]
static FILLED: Array<u32> = Array::with_max_entries(FILLABLE, 0);

/// Connections that the filter refused when they were opened, per CPU: `REFUSED_CONNECT` and its like.
/// The tracer reads them at its end, to explain why it traced nothing.
#[map]
static REFUSED: PerCpuArray<u64> = PerCpuArray::with_max_entries(REFUSALS, 0);

/// Whether to trace a socket that is not remembered yet. If so, remembers it.
#[inline(always)]
pub(crate) fn admits(sock: Traced, socket: Socket, old: u8, new: u8) -> bool {
    let by = FILTER_BY.load();
    if by != 0 && !is_birth(old, new) || !matches(socket, new) {
        return false;
    }
    // Without room, its changes of state are still recorded; segments, resets, retransmits and
    // owners are not.
    match remember(sock) {
        // SAFETY: a value of `SOCKETS`.
        Some(remembered) => unsafe { follow::mark(remembered, socket) },
        None => ring::count_lost_socket(),
    }
    true
}

/// What is remembered about a traced socket; `None` for a socket that is not traced.
#[inline(always)]
pub(crate) fn remembered(sock: impl Sock) -> Option<*mut Remembered> {
    let known = storage(sock, 0);
    if known.is_some() || !is_filled(HAS_NAMED) {
        return known;
    }
    if NAMED.get_ptr(sock.cookie()).is_some() {
        return remember(sock);
    }
    None
}

/// A traced socket connects again: nothing that is remembered of its connection before holds for this
/// one, and the filter decides again. `None` where it is not traced any more.
#[inline(always)]
pub(crate) fn admits_again(
    sock: Traced,
    socket: Socket,
    remembered: *mut Remembered,
) -> Option<*mut Remembered> {
    if matches(socket, state::SYN_SENT) || FILTER_BY.load() & BY_COOKIE != 0 {
        // SAFETY: a value of `SOCKETS`.
        unsafe {
            let recorded = (*remembered).recorded;
            memory::zero(remembered);
            (*remembered).recorded = recorded;
            follow::mark(remembered, socket);
        }
        return Some(remembered);
    }
    let _ = NAMED.remove(sock.cookie());
    // SAFETY: the loader replaces the map's address by its descriptor.
    unsafe {
        let map = addr_of!(SOCKETS).cast_mut().cast();
        bpf_sk_storage_delete(map, sock.key());
    }
    None
}

/// Remembers an MPTCP socket, one of whose subflows is traced: processes act on it, and not on the
/// subflow. Returns the cookie of the first such subflow.
#[inline(always)]
pub(crate) fn remember_whole(sock: Traced, subflow: u64) -> Option<u64> {
    let Some(remembered) = remember(sock) else {
        ring::count_lost_socket();
        return None;
    };
    // SAFETY: a value of `SOCKETS`.
    unsafe {
        if (*remembered).first_subflow == 0 {
            (*remembered).first_subflow = subflow;
        }
        Some((*remembered).first_subflow)
    }
}

#[inline(always)]
fn remember(sock: impl Sock) -> Option<*mut Remembered> {
    storage(sock, u64::from(BPF_SK_STORAGE_GET_F_CREATE))
}

#[inline(always)]
fn storage(sock: impl Sock, flags: u64) -> Option<*mut Remembered> {
    let key = sock.key();
    if key.is_null() {
        return None;
    }
    // SAFETY: the loader replaces the map's address by its descriptor. The helper returns NULL for a
    // socket that is not a full one.
    let found = unsafe {
        let map = addr_of!(SOCKETS).cast_mut().cast();
        bpf_sk_storage_get(map, key, null_mut(), flags)
    };
    if found.is_null() {
        None
    } else {
        Some(found.cast())
    }
}

#[inline(always)]
fn is_filled(which: u32) -> bool {
    match FILLED.get_ptr(which) {
        // SAFETY: an element of the map.
        Some(filled) => unsafe { *filled != 0 },
        None => false,
    }
}

#[inline(always)]
fn mark_filled(which: u32) {
    if let Some(filled) = FILLED.get_ptr_mut(which) {
        // SAFETY: an element of the map.
        unsafe { *filled = 1 };
    }
}

/// Whether the filter can match a connection that has no socket yet.
#[inline(always)]
pub(crate) fn may_admit_handshake() -> bool {
    FILTER_BY.load() & (BY_PROCESS | BY_COOKIE) == 0 || is_filled(HAS_EXPECTED)
}

/// Whether a change of state of a socket that is not remembered may matter: a connection or a
/// listener begins or ends, or every connection is traced.
#[inline(always)]
pub(crate) fn may_matter(old: u8, new: u8) -> bool {
    FILTER_BY.load() == 0 || is_birth(old, new) || new == state::LISTEN || old == state::LISTEN
}

/// Whether a connection is opened. The local port of an active open is known at ESTABLISHED. The peer
/// of a passive open is known, before Linux 6.15, when it leaves SYN_RECV, even if it ends then.
#[inline(always)]
const fn is_birth(old: u8, new: u8) -> bool {
    match new {
        state::SYN_SENT | state::SYN_RECV => true,
        state::ESTABLISHED => matches!(old, state::SYN_SENT | state::SYN_RECV),
        _ => old == state::SYN_RECV,
    }
}

/// Remembers that the current process acts on a socket. Returns true if the socket is traced and
/// another process, or none, acted on it before. A kernel thread acts for others.
///
/// Gives the cookie that the record bears: an MPTCP socket's is that of its first traced subflow.
#[inline(always)]
pub(crate) fn set_holder(sock: impl Sock, remembered: *mut Remembered) -> Option<u64> {
    if !set_holder_in(remembered) {
        return None;
    }
    // SAFETY: a value of `SOCKETS`.
    match unsafe { (*remembered).first_subflow } {
        0 => Some(sock.cookie()),
        first => Some(first),
    }
}

/// The same for a socket that is known to be traced.
#[inline(always)]
pub(crate) fn set_holder_in(remembered: *mut Remembered) -> bool {
    if is_kernel_thread() {
        return false;
    }
    let current = current_pid();
    // SAFETY: a value of `SOCKETS`. Two processes that race here cost one more record.
    unsafe {
        let changes = (*remembered).holder != current;
        // A write would take the line of the cache from the CPU that handles the socket's packets.
        if changes {
            (*remembered).holder = current;
        }
        changes
    }
}

/// Before Linux 6.15 user space does not know a socket in SYN_RECV (TCP Fast Open), so an owner
/// reported then is lost. Forgets it, so that the next process to act is reported again.
#[inline(always)]
pub(crate) fn clear_holder_in(remembered: *mut Remembered) {
    // SAFETY: a value of `SOCKETS`.
    unsafe { (*remembered).holder = 0 };
}

/// A process has ended. The kernel may use its id again.
#[inline(always)]
pub(crate) fn remove_process(pid: u32) {
    process::remove(pid);
    follow::forget(pid);
}

/// Whether every connection is traced, without an exception.
#[inline(always)]
pub(crate) fn admits_every_handshake() -> bool {
    FILTER_BY.load() == 0 && !own::is_any()
}

/// Whether to trace a connection that has no socket yet, to a listener in the network namespace
/// `netns`. `addresses` come without it.
#[inline(never)]
pub(crate) fn admits_handshake(addresses: &Addresses, netns: u32) -> bool {
    let by = FILTER_BY.load();
    let by_owner = by & (BY_PROCESS | BY_COOKIE) != 0;
    if by_owner && peer::is_expected(addresses) {
        return true;
    }
    if by & BY_PORT != 0 && !port_matches(addresses.local_port, addresses.remote_port) {
        let is_in_front = follow::is_accepted_at(netns, addresses.local_port);
        if is_in_front {
            // The client may be in another network namespace.
            peer::expect_other_end(addresses);
        }
        return is_in_front;
    }
    if by == 0 {
        return !own::is_of(|| (netns, addresses.local_port, addresses.remote_port));
    }
    !by_owner || by & BY_PROCESS != 0 && is_listener(netns, addresses.local_port)
}

/// The current process begins to listen.
#[inline(always)]
pub(crate) fn add_listener(socket: Socket) {
    follow::add_listener(socket);
    if FILTER_BY.load() & BY_PROCESS != 0 && is_process_wanted() {
        let key = listener(socket.netns(), socket.local_port());
        let before = LISTENERS.get_ptr(key).map_or(0, |count| {
            // SAFETY: an element of the map.
            unsafe { *count }
        });
        let _ = LISTENERS.insert(key, before + 1, 0);
        mark_filled(HAS_EXPECTED);
    }
}

/// A socket stops listening.
#[inline(always)]
pub(crate) fn remove_listener(socket: Socket) {
    if FILTER_BY.load() & BY_PROCESS == 0 {
        return;
    }
    let key = listener(socket.netns(), socket.local_port());
    let Some(count) = LISTENERS.get_ptr_mut(key) else {
        return;
    };
    // SAFETY: an element of the map.
    unsafe {
        if *count > 1 {
            *count -= 1;
        } else {
            let _ = LISTENERS.remove(key);
        }
    }
}

#[inline(always)]
fn matches(socket: Socket, new: u8) -> bool {
    let by = FILTER_BY.load();
    if by == 0 {
        return !own::is_of(|| (socket.netns(), socket.local_port(), socket.remote_port()));
    }
    // The other end passed the filter, so this one is traced whatever its own ports are. Before
    // `connect` has chosen a port, it may be anybody's.
    let has_addresses = new != state::SYN_SENT || socket.local_port() != 0;
    if has_addresses && is_filled(HAS_EXPECTED) && peer::is_expected_socket(socket) {
        return true;
    }
    let by_port = by & BY_PORT == 0 || port_matches(socket.local_port(), socket.remote_port());
    if by & BY_PROCESS == 0 {
        let is_wanted = by_port && by != BY_COOKIE || follow::is_in_front(socket);
        if !is_wanted && new == state::SYN_SENT {
            ring::count(&REFUSED, REFUSED_OTHER);
        }
        return is_wanted;
    }
    if new == state::SYN_SENT {
        let by_process = is_process_wanted();
        if !(by_port && by_process) {
            count_refused_connect(by_process);
        }
        return by_port && by_process;
    }
    let by_listener = is_filled(HAS_EXPECTED) && is_listener(socket.netns(), socket.local_port());
    if by_listener && !by_port && new == state::SYN_RECV {
        ring::count(&REFUSED, REFUSED_ACCEPT);
    }
    by_port && by_listener
}

#[inline(always)]
fn count_refused_connect(by_process: bool) {
    let which = if by_process {
        REFUSED_CONNECT
    } else if is_child_of_wanted() {
        REFUSED_CHILD
    } else {
        REFUSED_OTHER
    };
    ring::count(&REFUSED, which);
}

#[inline(always)]
fn port_matches(local: u16, remote: u16) -> bool {
    PORTS.get_ptr(local).is_some() || PORTS.get_ptr(remote).is_some()
}

#[inline(always)]
fn is_listener(netns: u32, port: u16) -> bool {
    LISTENERS.get_ptr(listener(netns, port)).is_some()
}

#[inline(always)]
const fn listener(netns: u32, port: u16) -> Listener {
    Listener {
        netns,
        port: port as u32,
    }
}
