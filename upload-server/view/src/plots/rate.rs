//! Rates of a count that grows.

/// Into so many parts of equal length a span is cut.
const PARTS: u64 = 60;

/// Counts between two samples are kept so exactly.
const THOUSANDTHS: u128 = 1000;
const NS_PER_SECOND: u128 = 1_000_000_000;

/// How many per second, in each part of the span: a point at the part's beginning and one at its end. Between two samples,
/// the count grows evenly.
pub(super) fn rates(at_ns: &[u64], counts: &[u64], (start, end): (u64, u64)) -> Vec<(u64, u64)> {
    let known: Vec<(u64, u64)> = at_ns.iter().copied().zip(counts.iter().copied()).collect();
    let Some(((first, _), (last, _))) = known.first().zip(known.last()) else {
        return Vec::new();
    };
    // What lies outside the samples is unknown.
    let (start, end) = (start.max(*first), end.min(*last));
    let length = end.saturating_sub(start);
    let edge = |part: u64| {
        let within = u128::from(length) * u128::from(part) / u128::from(PARTS);
        start + u64::try_from(within).unwrap_or(length)
    };
    let parts = (0..PARTS).map(|part| (edge(part), edge(part + 1)));
    parts
        .filter(|(from, to)| from < to)
        .flat_map(|(from, to)| {
            let grown = count(&known, to).saturating_sub(count(&known, from));
            let length_ns = u128::from(to - from);
            let rate = (grown * (NS_PER_SECOND / THOUSANDTHS) + length_ns / 2) / length_ns;
            let rate = u64::try_from(rate).unwrap_or(u64::MAX);
            [(from, rate), (to, rate)]
        })
        .collect()
}

/// The count at a moment, in thousandths.
fn count(known: &[(u64, u64)], at: u64) -> u128 {
    let thousandths = |count: u64| u128::from(count) * THOUSANDTHS;
    let next = known.partition_point(|(known_at, _)| *known_at < at);
    let (Some((next_at, after)), before) = (known.get(next), known.get(next.wrapping_sub(1)))
    else {
        return known.last().map_or(0, |(_, count)| thousandths(*count));
    };
    let Some((before_at, before)) = before else {
        return thousandths(*after);
    };
    let passed = u128::from(at.saturating_sub(*before_at));
    let length = u128::from(next_at.saturating_sub(*before_at).max(1));
    thousandths(*before)
        + thousandths(after.saturating_sub(*before)).saturating_mul(passed) / length
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_rate_of_each_part() {
        // 600 bytes in the first half of a second, then nothing.
        let found = rates(&[0, 500 * MS, 1_000 * MS], &[1, 601, 601], (0, 1_000 * MS));
        assert_eq!(found.len(), 120);
        assert_eq!(found[0], (0, 1200));
        assert_eq!(found[58].1, 1200);
        assert_eq!(found[60].1, 0);
        assert_eq!(found[119], (1_000 * MS, 0));
    }

    #[test]
    fn nothing_without_a_span() {
        assert_eq!(rates(&[], &[], (0, 1)), []);
        assert_eq!(rates(&[5], &[1], (0, 9)), []);
        assert_eq!(rates(&[5, 5], &[1, 9], (5, 5)), []);
    }
}
