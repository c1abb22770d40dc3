//! Keeps samples of connections, where an output shows them.

use tracer_ebpf::record::Sample;
use upload_protocol::End;

use super::{ConnectionTable, Key};
use crate::core::{
    connection::{Connection, Room},
    dialogue::RelativeSegment,
};

/// For the points of all connections: those of some 500 that have as many as they may.
const MAX_BYTES: usize = 32 << 20;

/// Whether samples are kept, and how much memory is left for them.
#[derive(Debug, Default)]
pub(super) struct Sampling(Option<Room>);

impl ConnectionTable {
    /// Keeps samples.
    pub fn keep_samples(&mut self) {
        self.sampling = Sampling(Some(Room::new(MAX_BYTES)));
    }

    #[must_use]
    pub const fn keeps_samples(&self) -> bool {
        self.sampling.0.is_some()
    }

    /// A sample of a socket.
    pub(super) fn sample(&mut self, cookie: u64, sample: &Sample) -> Option<(Key, End)> {
        let key = self.find(cookie)?;
        let connection = self.connections.get_mut(&key)?;
        let end = connection.end_of(cookie)?;
        if let Some(room) = &mut self.sampling.0 {
            let samples = connection.samples.get_or_insert_default();
            samples.record(end, sample, room);
        }
        Some((key, end))
    }
}

impl Sampling {
    /// A segment of a connection in the table.
    pub(super) fn segment(&mut self, connection: &mut Connection, segment: &RelativeSegment) {
        if let Some(room) = &mut self.0 {
            connection.sample_segment(segment, room);
        }
    }

    /// A connection leaves the table.
    pub(super) fn give_back(&mut self, connection: &Connection) {
        if let (Some(room), Some(samples)) = (&mut self.0, &connection.samples) {
            room.give(samples.bytes());
        }
    }
}

impl Connection {
    /// Takes the next segment, where every one is seen.
    pub(crate) fn sample_segment(&mut self, segment: &RelativeSegment, room: &mut Room) {
        if let Some(flowing) = segment.flowing() {
            let samples = self.samples.get_or_insert_default();
            samples.record_segment(&flowing, room);
        }
    }
}
