//! Aligns the clocks of two captures by the segments that are in both.
//!
//! A segment from the first point to the second arrives later than it left: the distance of its two
//! timestamps is the clocks' offset and a delay. One that goes back gives the offset less a delay. So the
//! offset lies below all the former and above all the latter. Where each clock runs evenly, it is a
//! straight line between the two (Moon, Skelly and Towsley 1999; Paxson 1998), and it is wrong by half the
//! gap between them at most. How the gap divides into the delays of the two directions cannot be known: the
//! line in its middle assumes that the least delays are the same.

use super::{Point, envelope::Envelope};

/// Clocks that are faster or slower by more than this are taken for broken: crystals keep 100 ppm, and NTP
/// corrects by 500 ppm at most.
const MAX_DRIFT: f64 = 600e-6;
/// In a shorter time, drift is less than what delays vary by.
const MIN_SPAN_NS: f64 = 2e9;
/// A drift must be so many times what the two directions disagree by.
const CERTAIN: f64 = 3.0;
/// The timestamps of many captures have microseconds …
const RESOLUTION_NS: f64 = 1e3;
/// … and may come so late.
const TOLERANCE_NS: f64 = 1e6;

/// What is known of two clocks by the segments that passed both points.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks {
    /// The first segment's two timestamps; others are compared with them.
    origin: Option<(u64, u64)>,
    forward: Envelope,
    /// Upside down: these bound the offset from below.
    back: Envelope,
}

/// How times of the second capture become times of the first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Alignment {
    /// A time on both clocks.
    origin: (u64, u64),
    /// How far the offset is from what it is between these, in nanoseconds.
    rest_ns: f64,
    /// Nanoseconds per nanosecond.
    drift: f64,
    /// The drift, if it can be told from none, and how far the two directions disagree about it.
    pub drift_ppb: Option<(i64, u64)>,
    /// The offset is at most so wrong.
    pub error_ns: u64,
    /// The sum of the least delays of both directions.
    pub round_trip_ns: u64,
}

/// Why two clocks cannot be aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misaligned {
    #[error("no segment went from the one to the other in each direction and was captured at both")]
    OneDirection,
    #[error("one of their clocks was set meanwhile")]
    Uneven,
}

impl Clocks {
    /// Adds a segment that passed `from` first, by its time at each point in nanoseconds.
    pub(super) fn add(&mut self, from: Point, times: [u64; 2]) {
        let (first, second) = *self.origin.get_or_insert((times[0], times[1]));
        let since = |time: u64, origin: u64| (i128::from(time) - i128::from(origin)) as f64;
        let x = since(times[0], first);
        let y = since(times[1], second) - x;
        if from == 0 {
            self.forward.add(x, y);
        } else {
            self.back.add(x, -y);
        }
    }

    /// The straight line between what bounds the offset from above and from below.
    pub(super) fn align(&mut self) -> Result<Alignment, Misaligned> {
        let (Some(origin), Some(forward), Some(back)) =
            (self.origin, self.forward.span(), self.back.span())
        else {
            return Err(Misaligned::OneDirection);
        };
        self.forward.reduce();
        self.back.reduce();
        let span = (forward.0.min(back.0), forward.1.max(back.1));
        let common = forward.1.min(back.1) - forward.0.max(back.0);
        let drift = self.drift(common).filter(|_| common >= MIN_SPAN_NS);
        let slope = drift.map_or(0.0, |(drift, _)| drift);
        let slope = if self.gap(slope) >= -TOLERANCE_NS {
            slope
        } else {
            self.widest()
        };
        let gap = self.gap(slope);
        if gap < -TOLERANCE_NS {
            return Err(Misaligned::Uneven);
        }
        let middle = f64::midpoint(self.forward.lift(slope), -self.back.lift(-slope));
        let line = |x: f64| slope.mul_add(x, middle);
        let error = [span.0, span.1].map(|x| {
            let (low, high) = self.bounds(x);
            (high - line(x)).max(line(x) - low)
        });
        let drift = drift.filter(|(drift, _)| *drift == slope);
        Ok(Alignment {
            origin,
            rest_ns: middle,
            drift: slope,
            drift_ppb: drift
                .map(|(drift, error)| (whole(drift * 1e9), whole(error * 1e9).unsigned_abs())),
            error_ns: whole(
                error[0]
                    .max(error[1])
                    .max(gap.abs() / 2.0)
                    .max(RESOLUTION_NS),
            )
            .unsigned_abs(),
            round_trip_ns: whole(gap.max(0.0)).unsigned_abs(),
        })
    }

    pub(super) const fn segments(&self) -> u64 {
        self.forward.count() + self.back.count()
    }

    /// The drift on which both directions agree, and how far they disagree. A queue that grows or drains
    /// looks like drift to one of them alone.
    fn drift(&self, span_ns: f64) -> Option<(f64, f64)> {
        let (up, down) = (self.forward.support()?, -self.back.support()?);
        let (drift, error) = (f64::midpoint(up, down), (up - down).abs() / 2.0);
        let least = CERTAIN * (error * span_ns).max(RESOLUTION_NS);
        let is_certain = drift.abs() * span_ns > least && drift.abs() <= MAX_DRIFT;
        is_certain.then_some((drift, error))
    }

    /// The room for a line with this slope.
    fn gap(&self, slope: f64) -> f64 {
        self.forward.lift(slope) + self.back.lift(-slope)
    }

    /// The slope for which there is most room.
    fn widest(&self) -> f64 {
        let of_back = self.back.slopes().map(|slope| -slope);
        let slopes = self.forward.slopes().chain(of_back);
        let mut best = 0.0;
        for slope in slopes.filter(|slope| slope.abs() <= MAX_DRIFT) {
            if self.gap(slope) > self.gap(best) {
                best = slope;
            }
        }
        best
    }

    /// Between which values the offset is at x, whatever the drift, if the clocks run evenly.
    fn bounds(&self, x: f64) -> (f64, f64) {
        let widest = self.widest();
        let ends = [
            self.steepest(widest, -MAX_DRIFT),
            self.steepest(widest, MAX_DRIFT),
        ];
        let of_back = self.back.slopes().map(|slope| -slope);
        let slopes = self.forward.slopes().chain(of_back);
        let possible = slopes.filter(|slope| *slope >= ends[0] && *slope <= ends[1]);
        let mut bounds = (f64::INFINITY, f64::NEG_INFINITY);
        for slope in possible.chain(ends) {
            let low = slope.mul_add(x, -self.back.lift(-slope));
            let high = slope.mul_add(x, self.forward.lift(slope));
            bounds = (bounds.0.min(low), bounds.1.max(high));
        }
        bounds
    }

    /// The steepest slope between two for which there is room; there is for the first.
    fn steepest(&self, mut possible: f64, mut most: f64) -> f64 {
        const PRECISION: f64 = 1e-12;
        if self.gap(most) >= 0.0 {
            return most;
        }
        while (most - possible).abs() > PRECISION {
            let middle = f64::midpoint(possible, most);
            if self.gap(middle) >= 0.0 {
                possible = middle;
            } else {
                most = middle;
            }
        }
        possible
    }
}

impl Alignment {
    /// A time of one of the captures by the first's clock.
    #[must_use]
    pub fn in_first(&self, point: Point, time_ns: u64) -> u64 {
        if point == 0 {
            return time_ns;
        }
        let (first, second) = self.origin;
        let since = (i128::from(time_ns) - i128::from(second)) as f64;
        // second = first + offset + drift × first, each since its origin.
        let moved = (since - self.rest_ns) / (1.0 + self.drift);
        // What is subtracted from the time is small, so that no digits are lost.
        let shift = i128::from(whole(since - moved));
        let time = i128::from(time_ns) - i128::from(second) - shift + i128::from(first);
        u64::try_from(time.clamp(0, i128::from(u64::MAX))).unwrap_or_default()
    }

    /// How far the second clock is ahead of the first, where the comparison begins.
    #[must_use]
    pub fn offset_ns(&self) -> i64 {
        let offset = i128::from(self.origin.1) - i128::from(self.origin.0);
        let rest = i128::from(whole(self.rest_ns));
        i64::try_from(offset + rest).unwrap_or_default()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "beyond the range it saturates, and nanoseconds need no fractions"
)]
const fn whole(number: f64) -> i64 {
    number.round() as i64
}

#[cfg(test)]
mod tests;
