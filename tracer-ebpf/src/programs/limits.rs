//! What held a socket back: the time between two of its segments belongs to the limit that ruled then.
//! It is read off `struct tcp_sock` at the second segment, before the kernel has processed it.
//!
//! `cgroup_skb` runs for a leaving segment before `snd_nxt` moves (`tcp_event_new_data_sent`), and for an
//! arriving one before its acknowledgment is processed (`tcp_filter`). So the state is still that of the
//! stretch which the segment ends.
//!
//! Two segments of opposite directions may be evaluated on two CPUs at once. A stretch is then counted
//! twice or not at all; it is as short as that coincidence.

mod buffers;
mod processor;
mod receiver;
mod sender;

use core::ptr::addr_of_mut;

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_ktime_get_ns};
use tracer_ebpf::{
    filter::{Limits, Remembered},
    record::{self, EGRESS, END, Gauges, INGRESS, LIMITS, LimitTimes, PERIOD, Passed, TURN},
};

pub(crate) use self::processor::sent;
use crate::{
    kernel::{
        SOCK_RCVBUF, SOCK_SNDBUF, TCP_COPIED_SEQ, TCP_DSACK_DUPS, TCP_MIN_RTT, TCP_MSS_CACHE,
        TCP_OUT_OF_ORDER, TCP_RCV_NXT, TCP_SND_CWND, TCP_SND_UNA, TCP_TOTAL_RETRANS, TCP_WRITE_SEQ,
    },
    memory, ring,
    sock::{OfPacket, Sock as _},
    socket::Socket,
};

/// A socket is evaluated at most this often.
const EVERY_NS: u64 = 200_000;
/// Least time between two records of a socket, where payload changes its direction …
const TURN_NS: u64 = 10_000_000;
/// … and where it does not, or this part of the time since its first segment.
const PERIOD_NS: u64 = 100_000_000;
const PERIOD_SHARE: u64 = 64;

/// A segment that passes.
#[derive(Clone, Copy)]
pub(crate) struct Passing {
    pub(crate) direction: u8,
    pub(crate) payload: u32,
    pub(crate) is_fin: bool,
    /// Payload changes its direction with it.
    pub(crate) turns: bool,
    /// CLOCK_MONOTONIC.
    pub(crate) now: u64,
}

impl Passing {
    /// Whether something leaves that counts in `write_seq`: payload or a FIN.
    const fn leaves(self) -> bool {
        self.direction == EGRESS && (self.payload != 0 || self.is_fin)
    }
}

/// A mark of [`observe_apart`]: [`Passing::is_fin`].
const IS_FIN: u64 = 1 << 0;
/// A mark of [`observe_apart`]: [`Passing::turns`].
const TURNS: u64 = 1 << 1;

/// Observes a segment of a traced socket.
///
/// # Safety
/// `remembered` must be a value of `SOCKETS`.
#[inline(always)]
pub(crate) unsafe fn observe(sock: OfPacket, remembered: *mut Remembered, passing: Passing) {
    let fin = if passing.is_fin { IS_FIN } else { 0 };
    let turn = if passing.turns { TURNS } else { 0 };
    let (now, payload, marks) = (passing.now, u64::from(passing.payload), fin | turn);
    if passing.direction == EGRESS {
        tracer_limits_out(sock.0, remembered, now, payload, marks);
    } else {
        tracer_limits_in(sock.0, remembered, now, payload, marks);
    }
}

/// A segment leaves. As `tracer_comm`, this is a global function, which has a result.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tracer_limits_out(
    skb: *mut __sk_buff,
    remembered: *mut Remembered,
    now: u64,
    payload: u64,
    marks: u64,
) -> u32 {
    observe_apart::<EGRESS>(skb, remembered, now, payload, marks);
    0
}

/// A segment arrives.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tracer_limits_in(
    skb: *mut __sk_buff,
    remembered: *mut Remembered,
    now: u64,
    payload: u64,
    marks: u64,
) -> u32 {
    observe_apart::<INGRESS>(skb, remembered, now, payload, marks);
    0
}

#[inline(always)]
fn observe_apart<const DIRECTION: u8>(
    skb: *mut __sk_buff,
    remembered: *mut Remembered,
    now: u64,
    payload: u64,
    marks: u64,
) {
    // The verifier takes an argument of a global function for one that may be NULL.
    if remembered.is_null() {
        return;
    }
    let sock = OfPacket(skb);
    let passing = Passing {
        direction: DIRECTION,
        payload: payload as u32,
        is_fin: marks & IS_FIN != 0,
        turns: marks & TURNS != 0,
        now,
    };
    // SAFETY: as the caller of `observe` promises.
    unsafe {
        let limits = addr_of_mut!((*remembered).limits);
        let arrives = passing.direction == INGRESS && passing.payload != 0;
        let waited_ns = since(now, (*limits).sender_ns);
        let is_due = waited_ns >= EVERY_NS;
        if arrives
            && !(is_due || since(now, (*limits).receiver_ns) >= EVERY_NS || passing.turns)
            && is_silent(remembered)
        {
            // Nothing is in flight, and nothing left since: there is nothing to ask the kernel for.
            receiver::arrived(limits, passing);
            return;
        }
        let Some(socket) = Socket::of_packet(sock.0) else {
            return;
        };
        let written_before = (*limits).write_seq;
        let write_seq: u32 = socket.as_tcp_sock().load(&TCP_WRITE_SEQ);
        (*limits).write_seq = write_seq;
        // What is sent again was given before.
        let gave = passing.leaves() && sender::unsent(socket, write_seq) > 0;
        if (*limits).sender_ns == 0 {
            (*limits).first_ns = now;
            (*limits).submitted_ns = now;
            (*limits).sender_ns = now;
        } else if is_due {
            (*limits).sender_ns = now;
            // What the process had given while nothing passed.
            let written = if gave { written_before } else { write_seq };
            sender::waited(socket, limits, written, gave, waited_ns);
            if passing.direction == INGRESS {
                sender::sample_rtt(socket, limits);
            }
        }
        if gave && passing.payload != 0 {
            sender::decide(remembered, now);
        }
        if passing.direction == INGRESS {
            if arrives {
                receiver::waited(socket, limits, now);
            }
            receiver::arrived(limits, passing);
        }
        if is_due || passing.turns {
            submit_in_time(sock, socket, limits, passing);
        }
    }
}

/// From `then` to `now`: 0 where the other direction's program, on another CPU, has read the clock later.
#[inline(always)]
const fn since(now: u64, then: u64) -> u64 {
    now.saturating_sub(then)
}

/// Whether nothing was in flight at the latest evaluation, and no payload left since.
///
/// # Safety
/// `remembered` must be a value of `SOCKETS`.
#[inline(always)]
unsafe fn is_silent(remembered: *mut Remembered) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        let left = addr_of_mut!((*remembered).passed)
            .cast::<Passed>()
            .add(EGRESS as usize);
        (*remembered).limits.in_flight == 0 && (*left).last_ns < (*remembered).limits.sender_ns
    }
}

/// A segment leaves, and with it, perhaps, the news of a larger window.
///
/// # Safety
/// `skb` must be the program's context, `remembered` a value of `SOCKETS`.
#[inline(always)]
pub(crate) unsafe fn window_opens(skb: *mut __sk_buff, remembered: *mut Remembered) {
    // SAFETY: as the caller promises.
    unsafe {
        let limits = addr_of_mut!((*remembered).limits);
        if ((*limits).has_arrived != 0 || (*limits).window_used == 1)
            && let Some(socket) = Socket::of_packet(skb)
        {
            (*limits).has_arrived = 0;
            receiver::window_opens(socket, limits);
        }
    }
}

/// Submits a record where one is due.
///
/// # Safety
/// `limits` must be valid.
#[inline(always)]
unsafe fn submit_in_time(sock: OfPacket, socket: Socket, limits: *mut Limits, passing: Passing) {
    // SAFETY: as the caller promises.
    unsafe {
        let waited_ns = since(passing.now, (*limits).submitted_ns);
        let age_ns = since(passing.now, (*limits).first_ns);
        let occasion = if passing.turns && waited_ns >= TURN_NS {
            TURN
        } else if waited_ns >= PERIOD_NS && waited_ns >= age_ns / PERIOD_SHARE {
            PERIOD
        } else {
            return;
        };
        submit(socket, limits, [occasion, passing.direction], sock.cookie());
    }
}

/// A process read from the socket.
///
/// # Safety
/// `remembered` must be a value of `SOCKETS`.
#[inline(always)]
pub(crate) unsafe fn read(remembered: *mut Remembered) {
    // SAFETY: as the caller promises.
    unsafe {
        let limits = addr_of_mut!((*remembered).limits);
        let now = bpf_ktime_get_ns();
        (*limits).read_ns = now;
        if (*limits).is_queued != 0 {
            (*limits).is_queued = 0;
            (*limits).accepted_ns = now;
        }
    }
}

/// The socket enters CLOSE. Not worth a record if it was open for less than a period: too short to be
/// held back.
///
/// # Safety
/// `remembered` must be a value of `SOCKETS`.
#[inline(always)]
pub(crate) unsafe fn end(socket: Socket, remembered: *mut Remembered) {
    // SAFETY: as the caller promises.
    unsafe {
        let limits = addr_of_mut!((*remembered).limits);
        let last = if (*limits).sender_ns > (*limits).receiver_ns {
            (*limits).sender_ns
        } else {
            (*limits).receiver_ns
        };
        if since(last, (*limits).first_ns) >= PERIOD_NS && last > (*limits).submitted_ns {
            submit(socket, limits, [END, 0], socket.sock().cookie());
        }
    }
}

/// How long before the record that is submitted now.
///
/// # Safety
/// `limits` must be valid.
#[inline(always)]
unsafe fn accepted_before_us(limits: *mut Limits) -> u32 {
    // SAFETY: as the caller promises.
    unsafe {
        let at = (*limits).accepted_ns;
        let before_us = since((*limits).submitted_ns, at) / 1000;
        if at == 0 {
            0
        } else if before_us >= u64::from(u32::MAX) {
            u32::MAX
        } else {
            before_us as u32 + 1
        }
    }
}

/// # Safety
/// `limits` must be valid.
#[inline(never)]
unsafe fn submit(socket: Socket, limits: *mut Limits, [occasion, direction]: [u8; 2], cookie: u64) {
    let Some(mut entry) = ring::reserve::<record::Limits>(LIMITS, cookie) else {
        return;
    };
    let record = entry.as_mut_ptr();
    let tcp = socket.as_tcp_sock();
    // SAFETY: as the caller promises, and the reserved entry; every field after the header is written.
    unsafe {
        (*limits).submitted_ns = bpf_ktime_get_ns();
        memory::copy::<LimitTimes>(addr_of_mut!((*limits).times), addr_of_mut!((*record).times));
        let gauges = addr_of_mut!((*limits).gauges);
        memory::copy::<Gauges>(gauges, addr_of_mut!((*record).gauges));
        memory::zero(gauges);
        addr_of_mut!((*record).read_ns).write((*limits).read_ns);
        addr_of_mut!((*record).out_of_order).write(tcp.load(&TCP_OUT_OF_ORDER));
        addr_of_mut!((*record).total_retrans).write(tcp.load(&TCP_TOTAL_RETRANS));
        addr_of_mut!((*record).dsack_dups).write(tcp.load(&TCP_DSACK_DUPS));
        addr_of_mut!((*record).min_rtt_us).write(tcp.load(&TCP_MIN_RTT));
        addr_of_mut!((*record).snd_cwnd).write(tcp.load(&TCP_SND_CWND));
        addr_of_mut!((*record).mss).write(tcp.load(&TCP_MSS_CACHE));
        let written: u32 = tcp.load(&TCP_WRITE_SEQ);
        let received: u32 = tcp.load(&TCP_RCV_NXT);
        addr_of_mut!((*record).unacknowledged).write(written.wrapping_sub(tcp.load(&TCP_SND_UNA)));
        addr_of_mut!((*record).unread).write(received.wrapping_sub(tcp.load(&TCP_COPIED_SEQ)));
        addr_of_mut!((*record).send_buffer).write(tcp.load(&SOCK_SNDBUF));
        addr_of_mut!((*record).receive_buffer).write(tcp.load(&SOCK_RCVBUF));
        addr_of_mut!((*record).fixed_buffers).write(buffers::fixed(socket));
        addr_of_mut!((*record).occasion).write(occasion);
        addr_of_mut!((*record).direction).write(direction);
        addr_of_mut!((*record).padding).write(0);
        addr_of_mut!((*record).gauges.accepted_before_us).write(accepted_before_us(limits));
        addr_of_mut!((*record).processor_ms).write(((*limits).processor_ns / 1_000_000) as u32);
    }
    ring::send(entry);
}

/// # Safety
/// `gauge` must be valid.
#[inline(always)]
unsafe fn raise(gauge: *mut u32, value: u32) {
    // SAFETY: as the caller promises.
    unsafe {
        if value > *gauge {
            *gauge = value;
        }
    }
}
