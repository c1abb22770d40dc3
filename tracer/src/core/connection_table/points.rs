//! The connections that two captures have: their segments are matched before they are passed on.

use foldhash::{HashMap, HashSet};
use upload_protocol::ConnectionId;

use super::{ConnectionTable, Key, Passed};
use crate::core::{
    points::{Crossings, Pair, Point, Points, Released},
    segment::Segment,
};

/// What is held of one connection, in bytes, before it is released without more being known …
const MAX_HELD_BYTES: usize = 32 << 20;
/// … and of all together.
const MAX_HELD_BYTES_OF_ALL: usize = 128 << 20;

/// The segments of all connections between two points.
#[derive(Debug, Default)]
pub(super) struct AllCrossings {
    of: HashMap<ConnectionId, Between>,
    /// Connections with segments that are held.
    waiting: HashSet<ConnectionId>,
    held_bytes: usize,
}

#[derive(Debug)]
struct Between {
    pair: Pair,
    crossings: Crossings,
}

impl ConnectionTable {
    /// Takes a segment of a conversation that both captures have, as one of them has it. Returns those of
    /// which all is known now, in the order sent.
    pub fn pass_point(
        &mut self,
        (id, pair): (ConnectionId, &Pair),
        points: &Points,
        point: Point,
        mut segment: Segment<&[u8]>,
    ) -> Vec<Passed> {
        segment.source = pair.in_first(point, segment.source);
        segment.destination = pair.in_first(point, segment.destination);
        let now_ns = segment.mono_ns;
        let is_near = point == pair.near(segment.source);
        let all = &mut self.captured.crossings;
        let between = all.of.entry(id).or_insert_with(|| Between {
            pair: *pair,
            crossings: Crossings::new(pair.ends[0][0], points.spans()),
        });
        let before = between.crossings.held_bytes();
        between
            .crossings
            .observe((point, is_near), segment.keep(true));
        all.held_bytes = (all.held_bytes + between.crossings.held_bytes()).saturating_sub(before);
        let is_full = all.held_bytes > MAX_HELD_BYTES_OF_ALL;
        let room = if is_full { 0 } else { MAX_HELD_BYTES };
        self.release(id, |crossings| crossings.release(now_ns, room))
    }

    /// Releases what waits for something that does not come, of all connections.
    pub fn release_waiting(&mut self, now_ns: u64) -> Vec<(ConnectionId, Vec<Passed>)> {
        self.release_all(|crossings| crossings.release(now_ns, MAX_HELD_BYTES))
    }

    /// Releases all that is held: nothing follows.
    pub fn finish_waiting(&mut self, now_ns: u64) -> Vec<(ConnectionId, Vec<Passed>)> {
        self.release_all(|crossings| crossings.finish(now_ns))
    }

    /// Passes on all that is held of a connection that leaves the table.
    pub fn finish_held(&mut self, key: Key, now_ns: u64) -> Vec<Passed> {
        let Some(id) = self.connections.get(&key).map(|found| found.id) else {
            return Vec::new();
        };
        let mut passed = self.release(id, |crossings| crossings.finish(now_ns));
        let released = passed.len();
        self.decide(key, None, &mut passed);
        self.record_losses(id, &passed[released..]);
        let between = self.captured.crossings.of.remove(&id);
        if let Some(connection) = self.connections.get_mut(&key)
            && let Some(captured) = &mut connection.captured
        {
            captured.crossings = between.map(|between| Box::new(between.crossings));
        }
        passed
    }

    fn release_all(
        &mut self,
        mut release: impl FnMut(&mut Crossings) -> Vec<Released>,
    ) -> Vec<(ConnectionId, Vec<Passed>)> {
        let all = &mut self.captured.crossings;
        let mut waiting: Vec<ConnectionId> = all.waiting.iter().copied().collect();
        waiting.sort_unstable();
        let released = waiting
            .into_iter()
            .map(|id| (id, self.release(id, &mut release)));
        released.collect()
    }

    fn release(
        &mut self,
        id: ConnectionId,
        release: impl FnOnce(&mut Crossings) -> Vec<Released>,
    ) -> Vec<Passed> {
        let all = &mut self.captured.crossings;
        let Some(between) = all.of.get_mut(&id) else {
            return Vec::new();
        };
        let pair = between.pair;
        let before = between.crossings.held_bytes();
        let released = release(&mut between.crossings);
        let after = between.crossings.held_bytes();
        all.held_bytes = (all.held_bytes + after).saturating_sub(before);
        if between.crossings.is_empty() {
            all.waiting.remove(&id);
        } else {
            all.waiting.insert(id);
        }
        let mut passed = Vec::with_capacity(released.len());
        for segment in released {
            self.pass_of((id, Some(&pair)), segment.borrowed(), &mut passed);
        }
        self.record_losses(id, &passed);
        if !self.captured.keys.contains_key(&id) && !self.captured.crossings.waiting.contains(&id) {
            // What comes after its timeline.
            self.captured.crossings.of.remove(&id);
        }
        passed
    }

    /// Lists those that were lost between two captures, or beyond them.
    pub(super) fn record_losses(&mut self, id: ConnectionId, passed: &[Passed]) {
        let Some(between) = self.captured.crossings.of.get_mut(&id) else {
            return;
        };
        for lost in passed.iter().filter_map(|one| one.segment.lost()) {
            between.crossings.record_loss(lost);
        }
    }
}
