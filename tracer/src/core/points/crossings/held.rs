//! A segment that passed one point, until all is known of it.

use std::num::NonZeroU64;

use smallvec::SmallVec;

use super::{super::Point, One, copy::Copy};
use crate::core::segment::Segment;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    pub(super) from: One,
    pub(super) copy: Copy,
    pub(super) segment: Box<Segment>,
    /// Where it was seen first.
    pub(super) point: Point,
    /// Whether that is the point nearer to its sender.
    pub(super) is_near: bool,
    /// Whether it has numbers that were sent before.
    pub(super) is_again: bool,
    /// What arrived of it: from which offset to which, in order.
    arrived: SmallVec<[(u32, u32); 1]>,
    /// When the last of it arrived.
    pub(super) arrived_ns: Option<u64>,
    pub(super) acknowledged_ns: Option<u64>,
    /// Whether its receiver said that it had it twice.
    pub(super) came_twice: bool,
}

impl Held {
    pub(super) fn new(from: One, (point, is_near): (Point, bool), segment: Box<Segment>) -> Self {
        Self {
            from,
            copy: Copy::of(&segment),
            segment,
            point,
            is_near,
            is_again: false,
            arrived: SmallVec::new(),
            arrived_ns: None,
            acknowledged_ns: None,
            came_twice: false,
        }
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of::<Segment>() + self.segment.packet.len()
    }

    /// Whether another's first number did not arrive with this copy yet.
    pub(super) fn lacks(&self, other: &Copy) -> bool {
        if !self.copy.is_alike(other) {
            return false;
        }
        if !other.has_sequence() {
            return self.arrived_ns.is_none();
        }
        let offset = self.copy.offset_of(other);
        let mut arrived = self.arrived.iter();
        offset < self.copy.length() && !arrived.any(|(from, to)| (*from..*to).contains(&offset))
    }

    /// Takes an arrival, from its first number to the end of this or of what arrived before; how many
    /// numbers that are.
    pub(super) fn arrive(&mut self, other: &Copy, now_ns: u64) -> u32 {
        if !other.has_sequence() {
            self.arrived_ns = Some(now_ns);
            return 0;
        }
        let from = self.copy.offset_of(other);
        let next = self.arrived.iter().map(|(next, _)| *next);
        let most = next
            .filter(|next| *next > from)
            .fold(self.copy.length(), u32::min);
        let to = most.min(from.saturating_add(other.length()));
        let at = self.arrived.partition_point(|(known, _)| *known < from);
        self.arrived.insert(at, (from, to));
        self.arrived.dedup_by(|later, earlier| {
            let touches = later.0 <= earlier.1;
            if touches {
                earlier.1 = earlier.1.max(later.1);
            }
            touches
        });
        if self.arrived[..] == [(0, self.copy.length())] {
            self.arrived_ns = Some(now_ns);
        }
        to - from
    }

    /// Takes a departure that the order of the captures has after the arrival.
    pub(super) fn depart_late(&mut self, point: Point, frame: Option<NonZeroU64>) {
        self.is_near = true;
        self.point = point;
        self.segment.frame = frame;
        self.arrived.push((0, self.copy.length()));
        self.arrived_ns = Some(self.segment.mono_ns);
    }

    pub(super) const fn has_arrived(&self) -> bool {
        self.arrived_ns.is_some()
    }

    pub(super) fn has_begun_to_arrive(&self) -> bool {
        self.has_arrived() || !self.arrived.is_empty()
    }

    pub(super) fn delay_ns(&self) -> Option<u64> {
        Some(self.arrived_ns?.saturating_sub(self.segment.mono_ns))
    }

    pub(super) fn acknowledge(&mut self, now_ns: u64) {
        self.acknowledged_ns.get_or_insert(now_ns);
    }

    /// The first part of its payload that did not arrive.
    pub(super) fn missing(&self) -> Option<(u32, u32)> {
        let (from, to) = self.first_gap();
        let len = self.segment.len;
        Some((from.min(len), to.min(len)))
    }

    /// The same as a copy of its own.
    pub(super) fn missing_copy(&self) -> Copy {
        let (from, to) = self.first_gap();
        self.copy.part(from, to - from)
    }

    fn first_gap(&self) -> (u32, u32) {
        let length = self.copy.length();
        match self.arrived[..] {
            [] => (0, length),
            [(0, to)] => (to, length),
            [(0, to), (next, _), ..] => (to, next),
            [(from, _), ..] => (0, from),
        }
    }
}
