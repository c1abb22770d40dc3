//! Joins each upload with the connections in front of its own.

use std::collections::VecDeque;

use foldhash::HashMap;
use upload_protocol::timeline::Timeline;

use super::Pipeline;
use crate::core::{
    connection::{Connection, Relays},
    connection_table::ConnectionTable,
    hops::{Leg, MAX_EXCHANGES, hops},
    timeline::timeline,
};

/// How long a closed connection waits for its response on the connection in front of it.
pub(super) const RESPONSE_NS: u64 = 300_000_000;
/// Connections that ended, and that may have carried an upload before: a proxy's connection to its server may
/// stay open for longer than its client's. Of more than these, in number or in bytes, the oldest are forgotten.
const MAX_ENDED: usize = 1_024;
const MAX_ENDED_BYTES: usize = 16 << 20;

/// Connections in front of others that have left the table, by the cookie of their server's socket.
#[derive(Debug, Default)]
pub(super) struct EndedLegs {
    legs: HashMap<u64, Leg>,
    order: VecDeque<u64>,
    bytes: usize,
}

impl EndedLegs {
    fn add(&mut self, cookie: u64, leg: Leg) {
        let bytes = leg.bytes();
        while self.order.len() >= MAX_ENDED
            || !self.order.is_empty() && self.bytes.saturating_add(bytes) > MAX_ENDED_BYTES
        {
            let oldest = self.order.pop_front();
            let forgotten = oldest.and_then(|oldest| self.legs.remove(&oldest));
            let freed = forgotten.map_or(0, |leg| leg.bytes());
            self.bytes = self.bytes.saturating_sub(freed);
        }
        self.order.push_back(cookie);
        self.bytes = self.bytes.saturating_add(bytes);
        self.legs.insert(cookie, leg);
    }
}

impl Pipeline {
    /// Names the hops of each of the latest uploads in the timeline of the last one.
    pub(super) fn add_hops(&self, connection: &Connection, timeline: &mut Timeline) {
        let relays = connection
            .client
            .as_deref()
            .map(|view| &view.incidents().relays);
        if timeline.uploads.is_empty() || relays.is_none_or(Relays::is_empty) {
            return;
        }
        let last = Leg::new(connection, timeline.clone());
        for upload in timeline.uploads.iter_mut().rev().take(MAX_EXCHANGES) {
            let find = |cookie| self.leg(cookie);
            upload.hops = hops(&last, &upload.id, find, |pid| self.accepts(pid));
        }
    }

    /// Whether a process accepts connections.
    fn accepts(&self, pid: u32) -> bool {
        let ended = self.ended_legs.legs.values();
        let mut of_ended = ended.filter_map(|leg| leg.timeline.server.owner.pid);
        let mut open = self.table.server_processes();
        of_ended.any(|known| known == pid) || open.any(|known| known == pid)
    }

    /// The connection whose server has this socket.
    fn leg(&self, cookie: u64) -> Option<Leg> {
        if let Some(ended) = self.ended_legs.legs.get(&cookie) {
            return Some(ended.clone());
        }
        let connection = self.table.get(self.table.find(cookie)?)?;
        if self.lacks_client(connection) {
            return None;
        }
        connection
            .server
            .as_deref()
            .filter(|view| view.cookie == cookie)?;
        let reported = self.correlator.uploads(connection);
        let known = (reported.map(|reported| reported.uploads), None);
        let timeline = timeline(connection, known, &self.host, self.tick.mono_ns)?;
        Some(Leg::new(connection, timeline))
    }

    /// Keeps a connection that leaves the table, if it may be in front of another.
    pub(super) fn keep_leg(&mut self, connection: &Connection, timeline: &Timeline) {
        if connection.dialogue.payload.turns().is_some()
            && let Some(server) = &connection.server
        {
            let leg = Leg::new(connection, timeline.clone());
            self.ended_legs.add(server.cookie, leg);
        }
    }
}

/// Whether the response of a closed connection has still to be sent on the one in front of it.
pub(super) fn awaits_response(table: &ConnectionTable, connection: &Connection) -> bool {
    let Some(client) = connection.client.as_deref() else {
        return false;
    };
    let relays = client.incidents().relays.between(0, u64::MAX);
    let Some((at_ns, relay)) = relays.last() else {
        return false;
    };
    let front = table.find(relay.read).and_then(|key| table.get(key));
    let server = front.and_then(|front| front.server.as_deref());
    server.is_some_and(|server| {
        let mut sent = server.incidents().relays.between(at_ns, u64::MAX);
        !server.is_closed() && !sent.any(|(_, sent)| sent.read == client.cookie)
    })
}

#[cfg(test)]
mod tests {
    use upload_protocol::{
        ConnectionId,
        timeline::{Exchange, Maintenance, Phase, Timeline},
    };

    use super::{Connection, EndedLegs, Leg, MAX_ENDED, MAX_ENDED_BYTES};

    /// A peer chooses its targets.
    #[test]
    fn ended_connections_are_limited_in_number_and_in_bytes() {
        let check = |target: usize, most: usize| {
            let mut ended = EndedLegs::default();
            for cookie in 1..=2 * MAX_ENDED as u64 {
                let mut exchange = Exchange::default();
                exchange.request.target = "/".repeat(target);
                let phase = Maintenance {
                    exchanges: vec![exchange],
                    ..Maintenance::default()
                };
                let timeline = Timeline {
                    phases: vec![Phase::Maintenance(Box::new(phase))],
                    ..Timeline::default()
                };
                let connection = Connection::new(ConnectionId::new(cookie, None));
                ended.add(cookie, Leg::new(&connection, timeline));
                assert!(ended.bytes <= MAX_ENDED_BYTES);
            }
            assert!(ended.legs.contains_key(&(2 * MAX_ENDED as u64)));
            assert_eq!(ended.legs.len(), ended.order.len());
            assert!(ended.legs.len() <= most && ended.legs.len() >= most / 2);
        };
        check(1, MAX_ENDED);
        check(1 << 20, 16);
    }
}
