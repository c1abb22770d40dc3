//! What the receiver of a socket saw.

use core::ptr::addr_of_mut;

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use tracer_ebpf::{filter::Limits, record::receiver as seen};

use super::{EVERY_NS, Passing, raise, since};
use crate::{
    kernel::{
        TCP_COPIED_SEQ, TCP_MIN_RTT, TCP_MSS_CACHE, TCP_NUM_SACKS, TCP_RCV_MSS, TCP_RCV_NXT,
        TCP_RCV_TSVAL, TCP_RCV_WND, TCP_RCV_WSCALE, TCP_RCV_WUP, TCP_SRTT,
    },
    socket::Socket,
};

/// A window that is opened later than this after it was used up was closed by an unread queue.
const PROMPT_NS: u64 = 1_000_000;
/// The least retransmission time-out (`TCP_RTO_MIN`).
const OUTAGE_NS: u64 = 200_000_000;

/// Up to where the peer may send: what it was told last. Without window scaling it cannot be told of more than
/// 65,535 bytes, whatever `rcv_wnd` is.
#[inline(always)]
fn window_end(socket: Socket) -> u32 {
    let tcp = socket.as_tcp_sock();
    let window: u32 = tcp.load(&TCP_RCV_WND);
    let most = 0xffff_u32 << (tcp.load_bits(&TCP_RCV_WSCALE) & 15);
    let window = if window > most { most } else { window };
    tcp.load::<u32>(&TCP_RCV_WUP).wrapping_add(window)
}

/// How much a window with this end still has room for; 0 if it has none.
#[inline(always)]
fn room(end: u32, received: u32) -> u32 {
    let left = end.wrapping_sub(received) as i32;
    if left > 0 { left as u32 } else { 0 }
}

/// A segment leaves that may open the window. If there was room for less than two segments before, what had
/// arrived used the window up.
///
/// # Safety
/// `limits` must be valid.
#[inline(always)]
pub(super) unsafe fn window_opens(socket: Socket, limits: *mut Limits) {
    // SAFETY: as the caller promises.
    unsafe {
        let tcp = socket.as_tcp_sock();
        let (before, end) = ((*limits).window_end, window_end(socket));
        (*limits).window_end = end;
        let received: u32 = tcp.load(&TCP_RCV_NXT);
        let little = 2 * tcp.load::<u32>(&TCP_MSS_CACHE);
        if before == 0 || (*limits).receiver_ns == 0 || room(before, received) >= little {
            return;
        }
        if (*limits).window_used == 0 {
            (*limits).gauges.windows_used += 1;
        }
        (*limits).window_used = 1;
        if room(end, received) < little {
            return;
        }
        let now = bpf_ktime_get_ns();
        let closed = since(now, (*limits).receiver_ns);
        let limit = if closed > PROMPT_NS {
            seen::NOT_READ
        } else {
            seen::WINDOW
        };
        add(limits, limit, closed);
        (*limits).window_used = 2;
        (*limits).receiver_ns = now;
    }
}

/// A segment arrived.
///
/// # Safety
/// `limits` must be valid.
#[inline(always)]
pub(super) unsafe fn arrived(limits: *mut Limits, passing: Passing) {
    // SAFETY: as the caller promises.
    unsafe {
        (*limits).arrived_ns = passing.now;
        if passing.payload != 0 {
            (*limits).arrived_bytes = passing.payload;
            (*limits).has_arrived = 1;
            (*limits).window_used = 0;
        }
    }
}

/// Payload arrives: adds the time since it did last to what the receiver saw.
///
/// # Safety
/// `limits` must be valid.
#[inline(never)]
pub(super) unsafe fn waited(socket: Socket, limits: *mut Limits, now: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        let tcp = socket.as_tcp_sock();
        let last = (*limits).receiver_ns;
        if last == 0 {
            (*limits).receiver_ns = now;
            return;
        }
        let ns = since(now, last);
        if ns < EVERY_NS {
            return;
        }
        (*limits).receiver_ns = now;
        measure_delay(socket, limits);
        let received: u32 = tcp.load(&TCP_RCV_NXT);
        let unread = received.wrapping_sub(tcp.load(&TCP_COPIED_SEQ));
        let left = room(window_end(socket), received);
        raise(addr_of_mut!((*limits).gauges.max_unread), unread);
        raise(addr_of_mut!((*limits).gauges.max_room), left);
        let half_rtt_ns = u64::from(tcp.load::<u32>(&TCP_SRTT) >> 3) * 500;
        let gap_ns = if half_rtt_ns > 500_000 {
            half_rtt_ns
        } else {
            500_000
        };
        let late_by_ms = least_of_two(limits);
        let quarter_rtt_ms = tcp.load::<u32>(&TCP_MIN_RTT) / 4000;
        let late_ms = if quarter_rtt_ms > 3 {
            quarter_rtt_ms
        } else {
            3
        };
        let full = u32::from(tcp.load::<u16>(&TCP_RCV_MSS));
        let ended_short = full != 0 && !(*limits).arrived_bytes.is_multiple_of(full);
        let limit = if tcp.load::<u8>(&TCP_NUM_SACKS) != 0 {
            seen::HOLE
        } else if unread > left || (*limits).window_used != 0 && unread > left / 2 {
            seen::NOT_READ
        } else if (*limits).window_used == 1 || (*limits).window_used == 2 && ns <= 4 * gap_ns {
            // Two round trips after the window was opened, a sender that had something has sent it.
            seen::WINDOW
        } else if ns > gap_ns && ended_short {
            seen::SENDER_GAP
        } else if ns > gap_ns * 8 && ns > OUTAGE_NS {
            seen::OUTAGE
        } else if late_by_ms > late_ms {
            seen::LATE
        } else if ns > gap_ns {
            seen::GAP
        } else {
            seen::FLOW
        };
        add(limits, limit, ns);
    }
}

/// How much longer than the fastest the latest segment with a timestamp was on its way. The peer's clock
/// is taken to count milliseconds, as Linux's does; the delay stays unknown where it runs much slower.
/// One that runs faster never shows a delay.
///
/// # Safety
/// `limits` must be valid.
#[inline(always)]
unsafe fn measure_delay(socket: Socket, limits: *mut Limits) {
    // SAFETY: as the caller promises.
    unsafe {
        let arrived_before = (*limits).arrived_ns;
        let tsval: u32 = socket.as_tcp_sock().load(&TCP_RCV_TSVAL);
        if arrived_before == 0 || tsval == 0 {
            return;
        }
        let arrived_ms = arrived_before / 1_000_000;
        let delay = arrived_ms.wrapping_sub(u64::from(tsval)) & 0xffff_ffff;
        if (*limits).first_arrived_ms == 0 {
            (*limits).first_arrived_ms = arrived_ms;
            (*limits).first_tsval = tsval;
            (*limits).least_delay_ms = delay;
        }
        let beyond = delay.wrapping_sub((*limits).least_delay_ms) & 0xffff_ffff;
        if beyond > 0x8000_0000 {
            (*limits).least_delay_ms = delay;
            (*limits).delay_ms = 0;
            return;
        }
        let here = since(arrived_ms, (*limits).first_arrived_ms);
        let there = u64::from(tsval.wrapping_sub((*limits).first_tsval));
        let beyond = if 2 * there >= here { beyond as u32 } else { 0 };
        raise(addr_of_mut!((*limits).gauges.max_delay_ms), beyond);
        let round_ms = socket.as_tcp_sock().load::<u32>(&TCP_MIN_RTT) / 1000;
        if (arrived_ms as u32).wrapping_sub((*limits).round_ms) > round_ms {
            (*limits).round_ms = arrived_ms as u32;
            (*limits).delay_before_ms = (*limits).delay_ms;
            (*limits).delay_ms = beyond;
        } else if beyond < (*limits).delay_ms {
            (*limits).delay_ms = beyond;
        }
    }
}

/// By how much everything was late in the last two round trips: a queue delays it all, jitter a part.
///
/// # Safety
/// `limits` must be valid.
#[inline(always)]
unsafe fn least_of_two(limits: *mut Limits) -> u32 {
    // SAFETY: as the caller promises.
    unsafe {
        let (now, before) = ((*limits).delay_ms, (*limits).delay_before_ms);
        if now < before { now } else { before }
    }
}

/// # Safety
/// `limits` must be valid, and `limit` one of [`seen`].
#[inline(always)]
unsafe fn add(limits: *mut Limits, limit: usize, ns: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        let time = addr_of_mut!((*limits).times.receiver)
            .cast::<u64>()
            .add(limit);
        *time += ns;
    }
}
