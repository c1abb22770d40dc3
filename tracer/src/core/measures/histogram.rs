//! How often values were in which range. The bounds are fixed, so a histogram has a fixed size.

/// A histogram of integers: those of one [`Unit`](super::Unit), as they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// The upper bounds of all ranges but the last, each in its range.
    bounds: &'static [u64],
    /// How many values each range has; one more than there are bounds.
    counts: Box<[u64]>,
    sum: u128,
}

/// From 50 µs, a handshake on one machine, to an hour, in nanoseconds.
pub(super) const DURATIONS: &[u64] = &[
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
    300_000_000_000,
    3_600_000_000_000,
];

/// From a modem to 80 Gbit/s, in bytes per second.
pub(super) const RATES: &[u64] = &[
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
];

/// Segments of one connection.
pub(super) const SEGMENTS: &[u64] = &[0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 10_000];

impl Histogram {
    pub(super) fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            counts: vec![0; bounds.len() + 1].into(),
            sum: 0,
        }
    }

    /// Counts a value.
    pub(super) fn observe(&mut self, value: u64) {
        let range = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(range) {
            *count += 1;
        }
        self.sum += u128::from(value);
    }

    /// The upper bounds of all ranges but the last, which has none; each bound is in its range.
    #[must_use]
    pub const fn bounds(&self) -> &'static [u64] {
        self.bounds
    }

    /// How many values each range has, the last one included.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    #[must_use]
    pub const fn sum(&self) -> u128 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::{DURATIONS, Histogram, RATES, SEGMENTS};

    #[test]
    fn a_bound_is_in_its_range() {
        let mut histogram = Histogram::new(SEGMENTS);
        for value in [0, 1, 2, 3, 5, 6, 10_000, 10_001, u64::MAX] {
            histogram.observe(value);
        }
        assert_eq!(
            histogram.counts(),
            [1, 1, 1, 2, 1, 0, 0, 0, 0, 0, 0, 1, 2],
            "of {SEGMENTS:?}"
        );
        assert_eq!(histogram.count(), 9);
        assert_eq!(histogram.sum(), u128::from(u64::MAX) + 20_018);
    }

    #[test]
    fn bounds_ascend() {
        for bounds in [DURATIONS, RATES, SEGMENTS] {
            assert!(bounds.is_sorted_by(|one, next| one < next), "{bounds:?}");
        }
    }
}
