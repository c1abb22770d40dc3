//! What a server passes on to a Unix socket: a thread reads a request from an accepted TCP socket, and sends it on to
//! a process of the same machine. TCP shows nothing of that. As in `relay`, what a thread read last caused what it
//! sends now; how many bytes it sent until the TCP socket is answered shows whether that was the request.
//!
//! Peers without a name are left out: a socket pair, and the client of a server that answers. So are datagrams, and
//! sockets on which nothing can come back: both are logs.

use core::ptr::addr_of_mut;

use aya_ebpf::{
    EbpfContext as _,
    macros::{fentry, map},
    maps::LruHashMap,
    programs::{BtfTracePointContext, FEntryContext},
};
use tracer_ebpf::record::{UNIX_BYTES, UNIX_RELAY, UnixBytes, UnixRelay};

use crate::{
    kernel::{
        COMMON_FAMILY, CRED_UID, PID_NUMBERS, PID_TASKS, Pointer, SOCK_COMMON, SOCK_PEER_CRED,
        SOCK_PEER_PID, SOCK_SHUTDOWN, SOCK_TYPE, SOCKET_SOCK, TASK_COMM, TASK_PID_LINKS,
        UNIX_ADDRESS, UNIX_ADDRESS_LENGTH, UNIX_ADDRESS_NAME, UNIX_PEER, UPID_NR, offset, read,
    },
    pid_namespace, relay, ring,
    sock::{Sock as _, Traced},
};

/// `AF_UNIX` in `include/linux/socket.h`.
const UNIX: u16 = 1;
/// `SOCK_DGRAM` in `include/linux/net.h`, on every machine but MIPS.
const DATAGRAM: u16 = 2;
/// `RCV_SHUTDOWN` in `include/net/sock.h`.
const RECEIVES_NO_MORE: u8 = 1;
/// `sizeof(sa_family_t)`: where `sun_path` is in `struct sockaddr_un`.
const FAMILY_SIZE: u64 = 2;
/// `PIDTYPE_TGID` in `include/linux/pid.h` (Linux 4.19).
const THREAD_GROUP: u64 = 1;
/// Of `struct hlist_head`, and of `struct hlist_node`.
const LIST_HEAD_SIZE: u64 = 8;
const LIST_NODE_SIZE: u64 = 16;
/// Of so many Unix sockets, the latest first, the bytes are submitted once the TCP socket is answered.
const MAX_SUBMITTED: u32 = 16;

/// What is sent on a Unix socket for a TCP socket that is not answered yet.
#[repr(C)]
#[derive(Clone, Copy)]
struct Serving {
    /// The TCP socket's cookie.
    tcp: u64,
    /// Since the record of the first.
    bytes: u64,
    /// The cookie of the Unix socket that was sent on for it before; 0 for none.
    before: u64,
}

/// By the cookie of the Unix socket. What does not fit into its buffer is sent later, when the thread may have read
/// from others.
#[map]
static SERVING: LruHashMap<u64, Serving> = LruHashMap::with_max_entries(4096, 0);

/// By the cookie of a TCP socket that is not answered yet: that of the Unix socket that was first sent on last for it.
#[map]
static SERVED_BY: LruHashMap<u64, u64> = LruHashMap::with_max_entries(4096, 0);

/// `sock_send_length` (Linux 6.3; `(struct sock *sk, int ret, int flags)`). Returns whether it is a Unix socket.
#[inline(always)]
pub(crate) fn observe(ctx: &BtfTracePointContext) -> bool {
    let raw: *mut core::ffi::c_void = ctx.arg(0);
    if raw.is_null() {
        return false;
    }
    // SAFETY: the tracepoint's argument.
    let sock = unsafe { Pointer::new(raw) };
    if sock.inner(&SOCK_COMMON).load::<u16>(&COMMON_FAMILY) != UNIX {
        return false;
    }
    let sent: i32 = ctx.arg(1);
    if sent > 0 {
        passed_on(sock, sent as u64);
    }
    true
}

/// Before Linux 6.3: `unix_stream_sendmsg` (`(struct socket *sock, struct msghdr *msg, size_t len)`).
#[fentry]
pub(crate) fn tracer_unix_snd(ctx: FEntryContext) -> i32 {
    let ctx = BtfTracePointContext::new(ctx.as_ptr());
    asks(&ctx, ctx.arg(2));
    0
}

/// The same for `sendfile` and `splice`: `unix_stream_sendpage` (`(struct socket *socket, struct page *page, int
/// offset, size_t size, int flags)`, until Linux 6.4).
#[fentry]
pub(crate) fn tracer_unix_pag(ctx: FEntryContext) -> i32 {
    let ctx = BtfTracePointContext::new(ctx.as_ptr());
    asks(&ctx, ctx.arg(3));
    0
}

/// The current thread asks to send so many bytes.
#[inline(always)]
fn asks(ctx: &BtfTracePointContext, bytes: u64) {
    // SAFETY: the function's argument of type `struct socket *`, which is not NULL.
    let sock = unsafe { Pointer::new(ctx.arg(0)) }.follow(&SOCKET_SOCK);
    if !sock.is_null() {
        passed_on(sock, bytes);
    }
}

/// The current thread sends on a Unix socket.
#[inline(always)]
fn passed_on(unix: Pointer, bytes: u64) {
    let Some(latest) = relay::latest() else {
        return;
    };
    let socket = Traced(unix.as_ptr().cast_mut()).cookie();
    if let Some(serving) = SERVING.get_ptr_mut(socket) {
        // SAFETY: an element of the map. Threads that race here miscount what they passed on.
        unsafe {
            if SERVED_BY.get_ptr((*serving).tcp).is_some() {
                (*serving).bytes += bytes;
                return;
            }
        }
    }
    let Some(tcp) = latest.of_server() else {
        return;
    };
    let Some(address) = peer_address(unix) else {
        return;
    };
    let before = SERVED_BY.get_ptr(tcp).map_or(0, |before| {
        // SAFETY: an element of the map.
        unsafe { *before }
    });
    let serving = Serving {
        tcp,
        bytes: 0,
        before,
    };
    let _ = SERVING.insert(socket, serving, 0);
    let _ = SERVED_BY.insert(tcp, socket, 0);
    submit(tcp, socket, bytes, (unix, address));
}

/// A thread answers on the TCP socket, or it is closed.
#[inline(always)]
pub(crate) fn answered(tcp: u64) {
    let Some(latest) = SERVED_BY.get_ptr(tcp) else {
        return;
    };
    // SAFETY: an element of the map.
    let mut socket = unsafe { *latest };
    let _ = SERVED_BY.remove(tcp);
    let mut submitted = 0;
    while submitted < MAX_SUBMITTED && socket != 0 {
        socket = tracer_answer(tcp, socket);
        submitted += 1;
    }
}

/// Submits how many bytes were sent on one Unix socket, whose TCP socket is answered. Returns the cookie of the one that was sent on before it
/// for the same TCP socket; 0 for none. As `tracer_comm`, this is a global function.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tracer_answer(tcp: u64, socket: u64) -> u64 {
    let Some(serving) = SERVING.get_ptr(socket) else {
        return 0;
    };
    // SAFETY: an element of the map.
    let serving = unsafe { *serving };
    if serving.tcp != tcp {
        return 0;
    }
    submit_bytes(tcp, socket, serving.bytes);
    let _ = SERVING.remove(socket);
    serving.before
}

/// The `struct unix_address` of a Unix socket's peer; `None` where that has no name, or can send nothing back.
#[inline(always)]
fn peer_address(unix: Pointer) -> Option<u64> {
    let is_log = unix.load::<u16>(&SOCK_TYPE) == DATAGRAM
        || unix.load::<u8>(&SOCK_SHUTDOWN) & RECEIVES_NO_MORE != 0;
    if is_log || !Pointer::has(&UNIX_PEER) || !Pointer::has(&UNIX_ADDRESS_NAME) {
        return None;
    }
    // A `struct unix_sock` begins with its `struct sock`.
    let peer: u64 = read(unix.as_ptr() as u64 + offset(&UNIX_PEER));
    if peer == 0 {
        return None;
    }
    let address: u64 = read(peer + offset(&UNIX_ADDRESS));
    (address != 0).then_some(address)
}

/// How many bytes follow; even where there are none: the TCP socket is answered.
#[inline(always)]
fn submit_bytes(tcp: u64, socket: u64, bytes: u64) {
    let Some(mut entry) = ring::reserve::<UnixBytes>(UNIX_BYTES, tcp) else {
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the reserved entry; every field after the header is written.
    unsafe {
        addr_of_mut!((*record).socket).write(socket);
        addr_of_mut!((*record).bytes).write(bytes);
    }
    ring::send(entry);
}

#[inline(always)]
fn submit(tcp: u64, socket: u64, bytes: u64, (unix, address): (Pointer, u64)) {
    let Some(mut entry) = ring::reserve::<UnixRelay>(UNIX_RELAY, tcp) else {
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the reserved entry; every field after the header is written.
    unsafe {
        addr_of_mut!((*record).socket).write(socket);
        addr_of_mut!((*record).bytes).write(bytes);
        write_process(unix, record);
        write_name(address, record);
    }
    ring::send(entry);
}

/// The process that made the peer listen.
///
/// # Safety
/// `record` must be valid for writes.
#[inline(always)]
unsafe fn write_process(unix: Pointer, record: *mut UnixRelay) {
    let pid = unix.follow(&SOCK_PEER_PID);
    let number = if pid.is_null() {
        0
    } else if pid_namespace::is_initial() {
        read(pid.as_ptr() as u64 + offset(&PID_NUMBERS) + offset(&UPID_NR))
    } else {
        pid_namespace::shown(pid)
    };
    let mut comm = [0; 2];
    if !pid.is_null() && Pointer::has(&PID_TASKS) && Pointer::has(&TASK_PID_LINKS) {
        let head = pid.as_ptr() as u64 + offset(&PID_TASKS) + THREAD_GROUP * LIST_HEAD_SIZE;
        let node: u64 = read(head);
        if node != 0 {
            let task = node - offset(&TASK_PID_LINKS) - THREAD_GROUP * LIST_NODE_SIZE;
            let name = task + offset(&TASK_COMM);
            comm = [read(name), read(name + 8)];
        }
    }
    let cred = unix.follow(&SOCK_PEER_CRED);
    let uid = if cred.is_null() {
        0
    } else {
        cred.load(&CRED_UID)
    };
    // SAFETY: as the caller promises.
    unsafe {
        addr_of_mut!((*record).pid).write(number);
        addr_of_mut!((*record).uid).write(uid);
        addr_of_mut!((*record).comm)
            .cast::<[u64; 2]>()
            .write_unaligned(comm);
    }
}

/// `sun_path`, with zeros after its end: what the kernel has behind it is nobody's.
///
/// # Safety
/// `record` must be valid for writes.
#[inline(always)]
unsafe fn write_name(address: u64, record: *mut UnixRelay) {
    const WORDS: usize = 27;
    let length: u32 = read(address + offset(&UNIX_ADDRESS_LENGTH));
    let path = address + offset(&UNIX_ADDRESS_NAME) + FAMILY_SIZE;
    let mut left = u64::from(length).saturating_sub(FAMILY_SIZE);
    if left > WORDS as u64 * 4 {
        left = WORDS as u64 * 4;
    }
    // SAFETY: as the caller promises.
    unsafe {
        addr_of_mut!((*record).name_length).write(left as u32);
        let name = addr_of_mut!((*record).name).cast::<u32>();
        let mut word = 0;
        while word < WORDS {
            let there: u32 = if left == 0 {
                0
            } else {
                read(path + word as u64 * 4)
            };
            let kept = if left >= 4 {
                u32::MAX
            } else {
                (1 << (left * 8)) - 1
            };
            name.add(word).write_volatile(there & kept);
            left = left.saturating_sub(4);
            word += 1;
        }
    }
}
