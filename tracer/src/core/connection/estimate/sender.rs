//! What a sender was limited by, as its segments and the acknowledgments of its peer show it near its end.

use std::collections::VecDeque;

use tracer_ebpf::record::sender as limit;
use upload_protocol::End;

use super::{Seen, Tally, TimeOut, distance, is_after, stamps::Stamps};

/// Payload that leaves within this time of payload that arrived answers it, or within this part of the time for
/// which nothing had left: as the kernel's programs have it.
const ANSWER_NS: u64 = 2_000_000;
const ANSWER_SHARE: u64 = 8;
/// Payload that leaves within this time of an acknowledgment was released by it.
const RELEASED_NS: u64 = 500_000;
/// Nothing passes for so long before the retransmission timer ends (`TCP_RTO_MIN` is 200 ms).
const TIME_OUT_NS: u64 = 180_000_000;
/// A process that waits for room in its send buffer is woken when a third of it is free (`sk_stream_write_space`).
/// Then at least one part of this many is in flight, …
const LEFT_SHARE: u32 = 16;
/// … and at least one part of this many is not, which is more than a congestion window leaves unused, …
const FREE_SHARE: u32 = 4;
const FREE_SEGMENTS: u32 = 4;
/// … after acknowledgments that released nothing for so long.
const HELD_NS: u64 = 2_000_000;
/// Segments that pass so long after their sender stamped them waited in a queue.
const QUEUED_MS: u64 = 3;
/// Acknowledgments that are under way from the capture to the sender.
const MAX_UNDER_WAY: usize = 64;
/// So many segments of one size in a row are full, where they are smaller than before.
const SAME: u32 = 8;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sender {
    /// How long after it was captured an acknowledgment has reached the sender, and what that sends was captured.
    shift_ns: u64,
    /// The handshake's round-trip time.
    handshake_ns: u64,
    under_way: VecDeque<Seen>,
    last_ns: u64,
    /// The number after the highest that was sent; `None` before the first.
    next: Option<u32>,
    /// The highest acknowledgment.
    acked: u32,
    acked_ns: u64,
    /// What was in flight before it.
    flight_before: u32,
    /// Up to where the peer's window permits.
    edge: Option<u32>,
    window: u32,
    /// Whether the last segment with payload was not full: nothing more waited to be sent.
    is_drained: bool,
    /// What was in flight when payload left last.
    filled: u32,
    /// When the first acknowledgment since came.
    freed_ns: Option<u64>,
    /// Time that waits for the next payload to show what it was.
    idle_ns: u64,
    application_ns: u64,
    path_ns: u64,
    /// When the peer's payload came last.
    answered_ns: u64,
    recovery: Option<Recovery>,
    timed: Option<(u32, u64)>,
    /// How long its segments waited between their time stamps and the capture.
    stamps: Stamps,
    sizes: Sizes,
}

/// Something was sent again; it lasts until everything that had been sent before is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Recovery {
    until: u32,
    limit: usize,
}

/// The sizes of the latest segments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sizes {
    last: u32,
    times: u32,
}

impl Sender {
    pub(super) fn new(shift_ns: u64, handshake_ns: u64) -> Self {
        Self {
            shift_ns: if shift_ns > super::vantage::NEAR_NS {
                shift_ns
            } else {
                0
            },
            handshake_ns,
            ..Self::default()
        }
    }

    /// Takes a segment; gives the time-out that it shows.
    pub(super) fn observe(&mut self, seen: &Seen, from: End, tally: &mut Tally) -> Option<TimeOut> {
        while let Some(arrived) = self.arrived_before(seen.mono_ns) {
            self.receives(&arrived, tally);
        }
        if seen.from == from {
            return self.sends(seen, tally);
        }
        let mut arrives = *seen;
        arrives.mono_ns = seen.mono_ns.saturating_add(self.shift_ns);
        if self.shift_ns == 0 {
            self.receives(&arrives, tally);
            return None;
        }
        if self.under_way.len() >= MAX_UNDER_WAY
            && let Some(mut first) = self.under_way.pop_front()
        {
            first.mono_ns = seen.mono_ns;
            self.receives(&first, tally);
        }
        self.under_way.push_back(arrives);
        None
    }

    /// Decides what was limited by the path, and leaves what the process's next payload decides.
    pub(super) fn settle(&mut self, tally: &mut Tally) {
        tally.sent(limit::CONGESTION_WINDOW, std::mem::take(&mut self.path_ns));
        tally.times.undecided = [self.idle_ns, self.application_ns];
    }

    fn arrived_before(&mut self, now: u64) -> Option<Seen> {
        let is_due = self.under_way.front()?.mono_ns <= now;
        is_due.then(|| self.under_way.pop_front()).flatten()
    }

    fn in_flight(&self) -> u32 {
        distance(self.acked, self.next.unwrap_or(self.acked))
    }

    /// The peer's segment reaches it.
    fn receives(&mut self, seen: &Seen, tally: &mut Tally) {
        self.wait(seen.mono_ns, tally);
        let Some(ack) = seen.ack else {
            return;
        };
        if seen.len > 0 {
            self.answered_ns = seen.mono_ns;
        }
        tally.spurious += u32::from(seen.has_dsack);
        if self.next.is_none() {
            self.acked = ack;
        } else if is_after(ack, self.acked) {
            self.flight_before = self.in_flight();
            self.acked = ack;
            self.acked_ns = seen.mono_ns;
            self.freed_ns.get_or_insert(seen.mono_ns);
            if let Some((_, sent_ns)) = self.timed.filter(|(end, _)| !is_after(*end, ack)) {
                self.timed = None;
                let queued_ns = self.queued_before_capture_ns();
                tally.sample_rtt(
                    seen.mono_ns
                        .saturating_sub(sent_ns)
                        .saturating_add(queued_ns),
                );
            }
            if self.recovery.is_some_and(|now| !is_after(now.until, ack)) {
                self.recovery = None;
            }
        }
        if !is_after(self.acked, ack) {
            self.edge = Some(ack.wrapping_add(seen.window));
            self.window = seen.window;
            let most = &mut tally.gauges.max_peer_window;
            *most = (*most).max(seen.window);
        }
    }

    /// It sends.
    fn sends(&mut self, seen: &Seen, tally: &mut Tally) -> Option<TimeOut> {
        let now = seen.mono_ns;
        let end = seen
            .seq
            .wrapping_add(seen.len)
            .wrapping_add(u32::from(seen.is_fin));
        self.stamps.read(seen);
        let next = *self.next.get_or_insert(seen.seq);
        if self.last_ns == 0 {
            self.last_ns = now;
            self.acked = seen.seq;
        }
        if end == seen.seq {
            self.wait(now, tally);
            return None;
        }
        if is_after(end, next) {
            let is_probe = seen.len == 1 && self.is_window_full(tally.full);
            self.wait(now, tally);
            if !is_probe {
                self.gives(seen, end, tally);
            }
            return None;
        }
        // One byte that was acknowledged asks whether the peer is there (keep-alive).
        if seen.len <= 1 && !is_after(end, self.acked) {
            self.wait(now, tally);
            return None;
        }
        self.repeats(seen, end, next, tally)
    }

    /// New payload.
    fn gives(&mut self, seen: &Seen, end: u32, tally: &mut Tally) {
        self.decide(seen, tally);
        self.next = Some(end);
        if seen.len > 0 {
            self.sizes.take(seen.len, &mut tally.full);
        }
        self.is_drained = seen.is_fin || !seen.len.is_multiple_of(tally.full.max(1));
        let flight = self.in_flight();
        self.filled = flight;
        self.freed_ns = None;
        tally.most_in_flight = tally.most_in_flight.max(flight);
        let segments = flight.div_ceil(tally.full.max(1));
        tally.gauges.max_in_flight = tally.gauges.max_in_flight.max(segments);
        self.timed.get_or_insert((end, seen.mono_ns));
    }

    /// Something is sent again.
    fn repeats(&mut self, seen: &Seen, end: u32, next: u32, tally: &mut Tally) -> Option<TimeOut> {
        let now = seen.mono_ns;
        let silent_ns = now.saturating_sub(self.last_ns);
        let by_timer = silent_ns >= TIME_OUT_NS && silent_ns >= self.handshake_ns;
        if !by_timer {
            self.wait(now, tally);
        }
        // Karn's algorithm.
        self.timed = None;
        tally.retransmits += 1;
        let is_first = !is_after(seen.seq, self.acked);
        // The last segment, where others are missing as well, asks for news (RACK-TLP, RFC 8985).
        let is_probe = end == next && !is_first && !by_timer;
        let limit = if by_timer {
            limit::TIMEOUT
        } else {
            limit::RECOVERY
        };
        if by_timer || self.recovery.is_none() && !is_probe {
            self.recovery = Some(Recovery { until: next, limit });
        }
        if by_timer {
            // Nothing but the timer ended the silence.
            self.wait(now, tally);
        }
        (by_timer && is_first).then_some(TimeOut {
            acked: self.acked,
            len: seen.len,
        })
    }

    /// Time passed until now: what it is known by is what stood until now.
    fn wait(&mut self, now: u64, tally: &mut Tally) {
        if self.last_ns == 0 {
            return;
        }
        let ns = now.saturating_sub(self.last_ns);
        self.last_ns = self.last_ns.max(now);
        if self.is_late() && !self.is_window_full(tally.full) {
            // In a queue of its machine; or, captured far from it, of the path.
            let limit = match self.shift_ns {
                0 => limit::QUEUE,
                _ => limit::CONGESTION_WINDOW,
            };
            tally.sent(limit, ns);
        } else if let Some(recovery) = self.recovery {
            tally.sent(recovery.limit, ns);
        } else if self.is_window_full(tally.full) {
            let limit = if self.window < tally.full {
                limit::ZERO_WINDOW
            } else {
                limit::WINDOW
            };
            tally.sent(limit, ns);
        } else if self.in_flight() == 0 {
            self.idle_ns += ns;
        } else if self.is_drained {
            self.application_ns += ns;
        } else {
            self.path_ns += ns;
        }
    }

    /// Whether payload that leaves now had waited for room in the send buffer: a good part of what was in flight is
    /// acknowledged, the first acknowledgments released nothing, and the last did. A process that had nothing to
    /// give may seem to answer one by chance.
    fn was_full(&self, now: u64, tally: &Tally) -> bool {
        let flight = self.in_flight();
        let freed = self.filled.saturating_sub(flight);
        let held_ns = self.freed_ns.map_or(0, |freed| now.saturating_sub(freed));
        let prompt_ns = match self.is_drained {
            true => RELEASED_NS,
            false => ANSWER_NS.max(held_ns / ANSWER_SHARE),
        };
        flight > 0
            && flight >= tally.most_in_flight / LEFT_SHARE
            && freed >= self.filled / FREE_SHARE
            && freed >= FREE_SEGMENTS.saturating_mul(tally.full)
            && held_ns >= HELD_NS.max(self.handshake_ns / 16)
            && now.saturating_sub(self.acked_ns) < prompt_ns.max(self.shift_ns / 16)
    }

    /// Whether what it sends waits in a queue before the capture.
    fn is_late(&self) -> bool {
        u64::from(self.stamps.late_ms()) > QUEUED_MS.max(self.handshake_ns / 4_000_000)
    }

    /// What a round trip from the capture to the peer and on to the sender lacks.
    fn queued_before_capture_ns(&self) -> u64 {
        match self.shift_ns {
            0 => 0,
            _ => u64::from(self.stamps.late_ms()).saturating_mul(1_000_000),
        }
    }

    /// Whether the peer's window has no room for a full segment.
    fn is_window_full(&self, full: u32) -> bool {
        self.next
            .zip(self.edge)
            .is_some_and(|(next, edge)| distance(next, edge) < full)
    }

    /// New payload leaves, and shows what it waited for.
    fn decide(&mut self, seen: &Seen, tally: &mut Tally) {
        let now = seen.mono_ns;
        let [idle, application, path] = [
            std::mem::take(&mut self.idle_ns),
            std::mem::take(&mut self.application_ns),
            std::mem::take(&mut self.path_ns),
        ];
        let waited = idle + application;
        let answered = now.saturating_sub(self.answered_ns);
        let is_answer = self.answered_ns > 0
            && (answered < ANSWER_NS || answered < waited / ANSWER_SHARE)
            && waited > 0;
        let released = now.saturating_sub(self.acked_ns) < RELEASED_NS.max(self.shift_ns / 16);
        let flight = self.in_flight();
        let is_short = seen.len < tally.full;
        if is_answer {
            tally.sent(limit::LOCKSTEP, waited);
        } else if released && is_short && flight == 0 && self.flight_before > 0 {
            // The acknowledgment of all that was in flight releases less than a segment.
            return tally.sent(limit::NAGLE, waited + path);
        } else if self.was_full(now, tally) {
            tally.buffer = self.filled;
            return tally.sent(limit::SEND_BUFFER, waited + path);
        } else {
            tally.sent(limit::IDLE, idle);
            tally.sent(limit::APPLICATION, application);
        }
        let limit = if released {
            limit::CONGESTION_WINDOW
        } else {
            limit::PACING
        };
        tally.sent(limit, path);
    }
}

impl Sizes {
    /// Learns the size of a full segment: the handshake tells the largest, and a path may carry less.
    fn take(&mut self, len: u32, full: &mut u32) {
        self.times = if len == self.last { self.times + 1 } else { 1 };
        self.last = len;
        if self.times >= SAME && len < *full {
            *full = len;
        }
    }
}
