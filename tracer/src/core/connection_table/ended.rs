//! The connections of a capture that were emitted: segments may follow, whose numbers go on.

use foldhash::HashMap;
use upload_protocol::ConnectionId;

use crate::core::{address::Address, dialogue::Dialogue};

/// Ended connections whose relative numbers are remembered: a generation, of which two are kept.
const MAX_GENERATION: usize = 1 << 14;

/// The latest connections that were emitted. Boxed, since half of the places are empty.
#[derive(Debug, Default)]
pub(super) struct EndedConnections {
    latest: HashMap<ConnectionId, Box<Ended>>,
    /// The previous generation.
    older: HashMap<ConnectionId, Box<Ended>>,
    /// Whether there was one before, which is forgotten.
    has_forgotten: bool,
    /// The highest number of a conversation so far that one capture alone has.
    highest: Option<u64>,
}

/// A connection that was emitted.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) client: Address,
    /// Its relative numbers alone.
    pub(super) dialogue: Dialogue,
}

impl EndedConnections {
    pub(super) fn find(&mut self, id: ConnectionId) -> Option<&mut Ended> {
        let known = self.latest.get_mut(&id);
        known.or_else(|| self.older.get_mut(&id)).map(Box::as_mut)
    }

    pub(super) fn insert(&mut self, id: ConnectionId, ended: Ended) {
        if self.latest.len() >= MAX_GENERATION {
            self.has_forgotten |= !self.older.is_empty();
            self.older = std::mem::take(&mut self.latest);
        }
        self.latest.insert(id, Box::new(ended));
    }

    /// Whether a connection that opens now was emitted, and forgotten since: conversations are numbered in the
    /// order in which they begin.
    pub(super) fn is_resumed(&mut self, id: ConnectionId) -> bool {
        let number = Some(id.stream());
        let is_lower = number <= self.highest;
        self.highest = self.highest.max(number);
        is_lower && self.has_forgotten
    }
}
