//! Segments on their way to their connection's dialogue.

use upload_protocol::End;

use super::{ConnectionTable, Key, pairing::Numbers};
use crate::core::{
    dialogue::{RelativeSegment, Sighting},
    event::{Addresses, Aside},
    segment::Segment,
};

impl ConnectionTable {
    /// Goes through the segments that were seen before `before_ns`; tells them by connection where
    /// they are to be told.
    pub fn settle(&mut self, before_ns: u64) -> Vec<(Key, Vec<RelativeSegment>)> {
        let mut all = Vec::new();
        for key in std::mem::take(&mut self.unsettled) {
            let Some(connection) = self.connections.get_mut(&key) else {
                continue;
            };
            let told = connection.dialogue.settle(before_ns, self.segments);
            if !told.is_empty() {
                all.push((key, told));
            }
            if !connection.dialogue.is_settled() {
                self.unsettled.push(key);
            }
        }
        all
    }

    /// A segment belongs to its socket's connection, or, while it runs under the listener's
    /// cookie, to the one between its addresses.
    pub(super) fn segment(
        &mut self,
        cookie: u64,
        mono_ns: u64,
        segment: Segment<&[u8]>,
        aside: Aside,
    ) -> Option<(Key, End)> {
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
                    self.pending
                        .note_segment(mono_ns, segment.keep(self.segments), aside);
                    return None;
                }
            }
        };
        if self.is_news(key, from, &segment, aside) {
            self.hear(key, from, mono_ns, segment.keep(self.segments), aside);
        }
        Some((key, from))
    }

    /// Notes what a segment says beside its place in the dialogue; whether it has one: an arrival of
    /// what was seen to leave has none.
    pub(super) fn is_news<Packet>(
        &mut self,
        key: Key,
        from: End,
        segment: &Segment<Packet>,
        aside: Aside,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(&key) else {
            return false;
        };
        if from == End::Server
            && !segment.leaving
            && let Some(numbers) = Numbers::of_syn_ack(segment)
            && connection.view(End::Server).is_none()
        {
            self.pairing.note_numbers(numbers, key);
        }
        if let Some(queue) = aside.accept_queue {
            connection.note_accept_queue(queue);
        }
        segment.leaving || !connection.dialogue.arrives(from, segment)
    }

    pub(super) fn hear(
        &mut self,
        key: Key,
        from: End,
        mono_ns: u64,
        segment: Box<Segment>,
        aside: Aside,
    ) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        let receiver_is_here = connection.view(from.other()).is_some();
        let sighting = Sighting {
            mono_ns,
            segment,
            before_bytes: aside.before_bytes,
            turned_ns: aside.turned_ns,
        };
        let is_first = connection.dialogue.is_settled();
        connection.dialogue.hear(from, receiver_is_here, sighting);
        if is_first && !connection.dialogue.is_settled() {
            self.unsettled.push(key);
        }
    }
}
