//! The connections of a capture that were open before it: which end is the client is seen once one of them sends
//! what only a client sends, or a server. Until then, their first segments are held.

use std::collections::VecDeque;

use foldhash::HashMap;
use upload_protocol::{ConnectionId, End, Flags, RolesFrom};

use super::{ConnectionTable, Key, Passed};
use crate::core::{address::Address, payload, segment::Segment};

/// Segments of one connection that are held …
const MAX_SEGMENTS: usize = 32;
/// … and for how long; …
const PATIENCE_NS: u64 = 1_000_000_000;
/// … and what is held of all connections, in bytes.
const MAX_BYTES: usize = 16 << 20;
/// Connections that were decided, and are forgotten with those before them.
const MAX_DECIDED: usize = 1024;

/// The segments of connections whose client is not known yet.
#[derive(Debug, Default)]
pub(super) struct Undecided {
    of: HashMap<Key, Vec<Segment>>,
    /// When the first segment of each was held. Some were decided since.
    since: VecDeque<(u64, Key)>,
    held_bytes: usize,
}

/// The client of a connection, and how it is known.
pub(super) type Client = (Address, RolesFrom);

/// Which end is the client, as far as one segment shows: a SYN without ACK comes from it, a SYN-ACK goes to it;
/// else its payload may show the sender.
pub(super) fn client_by(segment: &Segment<&[u8]>) -> Option<Client> {
    let (source, destination) = (segment.source, segment.destination);
    if segment.flags.has(Flags::SYN | Flags::ACK) {
        return Some((destination, RolesFrom::Opening));
    }
    if segment.flags.has(Flags::SYN) {
        return Some((source, RolesFrom::Opening));
    }
    let client = match payload::sender(segment.payload())? {
        End::Client => source,
        End::Server => destination,
    };
    Some((client, RolesFrom::Payload))
}

/// The end with the higher port, since clients use ephemeral ports.
pub(super) fn client_by_ports(segment: &Segment<&[u8]>) -> Client {
    let (source, destination) = (segment.source, segment.destination);
    let client = if source.port() >= destination.port() {
        source
    } else {
        destination
    };
    (client, RolesFrom::Ports)
}

impl Undecided {
    /// Begins to hold the segments of a connection.
    pub(super) fn begin(&mut self, key: Key, mono_ns: u64) {
        self.of.insert(key, Vec::new());
        if self.since.len() > 2 * self.of.len() + MAX_DECIDED {
            self.since.retain(|(_, key)| self.of.contains_key(key));
        }
        self.since.push_back((mono_ns, key));
    }

    pub(super) fn has(&self, key: Key) -> bool {
        !self.of.is_empty() && self.of.contains_key(&key)
    }

    /// Holds a segment; false if it is the last that is held.
    fn hold(&mut self, key: Key, segment: Box<Segment>) -> bool {
        self.held_bytes += bytes(&segment);
        let held = self.of.entry(key).or_default();
        let is_over = [Flags::FIN, Flags::RST]
            .into_iter()
            .any(|flag| segment.flags.has(flag));
        held.push(*segment);
        !is_over && held.len() < MAX_SEGMENTS && self.held_bytes <= MAX_BYTES
    }

    /// Takes the segments of a connection that is decided.
    fn take(&mut self, key: Key) -> Vec<Segment> {
        let held = self.of.remove(&key).unwrap_or_default();
        let held_bytes: usize = held.iter().map(bytes).sum();
        self.held_bytes = self.held_bytes.saturating_sub(held_bytes);
        held
    }

    /// The next connection that is held for too long.
    fn next_due(&mut self, now_ns: u64) -> Option<Key> {
        loop {
            let (since_ns, key) = self.since.front().copied()?;
            let is_decided = !self.of.contains_key(&key);
            let is_due = since_ns.saturating_add(PATIENCE_NS) <= now_ns;
            if !is_decided && !is_due {
                return None;
            }
            self.since.pop_front();
            if !is_decided {
                return Some(key);
            }
        }
    }
}

fn bytes(segment: &Segment) -> usize {
    size_of::<Segment>() + segment.packet.len()
}

impl ConnectionTable {
    /// Holds a segment of a connection whose client is not known yet; passes all on that are held once it is.
    pub(super) fn hold(&mut self, key: Key, mut segment: Segment<&[u8]>, passed: &mut Vec<Passed>) {
        let client = client_by(&segment);
        let segment = segment.keep(self.segments);
        let goes_on = self.captured.undecided.hold(key, segment);
        if client.is_some() || !goes_on {
            self.decide(key, client, passed);
        }
    }

    /// Passes on what was held for too long.
    pub fn decide_due(&mut self, now_ns: u64) -> Vec<(ConnectionId, Vec<Passed>)> {
        let mut all = Vec::new();
        while let Some(key) = self.captured.undecided.next_due(now_ns) {
            let mut passed = Vec::new();
            self.decide(key, None, &mut passed);
            if let Some(id) = self.connections.get(&key).map(|found| found.id) {
                self.record_losses(id, &passed);
                all.push((id, passed));
            }
        }
        all
    }

    /// Passes on what is held of a connection; without a client, the ports decide.
    pub(super) fn decide(&mut self, key: Key, client: Option<Client>, passed: &mut Vec<Passed>) {
        if !self.captured.undecided.has(key) {
            return;
        }
        let held = self.captured.undecided.take(key);
        let now_ns = self.now_ns;
        if let Some(connection) = self.connections.get_mut(&key)
            && let Some((client, roles_from)) = client
            && let Some(captured) = &mut connection.captured
        {
            connection.roles_from = roles_from;
            if client != captured.client {
                captured.turn();
            }
        }
        for segment in held {
            passed.extend(self.pass_decided(key, segment.borrowed()));
        }
        self.now_ns = self.now_ns.max(now_ns);
    }
}
