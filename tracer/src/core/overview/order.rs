//! By what the rows of an overview are ordered.

/// What comes first: the most, or the longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderBy {
    /// Bytes per second.
    #[default]
    Rate,
    /// Payload so far.
    Bytes,
    /// The round-trip time.
    Rtt,
    /// Segments sent again.
    Retransmits,
    /// The time since it began.
    Age,
}

impl OrderBy {
    pub const ALL: [Self; 5] = [
        Self::Rate,
        Self::Bytes,
        Self::Rtt,
        Self::Retransmits,
        Self::Age,
    ];

    /// The next one, round and round.
    #[must_use]
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|order| *order == self);
        let next = at.and_then(|at| Self::ALL.get(at + 1));
        next.copied().unwrap_or_default()
    }
}

/// Where a row belongs: the lowest comes first, and what is unknown comes last, whatever the direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(u64);

impl Score {
    #[must_use]
    pub const fn of(value: Option<u64>, is_reversed: bool) -> Self {
        match value {
            None => Self(u64::MAX),
            Some(value) if is_reversed => Self(value),
            Some(value) => Self(u64::MAX - 1 - value.saturating_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OrderBy, Score};

    #[test]
    fn what_is_unknown_comes_last() {
        let check = |is_reversed, expected: [Option<u64>; 4]| {
            let mut values = [Some(1), None, Some(u64::MAX - 1), Some(7)];
            values.sort_by_key(|value| Score::of(*value, is_reversed));
            assert_eq!(values, expected, "{is_reversed}");
        };
        let most = Some(u64::MAX - 1);
        check(false, [most, Some(7), Some(1), None]);
        check(true, [Some(1), Some(7), most, None]);
    }

    #[test]
    fn each_order_is_reached() {
        let mut order = OrderBy::default();
        for expected in OrderBy::ALL {
            assert_eq!(order, expected);
            order = order.next();
        }
        assert_eq!(order, OrderBy::default());
    }
}
