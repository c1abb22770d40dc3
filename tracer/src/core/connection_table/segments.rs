//! Finds a segment's connection, and passes it to the dialogue.

use upload_protocol::End;

use super::{ConnectionTable, Key, pairing::Numbers};
use crate::core::{
    connection::Connection,
    dialogue::RelativeSegment,
    event::{Addresses, MoreBytes},
    segment::Segment,
    timeline::has_upload,
};

impl ConnectionTable {
    /// Settles the segments seen before `before_ns`. Returns them by connection, if segments are shown.
    pub fn settle(&mut self, before_ns: u64) -> Vec<(Key, Vec<RelativeSegment>)> {
        let mut all = Vec::new();
        for key in std::mem::take(&mut self.unsettled) {
            let Some(connection) = self.connections.get_mut(&key) else {
                continue;
            };
            let settled = connection.dialogue.settle(before_ns, self.segments);
            self.transfers.learn(connection);
            if !settled.is_empty() {
                all.push((key, settled));
            }
            let payload = &mut connection.dialogue.payload;
            if payload.has_finished() || payload.take_answered() && has_upload(payload) {
                self.finished.push(key);
            }
            if !connection.dialogue.is_settled() {
                self.unsettled.push(key);
            }
        }
        all
    }

    /// Takes the connections with exchanges that are over, in the order settled.
    pub fn take_finished(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.finished)
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut Connection> {
        self.connections.get_mut(&key).map(Box::as_mut)
    }

    /// A segment belongs to its socket's connection. During the handshake it has the listener's cookie:
    /// then it belongs to the connection between its addresses.
    pub(super) fn segment(&mut self, cookie: u64, segment: Segment<&[u8]>) -> Option<(Key, End)> {
        let (key, from) = match self.sockets.get(&cookie).copied() {
            Some(key) => {
                let connection = self.get(key)?;
                let end = connection.end_of(cookie)?;
                let from = if segment.leaving { end } else { end.other() };
                let known = connection.view(end)?.addresses;
                if known.local.port() == 0 {
                    let (local, remote) = if segment.leaving {
                        (segment.source, segment.destination)
                    } else {
                        (segment.destination, segment.source)
                    };
                    let addresses = Addresses {
                        local,
                        remote,
                        ..known
                    };
                    self.complete_addresses(key, end, addresses);
                }
                (key, from)
            }
            None => {
                let (source, destination) = (segment.source, segment.destination);
                if let Some(key) = self.tuples.get(&(source, destination)) {
                    (*key, End::Client)
                } else if let Some(key) = self.tuples.get(&(destination, source)) {
                    (*key, End::Server)
                } else {
                    self.pending.add_segment(segment.keep(self.segments));
                    return None;
                }
            }
        };
        self.record_handshake_facts(key, from, &segment);
        if !self.match_arrival(key, from, &segment) {
            self.observe(key, from, segment.keep(self.segments));
        }
        Some((key, from))
    }

    /// Adds more of the payload of a segment that was seen just before.
    pub(super) fn more_bytes(&mut self, cookie: u64, more: MoreBytes<'_>) -> Option<(Key, End)> {
        let key = self.find(cookie)?;
        let connection = self.connections.get_mut(&key)?;
        let end = connection.end_of(cookie)?;
        let from = if more.leaving { end } else { end.other() };
        connection.dialogue.add_bytes(from, more);
        Some((key, from))
    }

    /// Takes in a segment of a handshake that ran before its connection was known.
    pub(super) fn pending_segment(&mut self, key: Key, from: End, segment: Box<Segment>) {
        self.record_handshake_facts(key, from, &segment);
        if !self.match_arrival(key, from, &segment) {
            self.observe(key, from, segment);
        }
    }

    /// Records the listener's accept queue, and the initial sequence numbers, by which the other end is
    /// found behind NAT.
    fn record_handshake_facts<Packet>(&mut self, key: Key, from: End, segment: &Segment<Packet>) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        if from == End::Server
            && !segment.leaving
            && let Some(numbers) = Numbers::of_syn_ack(segment)
            && connection.view(End::Server).is_none()
        {
            self.pairing.await_numbers(numbers, key);
        }
        if let Some(queue) = segment.accept_queue {
            connection.record_accept_queue(queue);
        }
    }

    /// Whether this is the arrival of a segment that was seen leaving.
    fn match_arrival<Packet>(&mut self, key: Key, from: End, segment: &Segment<Packet>) -> bool {
        let connection = self.connections.get_mut(&key);
        !segment.leaving
            && connection.is_some_and(|found| found.dialogue.match_arrival(from, segment))
    }

    fn observe(&mut self, key: Key, from: End, segment: Box<Segment>) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        let receiver_is_here = connection.view(from.other()).is_some();
        let is_first = connection.dialogue.is_settled();
        connection.dialogue.observe(from, receiver_is_here, segment);
        if is_first && !connection.dialogue.is_settled() {
            self.unsettled.push(key);
        }
    }
}
