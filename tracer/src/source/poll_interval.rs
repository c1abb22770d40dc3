//! How often to poll the ring buffers, in addition to when the first is half full: the higher the load, the
//! shorter the interval. An idle machine spends little on polling. On a busy one, short turns do not
//! keep the traced processes off the processor for long, and find the records still in its caches.

use std::time::Duration;

/// On an idle machine.
pub(super) const LONGEST: Duration = Duration::from_millis(20);
/// Under any load. Each turn has a fixed cost, and tokio's timers have a resolution of 1 ms.
const SHORTEST: Duration = Duration::from_millis(2);
/// Enough records to be worth a turn's fixed cost.
const WORTH_IT: u32 = 128;

/// The next interval, after a turn that waited `period` and found `found` records.
pub(super) fn after(period: Duration, found: u32) -> Duration {
    let enough = period.saturating_mul(WORTH_IT);
    let next = enough.checked_div(found).unwrap_or(LONGEST);
    next.clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The interval after ten turns at this rate, in records per second.
    fn settled(per_second: u32) -> Duration {
        let turn = |period: Duration, _| {
            let found = f64::from(per_second) * period.as_secs_f64();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "few"
            )]
            after(period, found as u32)
        };
        (0..10).fold(LONGEST, turn)
    }

    #[test]
    fn load_shortens_the_interval() {
        assert_eq!(settled(0), LONGEST);
        assert_eq!(settled(100), LONGEST);
        assert_eq!(settled(12_800), Duration::from_millis(10));
        assert_eq!(settled(400_000), SHORTEST);
    }

    #[test]
    fn a_burst_has_no_lasting_effect() {
        assert_eq!(after(LONGEST, u32::MAX), SHORTEST);
        assert_eq!(after(SHORTEST, 0), LONGEST);
        assert_eq!(after(SHORTEST, 1), LONGEST);
    }
}
