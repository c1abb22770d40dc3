//! The segments of one conversation at two points: finds each segment's arrival, and what became of those that
//! have none.
//!
//! A segment is held from when it passes the point of its sender until it is known to have arrived and, if it
//! has sequence numbers, to be acknowledged; then it is released, in the order sent. Segments are cut up and
//! put together on their way (segmentation offload), so arrivals are matched by ranges of sequence numbers.
//! Copies of one range are told apart by their timestamps (RFC 7323) and IP identifications; without these, by
//! which delay is nearest to those before.

mod copy;
mod direction;
mod held;
mod verdict;

use std::collections::VecDeque;

use upload_protocol::{
    Flags,
    timeline::{LostAt, LostSegment, Passage},
};

use self::{copy::Copy, direction::Direction, held::Held};
use super::Point;
use crate::core::{address::Address, segment::Segment};

/// Where little lies between the points, an arrival may come before its departure in the order of time, by
/// what timestamps are wrong by.
const EARLY_NS: u64 = 1_000_000;
/// Segments that open or close the connection, whose delays are kept.
const MAX_STEPS: usize = 64;
/// Lost segments that are listed.
const MAX_LOSSES: usize = 64;

/// The segments of one conversation between two points.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossings {
    held: VecDeque<Held>,
    /// The number of the first that is held.
    first: u64,
    held_bytes: usize,
    /// The address of one of the ends.
    one: Address,
    by_one: Direction,
    by_other: Direction,
    /// When segments that open or close the connection were sent, by whom, and how long they took.
    steps: Vec<(u64, One, u64)>,
    /// Those that were lost, and how many came after these.
    losses: Vec<LostSegment>,
    losses_left_out: u64,
    /// From when to when each capture has packets.
    spans: [(u64, u64); 2],
}

/// What became of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crossing {
    /// The capture that its frame counts in.
    pub point: Point,
    pub one_way_delay_ns: Option<u64>,
    pub lost: Option<LostAt>,
    /// What was lost of its payload: offsets from its first byte.
    pub lost_bytes: Option<(u32, u32)>,
    /// The capture that lacks it.
    pub missing_in: Option<Point>,
}

/// A segment of which all is known that can be.
pub type Released = Box<Segment>;

/// Whether it is the one end, whose address is kept, or the other.
type One = bool;

impl Crossings {
    /// `one`: an end of the conversation; `spans`: from when to when each capture has packets.
    #[must_use]
    pub fn new(one: Address, spans: [(u64, u64); 2]) -> Self {
        Self {
            held: VecDeque::new(),
            first: 0,
            held_bytes: 0,
            one,
            by_one: Direction::default(),
            by_other: Direction::default(),
            steps: Vec::new(),
            losses: Vec::new(),
            losses_left_out: 0,
            spans,
        }
    }

    /// Takes a segment as it passed a point; `is_near`: the one that is nearer to its sender. Its addresses
    /// are those of the first capture.
    pub fn observe(&mut self, (point, is_near): (Point, bool), segment: Box<Segment>) {
        let from = self.end(segment.source);
        if segment.flags.has(Flags::ACK) {
            self.acknowledge(!from, &segment);
        }
        if is_near {
            self.depart(from, point, segment);
        } else {
            self.arrive(from, point, segment);
        }
    }

    /// Releases the segments of which all is known at `now_ns`; `at_most_bytes` stay at most.
    pub fn release(&mut self, now_ns: u64, at_most_bytes: usize) -> Vec<Released> {
        let mut released = Vec::new();
        while let Some(next) = self.held.front()
            && (self.held_bytes > at_most_bytes || self.is_over(next, now_ns))
        {
            released.extend(self.release_first(now_ns));
        }
        released
    }

    /// Releases all segments: nothing follows.
    pub fn finish(&mut self, now_ns: u64) -> Vec<Released> {
        let mut released = Vec::new();
        while !self.held.is_empty() {
            released.extend(self.release_first(now_ns));
        }
        released
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// What the held segments take, in bytes of memory.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// What became of the segments of the end with this address.
    #[must_use]
    pub fn passage(&self, from: Address) -> Passage {
        self.direction(self.end(from)).passage()
    }

    /// Lists a segment that was lost. Its time is the capture's.
    pub fn record_loss(&mut self, lost: LostSegment) {
        if self.losses.len() < MAX_LOSSES {
            self.losses.push(lost);
        } else {
            self.losses_left_out += 1;
        }
    }

    /// The segments that were lost, and how many came after these.
    #[must_use]
    pub fn losses(&self) -> (&[LostSegment], u64) {
        (&self.losses, self.losses_left_out)
    }

    /// How long a segment took that opened or closed the connection.
    #[must_use]
    pub fn step_delay(&self, from: Address, mono_ns: u64) -> Option<u64> {
        let from = self.end(from);
        let mut steps = self.steps.iter();
        let found = steps.find(|(at, by, _)| *at == mono_ns && *by == from)?;
        Some(found.2)
    }

    fn end(&self, address: Address) -> One {
        address == self.one
    }

    const fn direction(&self, from: One) -> &Direction {
        if from { &self.by_one } else { &self.by_other }
    }

    const fn direction_mut(&mut self, from: One) -> &mut Direction {
        if from {
            &mut self.by_one
        } else {
            &mut self.by_other
        }
    }

    fn get(&self, number: u64) -> Option<&Held> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.held.get(at)
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Held> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.held.get_mut(at)
    }

    fn hold(&mut self, held: Held) -> u64 {
        self.held_bytes += held.bytes();
        self.held.push_back(held);
        self.first + self.held.len() as u64 - 1
    }

    fn depart(&mut self, from: One, point: Point, segment: Box<Segment>) {
        let copy = Copy::of(&segment);
        let since_ns = segment.mono_ns.saturating_sub(EARLY_NS);
        let latest = self.held.iter_mut().rev();
        let early = latest.take_while(|held| held.segment.mono_ns >= since_ns);
        let same =
            early.filter(|held| held.from == from && !held.is_near && held.copy.is_same(&copy));
        if let Some(held) = same.last() {
            held.depart_late(point, segment.frame);
            let sent_ns = segment.mono_ns;
            self.direction_mut(from).record_delay(sent_ns, 0);
            return;
        }
        let mut held = Held::new(from, (point, true), segment);
        held.is_again = self.direction_mut(from).is_again(&copy);
        let number = self.hold(held);
        let direction = self.direction_mut(from);
        direction.under_way.push_back(number);
        if copy.has_sequence() {
            direction.unacknowledged.push_back(number);
        }
    }

    fn arrive(&mut self, from: One, point: Point, segment: Box<Segment>) {
        let copy = Copy::of(&segment);
        let now_ns = segment.mono_ns;
        let mut rest = copy;
        let mut is_matched = false;
        while let Some(number) = self.match_arrival(from, &rest, now_ns) {
            is_matched = true;
            let Some(held) = self.get_mut(number) else {
                return;
            };
            let taken = held.arrive(&rest, now_ns);
            let (sent_ns, is_whole) = (held.segment.mono_ns, held.has_arrived());
            let keeps = held.copy.has_same_timestamp(&copy);
            let direction = self.direction_mut(from);
            direction.keeps_timestamps |= keeps;
            if is_whole {
                direction.forget_under_way(number);
                direction.record_delay(sent_ns, now_ns);
            }
            if taken == 0 || !rest.skip(taken) {
                break;
            }
        }
        if is_matched {
            return;
        }
        if self.direction_mut(from).arrive_late(&copy, now_ns) {
            return;
        }
        if self.is_known(from, &copy) {
            self.direction_mut(from).passage.duplicated += 1;
            return;
        }
        self.hold(Held::new(from, (point, false), segment));
    }

    /// The segment whose arrival this is.
    fn match_arrival(&self, from: One, arrived: &Copy, now_ns: u64) -> Option<u64> {
        let direction = self.direction(from);
        let mut best: Option<((bool, u64), u64)> = None;
        for number in &direction.under_way {
            let Some(held) = self.get(*number) else {
                continue;
            };
            if !held.lacks(arrived) {
                continue;
            }
            let is_same = held.copy.has_same_timestamp(arrived);
            if !is_same && (direction.keeps_timestamps || !held.copy.may_be_of_time(arrived)) {
                continue;
            }
            let is_other = held.copy.has_other_identification(arrived);
            if is_same && !is_other {
                return Some(*number);
            }
            let delay = now_ns.saturating_sub(held.segment.mono_ns);
            let rank = (is_other, delay.abs_diff(direction.delay_ns));
            if best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, *number));
            }
        }
        best.map(|(_, number)| number)
    }

    /// Whether a segment arrived already, or was released before it did.
    fn is_known(&self, from: One, copy: &Copy) -> bool {
        let held = self.held.iter();
        let mut arrived = held.filter(|held| held.from == from && held.has_begun_to_arrive());
        let mut past = self.direction(from).past.iter();
        arrived.any(|held| held.copy.has(copy)) || past.any(|known| known.has(copy))
    }

    fn acknowledge(&mut self, sender: One, segment: &Segment) {
        let (ack, now_ns) = (segment.ack, segment.mono_ns);
        while let Some(number) = self.direction(sender).unacknowledged.front().copied() {
            match self.get_mut(number) {
                Some(held) if !held.copy.ends_by(ack) => break,
                Some(held) => held.acknowledge(now_ns),
                None => {}
            }
            self.direction_mut(sender).unacknowledged.pop_front();
        }
        for (at, (left, right)) in segment.options.sack.iter().enumerate() {
            // The first block may name what came twice (RFC 2883).
            let is_duplicate = at == 0 && copy::is_before(*left, ack);
            for held in self.held.iter_mut().filter(|held| held.from == sender) {
                if !held.copy.is_within(*left, *right) {
                } else if is_duplicate {
                    held.came_twice = true;
                } else {
                    held.acknowledge(now_ns);
                }
            }
        }
    }

    fn release_first(&mut self, now_ns: u64) -> Option<Released> {
        let mut held = self.held.pop_front()?;
        self.first += 1;
        self.held_bytes = self.held_bytes.saturating_sub(held.bytes());
        let crossing = self.judge(&held, now_ns);
        let first = self.first;
        let is_step = [Flags::SYN, Flags::FIN, Flags::RST]
            .into_iter()
            .any(|flag| held.segment.flags.has(flag))
            || held.segment.len == 0;
        if let Some(delay) = crossing.one_way_delay_ns
            && is_step
        {
            self.keep_step(held.segment.mono_ns, held.from, delay);
        }
        let direction = self.direction_mut(held.from);
        direction.count(&held, &crossing);
        direction.forget_before(first);
        if held.has_begun_to_arrive() {
            direction.remember(held.copy);
        } else if held.is_near {
            direction.remember_late(held.copy, held.segment.mono_ns);
        }
        held.segment.crossing = Some(Box::new(crossing));
        Some(held.segment)
    }

    /// Keeps the delay of a segment that may be a step: the first ones, and the last.
    fn keep_step(&mut self, mono_ns: u64, from: One, delay: u64) {
        if self.steps.len() == MAX_STEPS {
            self.steps.remove(MAX_STEPS / 2);
        }
        self.steps.push((mono_ns, from, delay));
    }
}

#[cfg(test)]
mod tests;
