//! A socket as each kind of program receives it. It gives the key of the socket storage and the
//! cookie, before anything else is read.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock},
    helpers::generated::bpf_get_socket_cookie,
};

pub(crate) trait Sock: Copy {
    /// The argument for `bpf_sk_storage_get`; may be NULL.
    fn key(self) -> *mut c_void;
    /// The kernel makes the cookie when it is first asked for.
    fn cookie(self) -> u64;
}

/// A tracepoint's argument of type `struct sock *`, not NULL.
#[derive(Clone, Copy)]
pub(crate) struct Traced(pub(crate) *mut c_void);

impl Sock for Traced {
    #[inline(always)]
    fn key(self) -> *mut c_void {
        self.0
    }

    #[inline(always)]
    fn cookie(self) -> u64 {
        // SAFETY: the kernel's socket.
        unsafe { bpf_get_socket_cookie(self.0) }
    }
}

/// The socket that a packet comes from or goes to.
#[derive(Clone, Copy)]
pub(crate) struct OfPacket(pub(crate) *mut __sk_buff);

impl Sock for OfPacket {
    #[inline(always)]
    fn key(self) -> *mut c_void {
        // SAFETY: the program's context.
        unsafe { (*self.0).__bindgen_anon_2.sk.cast() }
    }

    #[inline(always)]
    fn cookie(self) -> u64 {
        // SAFETY: the program's context.
        unsafe { bpf_get_socket_cookie(self.0.cast()) }
    }
}

/// The context of a `cgroup/sock` program.
#[derive(Clone, Copy)]
pub(crate) struct OfCgroup(pub(crate) *mut bpf_sock);

impl Sock for OfCgroup {
    #[inline(always)]
    fn key(self) -> *mut c_void {
        self.0.cast()
    }

    #[inline(always)]
    fn cookie(self) -> u64 {
        // SAFETY: the program's context.
        unsafe { bpf_get_socket_cookie(self.0.cast()) }
    }
}
