//! Finds a segment's connection, and passes it to the dialogue.

use upload_protocol::{End, Flags};

use super::{ConnectionTable, Key, pairing::Numbers};
use crate::core::{
    connection::{Connection, View},
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
            for segment in &settled {
                self.sampling.segment(connection, segment);
            }
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
    pub(super) fn segment(
        &mut self,
        cookie: u64,
        segment: &mut Segment<&[u8]>,
    ) -> Option<(Key, End)> {
        // A socket may listen after it has had a connection.
        let known = self.sockets.get(&cookie).copied();
        let (key, from) = match known.filter(|_| !segment.under_listener) {
            Some(key) => {
                let (mut end, mut view) = self.view_of(key, cookie)?;
                if view.addresses.local.port() == 0 {
                    let addresses = completed(view.addresses, segment);
                    self.complete_addresses(key, end, addresses);
                    (end, view) = self.view_of(key, cookie)?;
                }
                if segment.leaving {
                    record_translation(view, segment);
                }
                // A socket that is connected to itself sends every segment, and receives it.
                let sends = segment.leaving || view.is_its_own_peer();
                (key, if sends { end } else { end.other() })
            }
            None => {
                let Some(found) = self.between_addresses_of(segment) else {
                    self.pending.add_segment(segment.keep(self.segments));
                    return None;
                };
                found
            }
        };
        self.record_handshake_facts(key, from, segment);
        if !self.match_arrival(key, from, segment) {
            self.observe(key, from, segment.keep(self.segments));
        }
        Some((key, from))
    }

    /// The connection between a segment's addresses, and the end that sent it. Not one whose server's socket exists,
    /// for a handshake with the listener: that opens another, and the end of this one may have been lost.
    fn between_addresses_of<Packet>(&self, segment: &Segment<Packet>) -> Option<(Key, End)> {
        let (source, destination) = (segment.source, segment.destination);
        let sent_by = |client, server, end| Some((*self.tuples.get(&(client, server))?, end));
        let (key, from) = sent_by(source, destination, End::Client)
            .or_else(|| sent_by(destination, source, End::Server))?;
        let opens = segment.under_listener
            && (segment.flags.has(Flags::SYN) || self.pending.has_syn_between(source, destination));
        let has_server = |known: &Connection| known.view(End::Server).is_some();
        let is_earlier = opens && self.get(key).is_some_and(has_server);
        (!is_earlier).then_some((key, from))
    }

    /// Adds more of the payload of a segment that was seen just before.
    pub(super) fn more_bytes(&mut self, cookie: u64, more: MoreBytes<'_>) -> Option<(Key, End)> {
        let key = self.find(cookie)?;
        let connection = self.connections.get_mut(&key)?;
        let end = connection.end_of(cookie)?;
        let sends = more.leaving || connection.is_its_own_peer();
        let from = if sends { end } else { end.other() };
        connection.dialogue.add_bytes(from, more);
        Some((key, from))
    }

    fn view_of(&mut self, key: Key, cookie: u64) -> Option<(End, &mut View)> {
        let connection = self.connections.get_mut(&key)?;
        let end = connection.end_of(cookie)?;
        Some((end, connection.view_mut(end).as_deref_mut()?))
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
        if segment.under_listener && segment.len > 0 {
            connection
                .dialogue
                .record_early_payload(from, segment.mono_ns);
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
        let receiver_is_here =
            connection.view(from.other()).is_some() || connection.is_its_own_peer();
        let is_first = connection.dialogue.is_settled();
        connection.dialogue.observe(from, receiver_is_here, segment);
        if is_first && !connection.dialogue.is_settled() {
            self.unsettled.push(key);
        }
    }
}

/// A socket's addresses with the port that `connect` chose. The packet's own addresses count only where
/// no more is known: NAT comes before the hook.
fn completed(known: Addresses, segment: &Segment<&[u8]>) -> Addresses {
    let (local, remote) = match (segment.socket_port, segment.leaving) {
        (0, true) => (segment.source, segment.destination),
        (0, false) => (segment.destination, segment.source),
        (port, _) => (known.local.with_port(port), known.remote),
    };
    Addresses {
        local,
        remote,
        ..known
    }
}

/// Records the addresses that NAT on this machine makes of the socket's own.
fn record_translation(view: &mut View, segment: &Segment<&[u8]>) {
    let on_wire = (segment.source, segment.destination);
    let own = (view.addresses.local, view.addresses.remote);
    if segment.socket_port != 0 && on_wire != own && view.incidents().on_wire.is_none() {
        view.record_on_wire(segment.source, segment.destination);
    }
}
