//! `tcp_probe` (Linux 4.16; `(struct sock *sk, struct sk_buff *skb)`): a segment reached a socket in ESTABLISHED
//! (`tcp_rcv_established`), and is not processed yet.

use core::ptr::addr_of_mut;

use aya_ebpf::{
    helpers::generated::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use tracer_ebpf::{
    filter::Remembered,
    record::{SAMPLE, SAMPLED_FROM_BYTES, Sample},
};

use crate::{
    filter,
    kernel::{
        TCP_BYTES_ACKED, TCP_BYTES_RECEIVED, TCP_MSS_CACHE, TCP_RCV_WND, TCP_RCV_WSCALE,
        TCP_SND_CWND, TCP_SND_NXT, TCP_SND_UNA, TCP_SND_WND, TCP_SRTT, TCP_TOTAL_RETRANS,
    },
    ring,
    sock::Sock as _,
    socket::Socket,
};

/// Least time between two samples of a socket: this, …
const PERIOD_NS: u64 = 200_000;
/// … or this part of the time since the first of them. So there are at most about 256 · ln(T) in a time T.
const PERIOD_SHARE: u64 = 256;
/// A socket that was silent for so long begins anew: what follows is another upload.
const SILENCE_NS: u64 = 1_000_000_000;

/// A record of a traced socket that carries much, now and then. A run that the kernel skips costs nothing: the next
/// segment is sampled.
#[btf_tracepoint]
pub(crate) fn tracer_sample(ctx: BtfTracePointContext) -> i32 {
    if let Some(socket) = Socket::from_argument(&ctx, 0)
        && let Some(remembered) = filter::remembered(socket.sock())
    {
        // SAFETY: a value of `SOCKETS`.
        unsafe { observe(socket, remembered) };
    }
    0
}

/// # Safety
/// `remembered` must be a value of `SOCKETS`.
#[inline(always)]
unsafe fn observe(socket: Socket, remembered: *mut Remembered) {
    let tcp = socket.as_tcp_sock();
    if tcp.load::<u64>(&TCP_BYTES_ACKED) < SAMPLED_FROM_BYTES
        && tcp.load::<u64>(&TCP_BYTES_RECEIVED) < SAMPLED_FROM_BYTES
    {
        return;
    }
    // SAFETY: as the caller promises.
    unsafe {
        let sampling = addr_of_mut!((*remembered).sampling);
        let now = bpf_ktime_get_ns();
        let waited_ns = now.saturating_sub((*sampling).latest_ns);
        let share_ns = now.saturating_sub((*sampling).first_ns) / PERIOD_SHARE;
        let period_ns = if share_ns > PERIOD_NS {
            share_ns
        } else {
            PERIOD_NS
        };
        let is_first = (*sampling).latest_ns == 0;
        if !is_first && waited_ns < period_ns {
            return;
        }
        if is_first || waited_ns >= period_ns + SILENCE_NS {
            (*sampling).first_ns = now;
        }
        (*sampling).latest_ns = now;
    }
    submit(socket);
}

/// A socket that was sampled has changed its state: what it came to.
///
/// # Safety
/// `remembered` must be a value of `SOCKETS`.
#[inline(always)]
pub(crate) unsafe fn changed(socket: Socket, remembered: *mut Remembered) {
    // SAFETY: as the caller promises.
    if unsafe { (*remembered).sampling.latest_ns } != 0 {
        submit(socket);
    }
}

#[inline(always)]
fn submit(socket: Socket) {
    let Some(mut entry) = ring::reserve::<Sample>(SAMPLE, socket.sock().cookie()) else {
        return;
    };
    let record = entry.as_mut_ptr();
    let tcp = socket.as_tcp_sock();
    let sent: u32 = tcp.load(&TCP_SND_NXT);
    let acked: u32 = tcp.load(&TCP_SND_UNA);
    // SAFETY: the reserved entry; every field after the header is written.
    unsafe {
        addr_of_mut!((*record).bytes_acked).write(tcp.load(&TCP_BYTES_ACKED));
        addr_of_mut!((*record).bytes_received).write(tcp.load(&TCP_BYTES_RECEIVED));
        addr_of_mut!((*record).in_flight).write(sent.wrapping_sub(acked));
        addr_of_mut!((*record).peer_window).write(tcp.load(&TCP_SND_WND));
        addr_of_mut!((*record).own_window).write(own_window(socket));
        addr_of_mut!((*record).snd_cwnd).write(tcp.load(&TCP_SND_CWND));
        addr_of_mut!((*record).mss).write(tcp.load(&TCP_MSS_CACHE));
        addr_of_mut!((*record).srtt_us_8).write(tcp.load(&TCP_SRTT));
        addr_of_mut!((*record).total_retrans).write(tcp.load(&TCP_TOTAL_RETRANS));
        addr_of_mut!((*record).padding).write(0);
    }
    ring::send(entry);
}

/// Without window scaling, the segment has no room for more than 65,535 bytes, whatever `rcv_wnd` is.
#[inline(always)]
fn own_window(socket: Socket) -> u32 {
    let tcp = socket.as_tcp_sock();
    let window: u32 = tcp.load(&TCP_RCV_WND);
    let most = 0xffff_u32 << (tcp.load_bits(&TCP_RCV_WSCALE) & 15);
    if window > most { most } else { window }
}
