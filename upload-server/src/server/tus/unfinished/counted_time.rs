//! How long ago a file changed, by time that is counted, so that a jump of the wall clock makes no file
//! old. Counted time runs while the kernel runs (`CLOCK_BOOTTIME`). After a reboot, it goes on where the
//! server last saved it. Files have times of the wall clock: spans say which counted time each was.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// The wall clock jumped where it differs from counted time by more than this.
const TOLERANCE: Duration = Duration::from_secs(1);

/// Beyond that, the oldest are forgotten, and files of their time count as younger.
const MAX_SPANS: usize = 64;

/// What the clocks show.
pub(super) struct Reading {
    /// The boot that `boottime` belongs to.
    pub(super) boot: String,
    pub(super) boottime: Duration,
    pub(super) wall: SystemTime,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CountedTime {
    boot: String,
    boottime: Duration,
    counted: Duration,
    /// In the order of counted time.
    spans: Vec<Span>,
}

/// From here on, until the next span, the wall clock and counted time run alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Span {
    wall: SystemTime,
    counted: Duration,
}

impl CountedTime {
    pub(super) fn advance(&mut self, now: Reading) {
        if self.boot == now.boot {
            let passed = now.boottime.saturating_sub(self.boottime);
            self.counted = self.counted.saturating_add(passed);
        }
        self.boot = now.boot;
        self.boottime = now.boottime;
        let runs_alike = self.spans.last().is_some_and(|span| {
            let passed = self.counted.saturating_sub(span.counted);
            let expected = span.wall.checked_add(passed);
            expected.is_some_and(|expected| difference(expected, now.wall) <= TOLERANCE)
        });
        if !runs_alike {
            self.spans.push(Span {
                wall: now.wall,
                counted: self.counted,
            });
            let excess = self.spans.len().saturating_sub(MAX_SPANS);
            self.spans.drain(..excess);
        }
    }

    /// How much time was counted since this time of the wall clock; where it is ambiguous, the shortest.
    pub(super) fn age(&self, modified: SystemTime) -> Duration {
        let ends = self.spans.iter().skip(1).map(|next| next.counted);
        let ends = ends.chain([self.counted]);
        // The latest span that has the time counts, or else the end of the latest that begins before it.
        let mut before = None;
        let mut within = None;
        for (span, end) in self.spans.iter().zip(ends) {
            let Ok(since) = modified.duration_since(span.wall) else {
                continue;
            };
            let at = span.counted.saturating_add(since);
            if at <= end {
                within = Some(at);
            } else {
                before = Some(end);
            }
        }
        let first = self.spans.first().map(|span| span.counted);
        let at = within.or(before).or(first).unwrap_or(self.counted);
        self.counted.saturating_sub(at)
    }
}

fn difference(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).unwrap_or_else(|later| later.duration())
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: u64 = 365 * 24 * 3_600;
    const NOW: u64 = 50 * YEAR;

    fn wall(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn counted(readings: &[(&str, u64, u64)]) -> CountedTime {
        let mut time = CountedTime::default();
        for (boot, boottime, seconds) in readings {
            time.advance(Reading {
                boot: (*boot).to_owned(),
                boottime: Duration::from_secs(*boottime),
                wall: wall(*seconds),
            });
        }
        time
    }

    #[test]
    fn a_jump_makes_nothing_old() {
        // A steady clock.
        check(&[("a", 10, NOW), ("a", 110, NOW + 100)], NOW + 30, 70);
        // A jump ahead, before and after which a file changed.
        let ahead = [
            ("a", 0, NOW),
            ("a", 100, NOW + 100),
            ("a", 200, NOW + YEAR),
            ("a", 250, NOW + YEAR + 50),
        ];
        check(&ahead, NOW + 30, 220);
        check(&ahead, NOW + YEAR + 10, 40);
        // Between the last two readings, the clock may have jumped at any time.
        check(&ahead, NOW + YEAR - 10, 50);
        // A jump back, and ahead again: a machine that starts without the time.
        let back = [
            ("a", 0, NOW),
            ("a", 100, NOW + 100),
            ("b", 5, 10),
            ("b", 65, 70),
            ("b", 75, NOW + 500),
            ("b", 95, NOW + 520),
        ];
        check(&back, NOW + 30, 160);
        check(&back, 20, 80);
        check(&back, NOW + 510, 10);
        // Files from before the first reading, and from the future.
        check(&[("a", 0, NOW), ("a", 60, NOW + 60)], NOW - YEAR, 60);
        check(&[("a", 0, NOW), ("a", 60, NOW + 60)], NOW + YEAR, 0);

        fn check(readings: &[(&str, u64, u64)], modified: u64, expected: u64) {
            let age = counted(readings).age(wall(modified));
            assert_eq!(
                age,
                Duration::from_secs(expected),
                "{readings:?} {modified}"
            );
        }
    }

    #[test]
    fn a_restart_goes_on_counting() {
        let saved = serde_json::to_vec(&counted(&[("a", 0, NOW), ("a", 100, NOW + 100)]));
        let mut time: CountedTime = serde_json::from_slice(&saved.unwrap()).unwrap();
        time.advance(Reading {
            boot: "a".to_owned(),
            boottime: Duration::from_secs(300),
            wall: wall(NOW + 300),
        });
        assert_eq!(time.age(wall(NOW + 50)), Duration::from_secs(250));
        assert_eq!(time.spans.len(), 1);
    }

    #[test]
    fn jumps_without_end_are_forgotten() {
        let mut time = CountedTime::default();
        for jump in 0..1_000 {
            time.advance(Reading {
                boot: "a".to_owned(),
                boottime: Duration::from_secs(jump),
                wall: wall(NOW + jump * 100),
            });
        }
        assert_eq!(time.spans.len(), MAX_SPANS);
        assert_eq!(
            time.age(wall(NOW)),
            Duration::from_secs(MAX_SPANS as u64 - 1)
        );
    }
}
