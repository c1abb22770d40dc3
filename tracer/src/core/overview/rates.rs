//! How many bytes open sockets have passed, and how fast: from readings of the kernel's counters.

use foldhash::HashMap;

use crate::core::{
    connection::View,
    input::{Reading, Readings},
};

/// Readings that are closer to each other make no rate.
const LEAST_NS: u64 = 100_000_000;

/// A reading is kept for so long where the next ones lack the socket: while others come and go, the kernel's list may miss it.
const KEPT_NS: u64 = 3_000_000_000;

/// The latest reading of each socket that is traced: no more than the table has.
#[derive(Debug, Default)]
pub struct Rates {
    sockets: HashMap<u64, Counted>,
}

/// What one socket had counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// Payload that the peer has acknowledged, in bytes.
    pub sent: u64,
    /// Payload that was received in order, in bytes.
    pub received: u64,
    /// Bytes per second that were acknowledged, and received; `None` after one reading.
    pub rates: Option<(u64, u64)>,
    /// Segments sent again.
    pub retransmits: u32,
    /// The smoothed round-trip time in microseconds; 0 before the first.
    pub rtt_us: u32,
}

impl Rates {
    /// Takes what was counted of the sockets that `view` knows, and forgets the others.
    pub fn take<'a>(&mut self, readings: &Readings, view: impl Fn(u64) -> Option<&'a View>) {
        let at_ns = readings.at_ns;
        let before = std::mem::take(&mut self.sockets);
        self.sockets = readings
            .sockets
            .iter()
            .filter_map(|reading| {
                let view = view(reading.cookie)?;
                let before = before.get(&reading.cookie);
                Some((reading.cookie, Counted::of(reading, at_ns, view, before)))
            })
            .collect();
        for (cookie, counted) in before {
            let is_recent = at_ns.saturating_sub(counted.at_ns) <= KEPT_NS;
            if is_recent && view(cookie).is_some_and(|view| !view.is_closed()) {
                self.sockets.entry(cookie).or_insert(counted);
            }
        }
    }

    #[must_use]
    pub fn of(&self, cookie: u64) -> Option<&Counted> {
        self.sockets.get(&cookie)
    }
}

impl Counted {
    fn of(reading: &Reading, at_ns: u64, view: &View, before: Option<&Self>) -> Self {
        // The kernel counts a SYN as a byte.
        let syn = u64::from(view.sent_syn());
        let (sent, received) = (
            reading.bytes_acked.saturating_sub(syn),
            reading.bytes_received,
        );
        let began_ns = view.transitions.first().map(|first| first.mono_ns);
        let base = match before {
            Some(before) => Some((before.at_ns, before.sent, before.received)),
            None => began_ns
                .filter(|_| view.counts_all())
                .map(|began_ns| (began_ns, 0, 0)),
        };
        let rates = base.and_then(|(since_ns, before_sent, before_received)| {
            let ns = at_ns.checked_sub(since_ns).filter(|ns| *ns >= LEAST_NS)?;
            Some((
                per_second(sent.saturating_sub(before_sent), ns),
                per_second(received.saturating_sub(before_received), ns),
            ))
        });
        Self {
            at_ns,
            sent,
            received,
            rates,
            retransmits: reading.total_retrans,
            rtt_us: reading.rtt_us,
        }
    }
}

/// Bytes within so many nanoseconds, as bytes per second.
fn per_second(bytes: u64, ns: u64) -> u64 {
    let rate = u128::from(bytes) * 1_000_000_000 / u128::from(ns.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}
