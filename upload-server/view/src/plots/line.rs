//! A line of a plot as a path of SVG: few points, which differ from all others by less than can be seen.

use std::fmt::Write as _;

/// The area of a plot, in units of its paths.
pub(super) const WIDTH: u32 = 300;
pub(super) const HEIGHT: u32 = 100;
/// How far a point may be from the line that leaves it out, in units.
const TOLERANCE: f64 = 0.75;

/// How a line looks: a colour, and, for those who see no colours, dashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stroke {
    Sent,
    Acked,
    Received,
    Window,
    Congestion,
}

impl Stroke {
    /// Its class in the style sheet.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Acked => "acked",
            Self::Received => "received",
            Self::Window => "window",
            Self::Congestion => "congestion",
        }
    }
}

/// A line: its points in the order of time. It is interrupted where a value is unknown.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) stroke: Stroke,
    points: Vec<(u64, Option<u64>)>,
}

/// What is drawn where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    /// The value at the upper edge.
    pub(super) top: u64,
}

impl Line {
    pub(super) fn new(
        name: &'static str,
        stroke: Stroke,
        at_ns: &[u64],
        values: impl Iterator<Item = Option<u64>>,
    ) -> Self {
        Self {
            name,
            stroke,
            points: at_ns.iter().copied().zip(values).collect(),
        }
    }

    pub(super) fn of_points(name: &'static str, stroke: Stroke, points: Vec<(u64, u64)>) -> Self {
        let points = points.into_iter().map(|(at, value)| (at, Some(value)));
        Self {
            name,
            stroke,
            points: points.collect(),
        }
    }

    /// The largest value, and when it was reached first.
    pub(super) fn most(&self) -> Option<(u64, u64)> {
        let known = self.known();
        known.reduce(|most, next| if next.1 > most.1 { next } else { most })
    }

    /// The last value.
    pub(super) fn last(&self) -> Option<u64> {
        self.known().next_back().map(|(_, value)| value)
    }

    /// As the attribute `d` of a path; empty where nothing is known.
    pub(super) fn path(&self, scale: Scale) -> String {
        let mut path = String::new();
        let is_known = |point: &(u64, Option<u64>)| point.1.is_some();
        for piece in self
            .points
            .chunk_by(|one, next| is_known(one) && is_known(next))
        {
            let placed: Vec<(f64, f64)> = piece
                .iter()
                .filter_map(|(at, value)| Some(scale.place(*at, (*value)?)))
                .collect();
            append(&simplified(&placed), &mut path);
        }
        path
    }

    fn known(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        let points = self.points.iter();
        points.filter_map(|(at, value)| Some((*at, (*value)?)))
    }
}

impl Scale {
    fn place(self, at_ns: u64, value: u64) -> (f64, f64) {
        let length = self.end_ns.saturating_sub(self.start_ns).max(1) as f64;
        let within = at_ns.clamp(self.start_ns, self.end_ns) - self.start_ns;
        let x = within as f64 / length * f64::from(WIDTH);
        let y = value.min(self.top) as f64 / self.top.max(1) as f64 * f64::from(HEIGHT);
        (x, f64::from(HEIGHT) - y)
    }
}

/// The points that a line needs (Ramer, Douglas and Peucker).
fn simplified(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut is_kept = vec![false; points.len()];
    for end in [0, points.len().saturating_sub(1)] {
        if let Some(kept) = is_kept.get_mut(end) {
            *kept = true;
        }
    }
    let mut open = vec![(0, points.len().saturating_sub(1))];
    while let Some((from, to)) = open.pop() {
        let (Some(first), Some(last)) = (points.get(from), points.get(to)) else {
            continue;
        };
        let between = points.get(from + 1..to).unwrap_or_default().iter();
        let distances = between.map(|point| distance(*point, *first, *last));
        let farthest = distances
            .enumerate()
            .max_by(|one, other| one.1.total_cmp(&other.1));
        if let Some((place, far)) = farthest
            && far > TOLERANCE
        {
            let middle = from + 1 + place;
            is_kept[middle] = true;
            open.extend([(from, middle), (middle, to)]);
        }
    }
    let kept = points.iter().zip(is_kept);
    kept.filter(|(_, kept)| *kept)
        .map(|(point, _)| *point)
        .collect()
}

/// How far a point is above or below the line between two others, or beyond its ends where that is upright.
fn distance(point: (f64, f64), first: (f64, f64), last: (f64, f64)) -> f64 {
    let width = last.0 - first.0;
    if width < 1.0 {
        let (low, high) = (first.1.min(last.1), first.1.max(last.1));
        return (low - point.1).max(point.1 - high).max(0.0);
    }
    let at = first.1 + (last.1 - first.1) * (point.0 - first.0) / width;
    (point.1 - at).abs()
}

/// Appends points in whole units, each relative to the one before.
fn append(points: &[(f64, f64)], path: &mut String) {
    let mut before: Option<(i64, i64)> = None;
    for (x, y) in points {
        let [x, y] = [*x, *y].map(whole);
        let _ = match before {
            Some(known) if known == (x, y) => continue,
            Some((from_x, from_y)) if from_x == x => write!(path, "v{}", y - from_y),
            Some((from_x, from_y)) if from_y == y => write!(path, "h{}", x - from_x),
            Some((from_x, from_y)) => {
                let (right, down) = (x - from_x, y - from_y);
                // A minus parts the two numbers.
                let gap = if down < 0 { "" } else { " " };
                write!(path, "l{right}{gap}{down}")
            }
            None => write!(path, "M{x} {y}"),
        };
        before = Some((x, y));
    }
}

/// The nearest whole unit.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast of a float ends at the bounds of the integer"
)]
const fn whole(units: f64) -> i64 {
    units.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: Scale = Scale {
        start_ns: 1000,
        end_ns: 4000,
        top: 100,
    };

    fn path(points: &[(u64, Option<u64>)]) -> String {
        let (at, values): (Vec<u64>, Vec<Option<u64>>) = points.iter().copied().unzip();
        Line::new("a", Stroke::Sent, &at, values.into_iter()).path(SCALE)
    }

    #[test]
    fn few_points_and_whole_units() {
        let straight: Vec<(u64, Option<u64>)> =
            (0..=300).map(|at| (1000 + at * 10, Some(at / 3))).collect();
        assert_eq!(path(&straight), "M0 100l300-100");
        let steps = [(1000, 0), (2000, 0), (2000, 50), (4000, 50)];
        let steps = steps.map(|(at, value)| (at, Some(value)));
        assert_eq!(path(&steps), "M0 100h100v-50h200");
    }

    #[test]
    fn unknown_values_interrupt_it() {
        let points = [
            (1000, Some(10)),
            (2000, Some(10)),
            (2500, None),
            (3000, Some(20)),
            (4000, Some(40)),
        ];
        assert_eq!(path(&points), "M0 90h100M200 80l100-20");
        assert_eq!(path(&[(1000, None)]), "");
    }

    #[test]
    fn what_is_too_large_ends_at_the_edge() {
        assert_eq!(
            path(&[(0, Some(u64::MAX)), (u64::MAX, Some(0))]),
            "M0 0l300 100"
        );
    }

    /// A peak between others is kept.
    #[test]
    fn peaks_are_seen() {
        let mut points: Vec<(u64, Option<u64>)> =
            (0..=300).map(|at| (1000 + at * 10, Some(10))).collect();
        points[150].1 = Some(80);
        assert_eq!(path(&points), "M0 90h149l1-70l1 70h149");
    }
}
