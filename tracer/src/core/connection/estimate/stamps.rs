//! How much longer than the fastest a segment took from its time stamp (RFC 7323) to the capture.

use super::{Seen, distance, is_after};

/// A clock may be wrong by this part of the time.
const DRIFT_SHARE: u32 = 10_000;

/// The time stamps of one end, which count milliseconds on most systems.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Stamps {
    /// Capture time and time stamp of the first segment, in milliseconds.
    first: Option<(u32, u32)>,
    least_ms: u32,
    late_ms: u32,
}

impl Stamps {
    pub(super) fn read(&mut self, seen: &Seen) {
        let Some(tsval) = seen.tsval else {
            return;
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "modulo 2^32, as the stamps"
        )]
        let now_ms = (seen.mono_ns / 1_000_000) as u32;
        let delay = now_ms.wrapping_sub(tsval);
        let Some((first_ms, first_tsval)) = self.first else {
            self.first = Some((now_ms, tsval));
            self.least_ms = delay;
            return;
        };
        if is_after(self.least_ms, delay) {
            self.least_ms = delay;
        }
        let here = now_ms.wrapping_sub(first_ms);
        let there = tsval.wrapping_sub(first_tsval);
        let beyond = distance(self.least_ms, delay).saturating_sub(here / DRIFT_SHARE);
        // A clock that runs much slower shows nothing; one that runs faster never shows a delay.
        self.late_ms = if there.saturating_mul(2) >= here {
            beyond
        } else {
            0
        };
    }

    /// Of the latest segment, in milliseconds.
    pub(super) const fn late_ms(&self) -> u32 {
        self.late_ms
    }
}
