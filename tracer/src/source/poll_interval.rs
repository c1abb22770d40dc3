//! How often the ring buffer is looked at, beside whenever it is half full: the more there is, the
//! sooner again. Where nothing happens, little is spent on looking; where much does, short turns keep
//! no processor from those who are traced for long, and find memory still in its caches.

use std::time::Duration;

/// While next to nothing happens.
pub(super) const LONGEST: Duration = Duration::from_millis(20);
/// However much happens. A turn has its own price, and the runtime's clock counts milliseconds.
const SHORTEST: Duration = Duration::from_millis(2);
/// Records of a turn that are worth its price.
const WORTH_IT: u32 = 128;

/// How long to wait after a turn that found so many records, before which so long was waited.
pub(super) fn after(period: Duration, found: u32) -> Duration {
    let enough = period.saturating_mul(WORTH_IT);
    let next = enough.checked_div(found).unwrap_or(LONGEST);
    next.clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The period that a rate leads to, in records per second.
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
    fn the_more_there_is_the_sooner_again() {
        assert_eq!(settled(0), LONGEST);
        assert_eq!(settled(100), LONGEST);
        assert_eq!(settled(12_800), Duration::from_millis(10));
        assert_eq!(settled(400_000), SHORTEST);
    }

    #[test]
    fn one_burst_is_soon_forgotten() {
        assert_eq!(after(LONGEST, u32::MAX), SHORTEST);
        assert_eq!(after(SHORTEST, 0), LONGEST);
        assert_eq!(after(SHORTEST, 1), LONGEST);
    }
}
