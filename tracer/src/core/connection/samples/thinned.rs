//! A bounded number of points of a course. What is kept is as it was: no point is the mean of others.

/// Points of one course.
pub(super) const MAX_POINTS: usize = 512;
/// With fewer, a course is not thinned where there is no room for more.
const FEW_POINTS: usize = 32;

/// Memory for the points of all courses.
#[derive(Debug)]
pub struct Room {
    left_bytes: usize,
}

impl Room {
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        Self { left_bytes: bytes }
    }

    const fn take(&mut self, bytes: usize) -> bool {
        let Some(left) = self.left_bytes.checked_sub(bytes) else {
            return false;
        };
        self.left_bytes = left;
        true
    }

    pub const fn give(&mut self, bytes: usize) {
        self.left_bytes = self.left_bytes.saturating_add(bytes);
    }
}

/// What a point is chosen by.
pub trait Point: Copy {
    /// Sequence numbers in flight.
    fn in_flight(&self) -> u32;
}

/// How points come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Ever more rarely, as the programs sample a socket: then each part of the time has about as many that are kept.
    Growing,
    /// One for each segment.
    Even,
}

/// The points of a course, in order. Rows of them become longer as they come: of a row, the point with the most in flight
/// is kept, and the last one.
#[derive(Clone, Debug, PartialEq)]
pub struct Thinned<P> {
    kept: Vec<Kept<P>>,
    /// How many came.
    taken: u64,
    spacing: Spacing,
    /// A row has so many points, as a power of two.
    length: u32,
    /// The row of the next point, where each has a row of its own.
    next_row: u64,
    /// Points that there was no room for.
    left_out: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Kept<P> {
    row: u64,
    point: P,
}

impl<P: Point> Thinned<P> {
    const BYTES: usize = size_of::<Kept<P>>();

    pub(super) const fn new(spacing: Spacing) -> Self {
        Self {
            kept: Vec::new(),
            taken: 0,
            spacing,
            length: 0,
            next_row: 0,
            left_out: 0,
        }
    }

    pub(super) fn push(&mut self, point: P, room: &mut Room) {
        let number = self.taken;
        self.taken += 1;
        if self.kept.len() >= MAX_POINTS {
            self.thin(MAX_POINTS / 2, room);
        }
        let mut new = Kept {
            row: self.row(number),
            point,
        };
        let in_row = self.kept.iter().rev();
        let in_row = in_row.take_while(|kept| kept.row == new.row).count();
        match (in_row, &mut self.kept[..]) {
            (1, [.., peak]) if new.is_above(peak) => *peak = new,
            (2.., [.., peak, last]) => {
                if new.is_above(peak) {
                    *peak = new;
                    self.kept.pop();
                    room.give(Self::BYTES);
                } else {
                    *last = new;
                }
            }
            _ => {
                if !room.take(Self::BYTES) {
                    if self.kept.len() < FEW_POINTS {
                        self.left_out += 1;
                        return;
                    }
                    self.thin(self.kept.len() / 2, room);
                    let _ = room.take(Self::BYTES);
                    new.row = self.row(number);
                }
                self.kept.push(new);
            }
        }
        self.next_row = new.row + 1;
    }

    #[must_use]
    pub fn points(&self) -> impl DoubleEndedIterator<Item = &P> + ExactSizeIterator {
        self.kept.iter().map(|kept| &kept.point)
    }

    /// How many points came; fewer may be kept.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// How many points there was no room for.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    pub(super) const fn bytes(&self) -> usize {
        self.kept.len() * Self::BYTES
    }

    /// The row of the point with this number.
    const fn row(&self, number: u64) -> u64 {
        match self.spacing {
            Spacing::Even => number >> self.length,
            Spacing::Growing => self.next_row,
        }
    }

    /// Joins rows until so many points are left at most.
    fn thin(&mut self, most: usize, room: &mut Room) {
        let before = self.bytes();
        while self.kept.len() > most.max(3) {
            self.length += 1;
            self.next_row = self.next_row.div_ceil(2);
            for kept in &mut self.kept {
                kept.row /= 2;
            }
            let rows = self.kept.chunk_by(|one, next| one.row == next.row);
            let mut kept = Vec::with_capacity(MAX_POINTS);
            for row in rows {
                let last = row.len() - 1;
                let peak = (0..=last).max_by_key(|at| row[*at].point.in_flight());
                let peak = peak.filter(|peak| *peak < last);
                // The course begins where it began.
                let begin = (kept.is_empty() && last > 0 && peak != Some(0)).then_some(0);
                let places = begin.into_iter().chain(peak).chain([last]);
                kept.extend(places.map(|place| row[place]));
            }
            self.kept = kept;
        }
        room.give(before - self.bytes());
    }
}

impl<P: Point> Kept<P> {
    fn is_above(&self, other: &Self) -> bool {
        self.point.in_flight() >= other.point.in_flight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct At(u64, u32);

    impl Point for At {
        fn in_flight(&self) -> u32 {
            self.1
        }
    }

    /// A saw that falls at each hundredth point.
    fn saw(number: u64) -> At {
        At(number, u32::try_from(number % 100).unwrap())
    }

    fn fed(spacing: Spacing, count: u64, room: &mut Room) -> Thinned<At> {
        let mut course = Thinned::new(spacing);
        for number in 0..count {
            course.push(saw(number), room);
        }
        course
    }

    #[test]
    fn few_points_are_all_kept() {
        for spacing in [Spacing::Even, Spacing::Growing] {
            let course = fed(spacing, 512, &mut Room::new(1 << 20));
            let points: Vec<At> = course.points().copied().collect();
            assert_eq!(points, (0..512).map(saw).collect::<Vec<_>>());
        }
    }

    #[test]
    fn of_many_a_bounded_number_is_kept_as_it_was() {
        for count in [513, 5_000, 1_000_000] {
            let mut room = Room::new(1 << 20);
            let course = fed(Spacing::Even, count, &mut room);
            let points: Vec<At> = course.points().copied().collect();
            assert!((128..=MAX_POINTS).contains(&points.len()), "{count}");
            assert!(points.is_sorted_by(|a, b| a.0 < b.0), "{points:?}");
            assert!(points.iter().all(|point| *point == saw(point.0)));
            assert_eq!(points.first(), Some(&saw(0)));
            assert_eq!(points.last(), Some(&saw(count - 1)));
            assert_eq!(course.taken(), count);
            // Peaks of the saw are kept, and each part of the course has points.
            let gap = points.windows(2).map(|pair| pair[1].0 - pair[0].0).max();
            assert!(gap.unwrap() <= count.div_ceil(32), "{gap:?} of {count}");
            let peaks = points.iter().filter(|point| point.1 == 99).count();
            assert!(peaks >= 4, "{peaks} of {count}");
            room.give(course.bytes());
            assert_eq!(room.left_bytes, 1 << 20);
        }
    }

    /// As the programs space them, 256 in each e-fold of time: the parts of the time have about as many.
    #[test]
    fn ever_rarer_points_are_spread_over_the_time() {
        let mut course = Thinned::new(Spacing::Growing);
        let mut room = Room::new(1 << 20);
        let (mut at, hour) = (200_000_u64, 3_600_000_000_000);
        while at < hour {
            course.push(At(at, 1), &mut room);
            at += (at / 256).max(200_000);
        }
        let in_part = |part: u64| {
            let points = course.points();
            points.filter(|point| point.0 * 8 / hour == part).count()
        };
        for part in 0..8 {
            assert!(in_part(part) >= 16, "{part}: {}", in_part(part));
        }
        assert!(course.points().len() <= MAX_POINTS);
    }

    #[test]
    fn without_room_a_course_is_coarser_and_a_new_one_has_nothing() {
        let mut room = Room::new(100 * Thinned::<At>::BYTES);
        let course = fed(Spacing::Even, 10_000, &mut room);
        assert!(course.points().len() <= 100);
        assert_eq!(course.points().next_back(), Some(&saw(9_999)));
        assert_eq!(course.left_out(), 0);
        let mut none = Room::new(0);
        let other = fed(Spacing::Even, 10, &mut none);
        assert_eq!((other.points().len(), other.left_out()), (0, 10));
    }
}
