//! What a receiver saw, as a capture near it shows it: what arrived when, and which window it announced. It follows
//! the kernel's programs (`programs/limits/receiver.rs`), but that what its process has not read is known from the
//! window alone.

use tracer_ebpf::record::receiver as saw;
use upload_protocol::End;

use super::{Seen, Tally, distance, is_after, stamps::Stamps};

/// A window that is opened later than this after it was used up was closed by an unread queue.
const PROMPT_NS: u64 = 1_000_000;
/// The least retransmission time-out (`TCP_RTO_MIN`).
const OUTAGE_NS: u64 = 200_000_000;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Receiver {
    /// The handshake's round-trip time.
    rtt_ns: u64,
    /// When payload arrived last.
    last_ns: u64,
    last_len: u32,
    /// The number after the highest that arrived.
    next: Option<u32>,
    /// Up to where something is missing.
    missing_until: Option<u32>,
    /// The highest acknowledgment.
    acked: u32,
    /// Up to where the window permits, and its size.
    edge: Option<u32>,
    window: u32,
    largest_window: u32,
    used: Used,
    /// How long what arrives was on its way.
    stamps: Stamps,
}

/// Whether the window was used up since payload arrived last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Used {
    #[default]
    No,
    Up,
    Opened,
}

impl Receiver {
    pub(super) fn new(rtt_ns: u64) -> Self {
        Self {
            rtt_ns,
            ..Self::default()
        }
    }

    pub(super) fn observe(&mut self, seen: &Seen, from: End, tally: &mut Tally) {
        if seen.from == from {
            if seen.len > 0 {
                self.arrives(seen, tally);
            }
            self.stamps.read(seen);
            let most = &mut tally.gauges.max_delay_ms;
            *most = (*most).max(self.stamps.late_ms());
        } else {
            self.acknowledges(seen, tally);
        }
    }

    /// It sends, and with it, perhaps, the news of a larger window.
    fn acknowledges(&mut self, seen: &Seen, tally: &mut Tally) {
        let Some(ack) = seen.ack else {
            return;
        };
        if is_after(self.acked, ack) {
            return;
        }
        self.acked = ack;
        if self
            .missing_until
            .is_some_and(|until| !is_after(until, ack))
        {
            self.missing_until = None;
        }
        self.window = seen.window;
        self.largest_window = self.largest_window.max(seen.window);
        let gauges = &mut tally.gauges;
        gauges.max_room = gauges.max_room.max(seen.window);
        let before = self.edge.replace(ack.wrapping_add(seen.window));
        let (Some(before), Some(next)) = (before, self.next) else {
            return;
        };
        let little = 2 * tally.full;
        if self.last_ns == 0 || distance(next, before) >= little {
            return;
        }
        if self.used == Used::No {
            gauges.windows_used = gauges.windows_used.saturating_add(1);
        }
        self.used = Used::Up;
        if distance(next, ack.wrapping_add(seen.window)) < little {
            return;
        }
        let closed_ns = seen.mono_ns.saturating_sub(self.last_ns);
        let what = if closed_ns > PROMPT_NS {
            saw::NOT_READ
        } else {
            saw::WINDOW
        };
        tally.received(what, closed_ns);
        self.used = Used::Opened;
        self.last_ns = seen.mono_ns;
    }

    fn arrives(&mut self, seen: &Seen, tally: &mut Tally) {
        let now = seen.mono_ns;
        let end = seen.seq.wrapping_add(seen.len);
        if self.last_ns > 0 {
            let ns = now.saturating_sub(self.last_ns);
            let what = self.saw(ns, tally);
            tally.received(what, ns);
        }
        self.last_ns = now;
        self.last_len = seen.len;
        self.used = Used::No;
        let next = *self.next.get_or_insert(seen.seq);
        if is_after(seen.seq, next) {
            self.missing_until = Some(end);
        }
        tally.out_of_order += u32::from(is_after(seen.seq, next) || self.missing_until.is_some());
        if is_after(end, next) {
            self.next = Some(end);
        }
    }

    /// What it saw for so long, until payload arrives.
    fn saw(&self, ns: u64, tally: &mut Tally) -> usize {
        let unread = self.largest_window.saturating_sub(self.window);
        let room = self
            .edge
            .zip(self.next)
            .map_or(0, |(edge, next)| distance(next, edge));
        let gauges = &mut tally.gauges;
        gauges.max_unread = gauges.max_unread.max(unread);
        let gap_ns = (self.rtt_ns / 2).max(500_000);
        let late_ms = (self.rtt_ns / 4_000_000).max(3);
        let ended_short = !self.last_len.is_multiple_of(tally.full.max(1));
        if self.missing_until.is_some() {
            saw::HOLE
        } else if unread > room || self.used != Used::No && unread > room / 2 {
            saw::NOT_READ
        } else if self.used == Used::Up
            || self.used == Used::Opened && ns <= gap_ns.saturating_mul(4)
        {
            saw::WINDOW
        } else if ns > gap_ns && ended_short {
            saw::SENDER_GAP
        } else if ns > gap_ns.saturating_mul(8) && ns > OUTAGE_NS {
            saw::OUTAGE
        } else if u64::from(self.stamps.late_ms()) > late_ms {
            saw::LATE
        } else if ns > gap_ns {
            saw::GAP
        } else {
            saw::FLOW
        }
    }
}
