//! What held a sender back, and what its receiver saw, estimated from the segments of a capture: what a kernel
//! measures ([`LimitLog`](super::LimitLog)), as far as headers show it.
//!
//! The time between two segments belongs to the limit that the headers show at the second one. A capture shows
//! cause and effect in their order only near an end: near the sender, what its segments waited for; near the
//! receiver, what it saw arrive.

mod receiver;
mod sender;
mod stamps;
mod vantage;

use tracer_ebpf::record::{Gauges, LimitTimes, Limits};
use upload_protocol::End;
use zerocopy::FromZeros as _;

pub use self::vantage::Vantage;
use self::{receiver::Receiver, sender::Sender};
use crate::core::dialogue::Seen;

/// Least time between two samples, where payload changes its direction …
const TURN_NS: u64 = 10_000_000;
/// … and where it does not, or this part of the time since the first segment.
const PERIOD_NS: u64 = 100_000_000;
const PERIOD_SHARE: u64 = 64;

/// What is known of the payload of one end.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    from: End,
    part: Part,
    tally: Tally,
    first_ns: u64,
    sampled_ns: u64,
    last_payload: End,
}

/// The end that the capture was taken near.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Sender(Sender),
    Receiver(Receiver),
}

/// What is counted so far.
#[derive(Clone, Debug, PartialEq)]
struct Tally {
    times: LimitTimes,
    gauges: Gauges,
    retransmits: u32,
    spurious: u32,
    out_of_order: u32,
    min_rtt_ns: u64,
    /// Whether a round trip was measured since the handshake.
    has_rtt: bool,
    /// The size of a full segment.
    full: u32,
    most_in_flight: u32,
    /// What was in flight when the send buffer was full last; 0 if it never was.
    buffer: u32,
}

/// A retransmission by the timer (RFC 6298).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOut {
    /// How much was acknowledged, in sequence numbers.
    pub acked: u32,
    /// The segment's payload in bytes.
    pub len: u32,
}

/// What a segment shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Whether [`Estimate::add_to`] is due for the end that [`Estimate::end`] names.
    pub is_due: bool,
    pub time_out: Option<TimeOut>,
}

impl Estimate {
    /// Of the payload of an end, from its first segment on. `full` is the size of a full segment.
    #[must_use]
    pub fn new(from: End, vantage: Vantage, full: u32) -> Self {
        let tally = Tally {
            times: LimitTimes::new_zeroed(),
            gauges: Gauges::new_zeroed(),
            retransmits: 0,
            spurious: 0,
            out_of_order: 0,
            min_rtt_ns: vantage.rtt_ns(),
            has_rtt: false,
            full,
            most_in_flight: 0,
            buffer: 0,
        };
        let part = match vantage.is_near(from) {
            true => Part::Sender(Sender::new(vantage.to(from), vantage.rtt_ns())),
            false => Part::Receiver(Receiver::new(vantage.rtt_ns())),
        };
        Self {
            from,
            part,
            tally,
            first_ns: 0,
            sampled_ns: 0,
            last_payload: from,
        }
    }

    /// The end whose kernel would have measured what this estimates.
    #[must_use]
    pub const fn end(&self) -> End {
        match self.part {
            Part::Sender(_) => self.from,
            Part::Receiver(_) => self.from.other(),
        }
    }

    /// Takes a segment after the handshake.
    pub fn observe(&mut self, seen: &Seen) -> Shown {
        let now = seen.mono_ns;
        if self.first_ns == 0 {
            self.first_ns = now;
            self.sampled_ns = now;
        }
        let time_out = match &mut self.part {
            Part::Sender(sender) => sender.observe(seen, self.from, &mut self.tally),
            Part::Receiver(receiver) => {
                receiver.observe(seen, self.from, &mut self.tally);
                None
            }
        };
        let turns = seen.len > 0 && seen.from != self.last_payload;
        if seen.len > 0 {
            self.last_payload = seen.from;
        }
        let waited_ns = now.saturating_sub(self.sampled_ns);
        let age_ns = now.saturating_sub(self.first_ns);
        Shown {
            is_due: turns && waited_ns >= TURN_NS
                || waited_ns >= PERIOD_NS && waited_ns >= age_ns / PERIOD_SHARE,
            time_out,
        }
    }

    /// Whether a sample is due where the connection ends: it was long, and something is new.
    #[must_use]
    pub const fn is_due_at_end(&self, now: u64) -> bool {
        self.first_ns > 0 && now.saturating_sub(self.first_ns) >= PERIOD_NS && now > self.sampled_ns
    }

    /// Adds what is counted so far to a sample of its end. A socket sends and receives: two estimates make one.
    pub fn add_to(&mut self, limits: &mut Limits, now: u64) {
        self.sampled_ns = now;
        let is_sender = matches!(self.part, Part::Sender(_));
        if let Part::Sender(sender) = &mut self.part {
            sender.settle(&mut self.tally);
        }
        let tally = &mut self.tally;
        let gauges = std::mem::replace(&mut tally.gauges, Gauges::new_zeroed());
        let into = &mut limits.gauges;
        if is_sender {
            limits.times.sender = tally.times.sender;
            limits.times.undecided = tally.times.undecided;
            limits.total_retrans = tally.retransmits;
            limits.dsack_dups = tally.spurious;
            limits.send_buffer = tally.buffer;
            into.srtt_sum_us = gauges.srtt_sum_us;
            into.srtt_samples = gauges.srtt_samples;
            into.max_peer_window = gauges.max_peer_window;
            into.max_in_flight = gauges.max_in_flight;
        } else {
            limits.times.receiver = tally.times.receiver;
            limits.out_of_order = tally.out_of_order;
            into.max_unread = gauges.max_unread;
            into.max_room = gauges.max_room;
            into.max_delay_ms = gauges.max_delay_ms;
            into.windows_used = gauges.windows_used;
        }
        limits.mss = tally.full;
        let min_rtt_us = u32::try_from(tally.min_rtt_ns / 1000).unwrap_or(u32::MAX);
        limits.min_rtt_us = match limits.min_rtt_us {
            0 => min_rtt_us,
            known => known.min(min_rtt_us),
        };
        let is_alone = is_sender || limits.times.sender.iter().all(|ns| *ns == 0);
        if into.srtt_samples == 0 && !tally.has_rtt && is_alone {
            // The handshake's. Between two round trips that were measured it is none.
            into.srtt_sum_us = limits.min_rtt_us.into();
            into.srtt_samples = 1;
        }
    }
}

impl Tally {
    fn sent(&mut self, limit: usize, ns: u64) {
        self.times.sender[limit] += ns;
    }

    fn received(&mut self, what: usize, ns: u64) {
        self.times.receiver[what] += ns;
    }

    fn sample_rtt(&mut self, rtt_ns: u64) {
        self.has_rtt = true;
        self.min_rtt_ns = self.min_rtt_ns.min(rtt_ns);
        self.gauges.srtt_sum_us = self.gauges.srtt_sum_us.saturating_add(rtt_ns / 1000);
        self.gauges.srtt_samples = self.gauges.srtt_samples.saturating_add(1);
    }
}

/// Whether a sequence number comes after another, modulo 2^32.
const fn is_after(number: u32, other: u32) -> bool {
    number.wrapping_sub(other).cast_signed() > 0
}

/// From one sequence number to a later one; 0 where it is none.
const fn distance(from: u32, to: u32) -> u32 {
    if is_after(to, from) {
        to.wrapping_sub(from)
    } else {
        0
    }
}

#[cfg(test)]
mod tests;
