//! The lower convex hull of points: all that matters of them for a straight line below.

/// Points are gathered until there are so many, then all but the hull are dropped.
const MAX_POINTS: usize = 1 << 12;

/// The points that a straight line below all of them can touch.
#[derive(Clone, Debug, Default)]
pub(super) struct Envelope {
    points: Vec<(f64, f64)>,
    count: u64,
    sum_x: f64,
    span: Option<(f64, f64)>,
}

impl Envelope {
    pub(super) fn add(&mut self, x: f64, y: f64) {
        self.count += 1;
        self.sum_x += x;
        let (first, last) = self.span.unwrap_or((x, x));
        self.span = Some((first.min(x), last.max(x)));
        self.points.push((x, y));
        if self.points.len() >= MAX_POINTS {
            self.reduce();
            // A hull with so many corners is a curve: every second one describes it.
            if self.points.len() > MAX_POINTS / 2 {
                let mut keep = false;
                self.points.retain(|_| {
                    keep = !keep;
                    keep
                });
            }
        }
    }

    /// Drops all points that lie above the hull (Andrew's monotone chain).
    pub(super) fn reduce(&mut self) {
        self.points
            .sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1)));
        let mut hull = Vec::<(f64, f64)>::new();
        for point in &self.points {
            while let [.., before, last] = hull[..]
                && turn(before, last, *point) <= 0.0
            {
                hull.pop();
            }
            let is_above = hull.last().is_some_and(|last| last.0 == point.0);
            if !is_above {
                hull.push(*point);
            }
        }
        self.points = hull;
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// The first and the last x.
    pub(super) const fn span(&self) -> Option<(f64, f64)> {
        self.span
    }

    /// How high a line with this slope can lie at x = 0.
    pub(super) fn lift(&self, slope: f64) -> f64 {
        let heights = self.points.iter().map(|(x, y)| slope.mul_add(-x, *y));
        heights.fold(f64::INFINITY, f64::min)
    }

    /// The slope of the line below that is nearest to all points together: it touches the hull's edge
    /// below their mean (Moon, Skelly and Towsley 1999).
    pub(super) fn support(&self) -> Option<f64> {
        let mean = self.sum_x / self.count as f64;
        let mut edges = self.points.windows(2);
        let edge = edges.find(|edge| edge[1].0 >= mean)?;
        Some((edge[1].1 - edge[0].1) / (edge[1].0 - edge[0].0))
    }

    /// The slopes of the hull's edges.
    pub(super) fn slopes(&self) -> impl Iterator<Item = f64> {
        let edges = self.points.windows(2);
        edges.map(|edge| (edge[1].1 - edge[0].1) / (edge[1].0 - edge[0].0))
    }
}

/// Positive for a turn to the left.
fn turn(one: (f64, f64), other: (f64, f64), third: (f64, f64)) -> f64 {
    (other.0 - one.0).mul_add(third.1 - one.1, -((other.1 - one.1) * (third.0 - one.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hull_is_what_a_line_below_can_touch() {
        let mut envelope = Envelope::default();
        for (x, y) in [
            (0.0, 3.0),
            (1.0, 5.0),
            (2.0, 1.0),
            (3.0, 4.0),
            (4.0, 2.0),
            (2.0, 9.0),
        ] {
            envelope.add(x, y);
        }
        envelope.reduce();
        assert_eq!(envelope.points, [(0.0, 3.0), (2.0, 1.0), (4.0, 2.0)]);
        assert_eq!(envelope.lift(0.0), 1.0);
        assert_eq!(envelope.lift(0.5), 0.0);
        assert_eq!(envelope.slopes().collect::<Vec<_>>(), [-1.0, 0.5]);
        assert_eq!(envelope.count(), 6);
    }

    #[test]
    fn its_points_are_bounded() {
        let mut envelope = Envelope::default();
        for x in 0..100_000 {
            let x = f64::from(x);
            envelope.add(x, x * x);
        }
        assert!(envelope.points.len() < MAX_POINTS);
    }
}
