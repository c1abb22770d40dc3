//! Finds a socket's connection, or opens one.

use std::num::NonZeroU64;

use upload_protocol::{ConnectionId, End, RolesFrom, State};

use super::{Change, ConnectionTable, Key, pairing::Pair};
use crate::core::{
    connection::{Connection, View},
    event::Addresses,
};

impl ConnectionTable {
    /// The connection and end of a socket. Opens a connection if the socket is new and no connection
    /// waits for its other end.
    pub(super) fn socket(
        &mut self,
        cookie: u64,
        addresses: Addresses,
        change: Change,
    ) -> (Key, End) {
        // A socket may connect again: the same cookie, another connection.
        let Change { old, new, .. } = change;
        let reborn = old == State::Close && new == State::SynSent;
        if !reborn
            && let Some(key) = self.find(cookie)
            && let Some(end) = self.get(key).and_then(|known| known.end_of(cookie))
        {
            return (key, end);
        }
        let (end, from) = self.role(addresses, change);
        let pair = Pair::new(addresses, end);
        let waiting = self.other_end_of(&pair, end);
        let key = match waiting {
            Some(key) => {
                self.pairing.paired(key, &pair);
                key
            }
            None => self.open(cookie, change),
        };
        self.sockets.insert(cookie, key);
        if let Some(connection) = self.connections.get_mut(&key) {
            let mut view = View::new(cookie, addresses);
            if change.in_repair && reborn {
                view.record_restored();
            }
            *connection.view_mut(end) = Some(Box::new(view));
            connection.roles_from = match from {
                RolesFrom::Simultaneous => from,
                _ => connection.roles_from.min(from),
            };
        }
        if waiting.is_none() && (end, from) == (End::Server, RolesFrom::Opening) {
            self.record_lost_syn(key, &pair);
        }
        if addresses.local.port() != 0 {
            if waiting.is_none() {
                self.pairing.await_peer(pair, key);
            }
            // The handshake of a client comes after its SYN_SENT.
            let since_ns = if new == State::SynSent {
                self.now_ns
            } else {
                0
            };
            self.file(key, pair, since_ns);
        }
        (key, end)
    }

    /// The connection that waits for this end.
    pub(super) fn other_end_of(&self, pair: &Pair, end: End) -> Option<Key> {
        let by_numbers = || {
            let numbers = self.pending.numbers(pair.client, pair.server)?;
            self.pairing.by_numbers(numbers)
        };
        let found = match (self.pairing.by_addresses(pair), end) {
            // Only for a server: its client's SYN-ACK has arrived before its socket exists.
            (None, End::Server) => by_numbers(),
            (found, _) => found,
        };
        found.filter(|key| {
            self.connections
                .get(key)
                .is_some_and(|connection| connection.view(end).is_none())
        })
    }

    fn open(&mut self, cookie: u64, change: Change) -> Key {
        self.next += 1;
        let key = Key(self.next);
        // The name of a socket's later connections has a number: cookie.number. Its connection before
        // may have left the table, at its end or, where any did, before that.
        let begins = (change.old, change.new) == (State::Close, State::SynSent);
        let is_known =
            change.again || self.sockets.contains_key(&cookie) || self.any_unfinished && !begins;
        let again = NonZeroU64::new(key.0).filter(|_| is_known);
        let mut connection = Connection::new(ConnectionId::new(cookie, again));
        connection.after_loss = self.lost_ns.is_some() || self.any_unfinished;
        self.connections.insert(key, Box::new(connection));
        key
    }

    /// `connect` chooses the local port after SYN_SENT: only now can the other end be paired.
    pub(super) fn complete_addresses(&mut self, key: Key, end: End, addresses: Addresses) {
        let Some(view) = self.view_mut(key, end) else {
            return;
        };
        if addresses.local.port() == 0 {
            return;
        }
        view.addresses = addresses;
        let connect = view.transitions.first();
        let connect = connect.filter(|first| first.new == State::SynSent);
        let since_ns = connect.map_or(0, |connect| connect.mono_ns);
        let pair = Pair::new(addresses, end);
        self.pairing.await_peer(pair, key);
        self.file(key, pair, since_ns);
    }

    /// Indexes a connection by its addresses, and gives it the segments since `since_ns` that came before its socket.
    fn file(&mut self, key: Key, pair: Pair, since_ns: u64) {
        let Pair { client, server, .. } = pair;
        self.tuples.insert((client, server), key);
        let handshake = self.pending.take_segments(client, server).since(since_ns);
        let first_ns = handshake.first_ns().unwrap_or_default();
        let syn_acks = self
            .pending
            .take_syn_acks(client, server, since_ns.max(first_ns));
        if let Some(connection) = self.connections.get_mut(&key) {
            for mono_ns in syn_acks {
                connection.record_syn_ack_retransmit(mono_ns);
            }
        }
        for (from, segment) in handshake.of(client) {
            self.pending_segment(key, from, segment);
        }
    }
}
