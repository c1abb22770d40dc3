//! What the sender of a socket was limited by.

use core::ptr::addr_of_mut;

use tracer_ebpf::{
    filter::{Limits, Remembered},
    record::{INGRESS, Passed, sender as limit},
};

use super::{raise, since};
use crate::{
    kernel::{
        Pointer, SOCK_PACING_RATE, SOCK_PACING_STATUS, SOCK_SOCKET, SOCK_WMEM_ALLOC, SOCKET_FLAGS,
        TCP_CA_STATE, TCP_CHRONO_TYPE, TCP_LOST_OUT, TCP_MSS_CACHE, TCP_NONAGLE, TCP_PACKETS_OUT,
        TCP_RETRANS_OUT, TCP_SACKED_OUT, TCP_SND_CWND, TCP_SND_NXT, TCP_SND_WND, TCP_SRTT,
    },
    socket::Socket,
};

/// Payload that leaves within this time of payload that arrived answers it, or within this part of the
/// time for which nothing had left.
const ANSWER_NS: u64 = 2_000_000;
const ANSWER_SHARE: u64 = 8;

/// `enum tcp_ca_state`: part of the kernel's ABI (`tcpi_ca_state`).
const CA_RECOVERY: u8 = 3;
const CA_LOSS: u8 = 4;
/// `enum tcp_chrono`.
const CHRONO_RWND_LIMITED: u8 = 2;
/// The bit `SOCK_NOSPACE` of `struct socket::flags`.
const NO_SPACE: u64 = 1 << 2;
/// Queues of this machine are long if they hold more than what the sender's rate makes of this part of a second, as a
/// shift: 4 ms, longer than a network card takes to free what it has sent.
const QUEUE_SHIFT: u32 = 8;
/// `SK_PACING_FQ`: such a queue holds segments back for as long as the rate demands.
const PACED_BY_QUEUE: u32 = 2;
/// `TCP_NAGLE_CORK`.
const CORK: u8 = 2;

/// How much the kernel has not sent of what was written up to here.
#[inline(always)]
pub(super) fn unsent(socket: Socket, written: u32) -> i32 {
    written.wrapping_sub(socket.as_tcp_sock().load(&TCP_SND_NXT)) as i32
}

/// Adds a stretch of `ns` to what the sender was limited by. `written` is up to where the process had
/// written meanwhile.
///
/// # Safety
/// `limits` must be valid.
#[inline(never)]
pub(super) unsafe fn waited(
    socket: Socket,
    limits: *mut Limits,
    written: u32,
    gave: bool,
    ns: u64,
) {
    // SAFETY: as the caller promises.
    unsafe {
        let tcp = socket.as_tcp_sock();
        let in_flight: u32 = tcp.load(&TCP_PACKETS_OUT);
        let peer_window: u32 = tcp.load(&TCP_SND_WND);
        let mss: u32 = tcp.load(&TCP_MSS_CACHE);
        raise(addr_of_mut!((*limits).gauges.max_peer_window), peer_window);
        raise(addr_of_mut!((*limits).gauges.max_in_flight), in_flight);
        let holder = tcp.follow(&SOCK_SOCKET);
        let is_full = !holder.is_null() && holder.load::<u64>(&SOCKET_FLAGS) & NO_SPACE != 0;
        // A socket has a `struct socket` once it is accepted (`sock_graft`).
        let is_queued = Pointer::has(&SOCK_SOCKET) && holder.is_null();
        if !is_queued && (*limits).is_queued != 0 {
            (*limits).accepted_ns = (*limits).sender_ns;
        }
        (*limits).is_queued = u8::from(is_queued && (*limits).accepted_ns == 0);
        let was_full = (*limits).buffer_full != 0;
        (*limits).buffer_full = u8::from(is_full);
        (*limits).in_flight = u8::from(in_flight != 0);
        let pacing = tcp.load::<u32>(&SOCK_PACING_STATUS);
        if !gave {
            (*limits).has_queue = u8::from(pacing != PACED_BY_QUEUE && is_queue_long(tcp));
        }
        let unsent = unsent(socket, written);
        let ca_state = tcp.load_bits(&TCP_CA_STATE);
        if ca_state == CA_LOSS {
            return add(limits, limit::TIMEOUT, ns);
        }
        if ca_state == CA_RECOVERY {
            return add(limits, limit::RECOVERY, ns);
        }
        if unsent <= 0 {
            // The process that has just given something had found room before.
            if if gave { was_full } else { is_full } {
                add(limits, limit::SEND_BUFFER, ns);
            } else if in_flight == 0 {
                (*limits).times.undecided[limit::IDLE] += ns;
            } else {
                (*limits).times.undecided[limit::APPLICATION] += ns;
            }
            return;
        }
        if tcp.load_bits(&TCP_CHRONO_TYPE) == CHRONO_RWND_LIMITED {
            let limit = if peer_window < mss {
                limit::ZERO_WINDOW
            } else {
                limit::WINDOW
            };
            return add(limits, limit, ns);
        }
        // `tcp_packets_in_flight`.
        let on_the_way = in_flight
            .wrapping_sub(tcp.load::<u32>(&TCP_SACKED_OUT))
            .wrapping_sub(tcp.load::<u32>(&TCP_LOST_OUT))
            .wrapping_add(tcp.load::<u32>(&TCP_RETRANS_OUT));
        let limit = if (*limits).has_queue != 0 {
            limit::QUEUE
        } else if on_the_way >= tcp.load::<u32>(&TCP_SND_CWND) {
            limit::CONGESTION_WINDOW
        } else if (unsent as u32) < mss && in_flight != 0 {
            if tcp.load_bits(&TCP_NONAGLE) & CORK != 0 {
                limit::APPLICATION
            } else {
                limit::NAGLE
            }
        } else if pacing == 0 {
            limit::QUEUE
        } else {
            limit::PACING
        };
        add(limits, limit, ns);
    }
}

/// Whether much of what was sent has not left this machine: queues of its devices count what they hold on the
/// socket (`sk_wmem_alloc`, 1 for none).
#[inline(always)]
fn is_queue_long(sock: Pointer) -> bool {
    let queued = u64::from(sock.load::<u32>(&SOCK_WMEM_ALLOC));
    queued > 1 && queued > sock.load::<u64>(&SOCK_PACING_RATE) >> QUEUE_SHIFT
}

/// # Safety
/// `limits` must be valid.
#[inline(always)]
pub(super) unsafe fn sample_rtt(socket: Socket, limits: *mut Limits) {
    // SAFETY: as the caller promises.
    unsafe {
        let srtt = socket.as_tcp_sock().load::<u32>(&TCP_SRTT) >> 3;
        (*limits).gauges.srtt_sum_us += u64::from(srtt);
        (*limits).gauges.srtt_samples += 1;
    }
}

/// The process has given payload: decides what it waited for.
///
/// # Safety
/// `remembered` must be valid.
#[inline(always)]
pub(super) unsafe fn decide(remembered: *mut Remembered, now: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        let limits = addr_of_mut!((*remembered).limits);
        let idle = (*limits).times.undecided[limit::IDLE];
        let application = (*limits).times.undecided[limit::APPLICATION];
        if idle + application == 0 {
            return;
        }
        let arrived_ns = (*addr_of_mut!((*remembered).passed)
            .cast::<Passed>()
            .add(INGRESS as usize))
        .last_ns;
        let took = since(now, arrived_ns);
        let is_prompt = took < ANSWER_NS || took < (idle + application) / ANSWER_SHARE;
        if arrived_ns != 0 && is_prompt {
            add(limits, limit::LOCKSTEP, idle + application);
        } else {
            add(limits, limit::IDLE, idle);
            add(limits, limit::APPLICATION, application);
        }
        (*limits).times.undecided[limit::IDLE] = 0;
        (*limits).times.undecided[limit::APPLICATION] = 0;
    }
}

/// # Safety
/// `limits` must be valid, and `limit` one of [`limit`].
#[inline(always)]
unsafe fn add(limits: *mut Limits, limit: usize, ns: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        let time = addr_of_mut!((*limits).times.sender)
            .cast::<u64>()
            .add(limit);
        *time += ns;
    }
}
