//! Subflows of MPTCP: TCP sockets of the kernel's own, behind the one socket that a process has.

use core::ptr::addr_of_mut;

use aya_ebpf::{Global, bindings::__sk_buff, helpers::generated::bpf_skc_to_mptcp_sock};
use tracer_ebpf::record::{SUBFLOW, Subflow};

use crate::{
    filter,
    kernel::{MPTCP_TOKEN, Pointer},
    ring,
    sock::Traced,
};

/// Whether the kernel has MPTCP (`CONFIG_MPTCP`) and the helper that finds its sockets (Linux 5.19). The
/// verifier rejects a call of a helper that does not exist. Tracing programs may not call it.
#[unsafe(no_mangle)]
static HAS_MPTCP: Global<u8> = Global::new(0);

/// One record where the socket of a packet is a subflow.
#[inline(always)]
pub(crate) fn observe(skb: *mut __sk_buff, cookie: u64) {
    if HAS_MPTCP.load() == 0 {
        return;
    }
    // SAFETY: the program's context; the verifier knows the socket's type. The helper returns NULL for a
    // socket that is no subflow.
    let whole = unsafe {
        let sk = (*skb).__bindgen_anon_2.sk;
        if sk.is_null() {
            return;
        }
        bpf_skc_to_mptcp_sock(sk.cast())
    };
    if whole.is_null() {
        return;
    }
    // SAFETY: the helper's result.
    let token: u32 = unsafe { Pointer::new(whole.cast()) }.load(&MPTCP_TOKEN);
    let Some(first) = filter::remember_whole(Traced(whole.cast()), cookie) else {
        return;
    };
    let Some(mut entry) = ring::reserve::<Subflow>(SUBFLOW, cookie) else {
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the reserved entry; every field after the header is written.
    unsafe {
        addr_of_mut!((*record).first).write(first);
        addr_of_mut!((*record).token).write(token);
        addr_of_mut!((*record).padding).write(0);
    }
    ring::send(entry);
}
