//! A full TCP socket as records describe it: addresses, state and counters.

use core::{ffi::c_void, ptr::addr_of_mut};

use aya_ebpf::{
    bindings::__sk_buff, helpers::generated::bpf_skc_to_tcp_sock, programs::BtfTracePointContext,
};
use tracer_ebpf::record::{Addresses, Counters, closing, state};

use crate::{
    addresses,
    kernel::{
        COMMON_FLAGS, COMMON_STATE, Pointer, SOCK_ACCEPT_QUEUE, SOCK_ACCEPT_QUEUE_LIMIT,
        SOCK_COMMON, SOCK_ERROR, TCP_BYTES_ACKED, TCP_BYTES_RECEIVED, TCP_BYTES_RETRANS,
        TCP_MIN_RTT, TCP_MSS_CLAMP, TCP_PROBES_OUT, TCP_RCV_WSCALE, TCP_REPAIR, TCP_RETRANSMITS,
        TCP_SACK_OK, TCP_SND_CWND, TCP_SND_WND, TCP_SND_WSCALE, TCP_SPORT, TCP_SRTT,
        TCP_TOTAL_RETRANS, TCP_TSTAMP_OK, TCP_USER_TIMEOUT, TCP_WSCALE_OK,
    },
    sock::Traced,
};

/// A full TCP socket: `struct tcp_sock`, which begins with its `struct sock`.
//
// Never the tracepoint's own argument. It is a trusted pointer, and for each pointer that is loaded through one, the
// verifier searches all types of the kernel, again for each way that leads there (`btf_nested_type_is_trusted`, Linux 6.2).
#[derive(Clone, Copy)]
pub(crate) struct Socket(Pointer);

impl Socket {
    /// The tracepoint's argument `n`, if it is a full TCP socket: not MPTCP, not SCTP, not a
    /// request or TIME_WAIT mini-socket (`bpf_skc_to_tcp_sock`, Linux 5.9, is NULL for those).
    #[inline(always)]
    pub(crate) fn from_argument(ctx: &BtfTracePointContext, n: usize) -> Option<Self> {
        let raw: *const c_void = ctx.arg(n);
        if raw.is_null() {
            return None;
        }
        // SAFETY: a tracepoint's argument of type `struct sock *`, or the helper's result.
        unsafe {
            let tcp = Pointer::new(bpf_skc_to_tcp_sock(raw.cast_mut()).cast());
            if tcp.is_null() {
                return None;
            }
            Some(Self(tcp))
        }
    }

    /// The socket that a `cgroup_skb` program was called for, if it is a full one.
    ///
    /// # Safety
    /// `skb` must be the program's context.
    #[inline(always)]
    pub(crate) unsafe fn of_packet(skb: *mut __sk_buff) -> Option<Self> {
        // SAFETY: as the caller promises; the verifier knows the socket's type.
        unsafe {
            let sk = (*skb).__bindgen_anon_2.sk;
            if sk.is_null() {
                return None;
            }
            let tcp = Pointer::new(bpf_skc_to_tcp_sock(sk.cast()).cast());
            if tcp.is_null() {
                return None;
            }
            Some(Self(tcp))
        }
    }

    /// The socket as the filter takes it.
    #[inline(always)]
    pub(crate) const fn sock(self) -> Traced {
        Traced(self.0.as_ptr().cast_mut())
    }

    #[inline(always)]
    pub(crate) fn state(self) -> u8 {
        self.common().load(&COMMON_STATE)
    }

    #[inline(always)]
    pub(crate) fn error(self) -> u32 {
        self.0.load(&SOCK_ERROR)
    }

    /// A listener's accept queue: its length and its limit.
    #[inline(always)]
    pub(crate) fn accept_queue(self) -> (u32, u32) {
        let waiting = self.0.load(&SOCK_ACCEPT_QUEUE);
        (waiting, self.0.load(&SOCK_ACCEPT_QUEUE_LIMIT))
    }

    /// Inode number of the network namespace.
    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        addresses::netns(self.common())
    }

    /// `skc_num` is already 0 when an automatically bound socket enters CLOSE. `inet_sport` remains
    /// then, and while the socket is closed: it is the port of the connection before until `connect` has
    /// chosen another.
    #[inline(always)]
    pub(crate) fn local_port(self) -> u16 {
        let num = addresses::local_port(self.common());
        if num != 0 || self.state() == state::CLOSE {
            return num;
        }
        u16::from_be(self.0.load(&TCP_SPORT))
    }

    /// Whether it is in repair mode: a process restores its state (`TCP_REPAIR`).
    #[inline(always)]
    pub(crate) fn is_in_repair(self) -> bool {
        self.0.load_bits(&TCP_REPAIR) != 0
    }

    #[inline(always)]
    pub(crate) fn remote_port(self) -> u16 {
        addresses::remote_port(self.common())
    }

    /// Whether its peer is in the same network namespace.
    #[inline(always)]
    pub(crate) fn is_peer_here(self) -> bool {
        addresses::is_peer_here(self.common())
    }

    /// # Safety
    /// `into` must be valid for writes.
    #[inline(always)]
    pub(crate) unsafe fn write_addresses(self, into: *mut Addresses) {
        // SAFETY: as the caller promises.
        unsafe {
            addresses::write(self.common(), into);
            addr_of_mut!((*into).local_port).write(self.local_port());
        }
    }

    /// The bits of [`closing`].
    #[inline(always)]
    pub(crate) fn closing(self) -> u16 {
        /// The first of `enum sock_flags`.
        const SOCK_DEAD: u64 = 1;
        let mut bits = closing::KNOWN;
        if self.0.load::<u8>(&TCP_RETRANSMITS) != 0 {
            bits |= closing::RETRANSMITTING;
        }
        if self.0.load::<u8>(&TCP_PROBES_OUT) != 0 {
            bits |= closing::PROBING;
        }
        if self.0.load::<u32>(&TCP_SND_WND) == 0 {
            bits |= closing::ZERO_WINDOW;
        }
        if self.0.load::<u32>(&TCP_USER_TIMEOUT) != 0 {
            bits |= closing::USER_TIMEOUT;
        }
        if self.common().load::<u64>(&COMMON_FLAGS) & SOCK_DEAD != 0 {
            bits |= closing::ORPHAN;
        }
        bits
    }

    /// As `struct tcp_sock`.
    #[inline(always)]
    pub(crate) const fn as_tcp_sock(self) -> Pointer {
        self.0
    }

    #[inline(always)]
    fn common(self) -> Pointer {
        self.0.inner(&SOCK_COMMON)
    }

    /// # Safety
    /// `into` must be valid for writes.
    #[inline(always)]
    pub(crate) unsafe fn write_counters(self, into: *mut Counters) {
        let tcp = self.0;
        // SAFETY: as the caller promises.
        unsafe {
            addr_of_mut!((*into).bytes_retrans).write(tcp.load(&TCP_BYTES_RETRANS));
            addr_of_mut!((*into).bytes_acked).write(tcp.load(&TCP_BYTES_ACKED));
            addr_of_mut!((*into).bytes_received).write(tcp.load(&TCP_BYTES_RECEIVED));
            addr_of_mut!((*into).total_retrans).write(tcp.load(&TCP_TOTAL_RETRANS));
            addr_of_mut!((*into).srtt_us_8).write(tcp.load(&TCP_SRTT));
            addr_of_mut!((*into).min_rtt_us).write(tcp.load(&TCP_MIN_RTT));
            addr_of_mut!((*into).snd_cwnd).write(tcp.load(&TCP_SND_CWND));
            addr_of_mut!((*into).mss_clamp).write(tcp.load(&TCP_MSS_CLAMP));
            addr_of_mut!((*into).timestamps).write(tcp.load_bits(&TCP_TSTAMP_OK));
            addr_of_mut!((*into).sack).write(tcp.load_bits(&TCP_SACK_OK));
            addr_of_mut!((*into).window_scaling).write(tcp.load_bits(&TCP_WSCALE_OK));
            addr_of_mut!((*into).snd_wscale).write(tcp.load_bits(&TCP_SND_WSCALE));
            addr_of_mut!((*into).rcv_wscale).write(tcp.load_bits(&TCP_RCV_WSCALE));
            addr_of_mut!((*into).padding).write(0);
        }
    }
}
