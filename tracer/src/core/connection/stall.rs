//! Segments that the retransmission timer sent again and again.

/// A segment that was not acknowledged, however often the timer sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Sequence numbers that the peer had acknowledged before it; a SYN counts one.
    pub bytes_acked: u64,
    /// Its payload in bytes, the most that was tried.
    pub length: u32,
    /// How many times the timer sent that much.
    pub time_outs: u32,
    /// The first of them, CLOCK_MONOTONIC.
    pub first_ns: u64,
    /// The last of them.
    pub last_ns: u64,
}

/// The longest stall of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stalls {
    latest: Option<Stall>,
    longest: Option<Stall>,
}

impl Stalls {
    pub(super) const NONE: Self = Self {
        latest: None,
        longest: None,
    };

    pub(super) fn record(&mut self, mono_ns: u64, bytes_acked: u64, length: u32) {
        let begun = Stall {
            bytes_acked,
            length,
            time_outs: 0,
            first_ns: mono_ns,
            last_ns: mono_ns,
        };
        let same = self.latest.filter(|one| one.bytes_acked == bytes_acked);
        let mut stall = same.unwrap_or(begun);
        // The kernel may split the segment, or join it with the next.
        if length >= stall.length {
            stall.length = length;
            stall.time_outs = stall.time_outs.saturating_add(1);
            stall.last_ns = mono_ns;
        }
        self.latest = Some(stall);
        let is_longest =
            |known: &Stall| known.bytes_acked == bytes_acked || known.time_outs < stall.time_outs;
        if self.longest.as_ref().is_none_or(is_longest) {
            self.longest = Some(stall);
        }
    }

    /// The one with the most time-outs.
    #[must_use]
    pub const fn longest(&self) -> Option<&Stall> {
        self.longest.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::{Stall, Stalls};

    fn longest(records: &[(u64, u64, u32)]) -> Option<Stall> {
        let mut stalls = Stalls::default();
        for (mono_ns, bytes_acked, length) in records {
            stalls.record(*mono_ns, *bytes_acked, *length);
        }
        stalls.longest().copied()
    }

    #[test]
    fn the_segment_with_the_most_time_outs() {
        let records = [
            (1, 100, 1448),
            (2, 9000, 1448),
            (3, 9000, 1448),
            (4, 9000, 1024),
            (5, 20_000, 1024),
        ];
        let expected = Stall {
            bytes_acked: 9000,
            length: 1448,
            time_outs: 2,
            first_ns: 2,
            last_ns: 3,
        };
        assert_eq!(longest(&records), Some(expected));
        assert_eq!(longest(&[]), None);
    }

    #[test]
    fn a_segment_that_is_joined_with_the_next_is_one() {
        let found = longest(&[(1, 100, 500), (2, 100, 1448), (3, 100, 1448)]).unwrap();
        assert_eq!((found.length, found.time_outs), (1448, 3));
    }
}
