//! Decides which end of a connection a socket is.

use upload_protocol::{End, RolesFrom, State};

use super::{Change, ConnectionTable, Key, pairing::Pair};
use crate::core::event::Addresses;

impl ConnectionTable {
    /// Which end a socket is. Its first change of state shows it, if seen. If both ends open at once
    /// (RFC 9293, section 3.5), the one that began first is called the client. For a socket opened before
    /// the tracer attached, or restored by a process: the role of its peer, if known; else the end at a
    /// listener's address is the server; else the end with the lower port is, since clients use ephemeral
    /// ports (`net.ipv4.ip_local_port_range` starts at 32768).
    pub(super) fn role(&self, addresses: Addresses, change: Change) -> (End, RolesFrom) {
        match (change.old, change.new) {
            _ if change.in_repair => {}
            (State::Close | State::SynSent, _) | (_, State::SynSent) => {
                return if self.is_called_back(addresses) {
                    (End::Server, RolesFrom::Simultaneous)
                } else {
                    (End::Client, RolesFrom::Opening)
                };
            }
            (State::Listen | State::SynRecv | State::NewSynRecv, _) | (_, State::SynRecv) => {
                return (End::Server, RolesFrom::Opening);
            }
            _ => {}
        }
        if let Some(known) = self.role_from_peer(addresses) {
            return known;
        }
        if let Some(end) = self.listeners.end_of(addresses) {
            return (end, RolesFrom::Listener);
        }
        let end = if addresses.local.port() > addresses.remote.port() {
            End::Client
        } else {
            End::Server
        };
        (end, RolesFrom::Ports)
    }

    /// Whether the peer of a socket that connects has begun to connect to this very socket.
    fn is_called_back(&self, addresses: Addresses) -> bool {
        let waiting = self.other_end_of(&Pair::new(addresses, End::Server), End::Server);
        let peer = waiting.and_then(|key| self.get(key)?.view(End::Client));
        peer.is_some_and(|peer| !peer.is_closed())
    }

    /// Both ends sent a SYN, whether or not the other one is on this machine.
    pub(super) fn record_simultaneous_open(&mut self, key: Key) {
        if let Some(connection) = self.connections.get_mut(&key) {
            connection.roles_from = RolesFrom::Simultaneous;
        }
    }

    /// The role that the connection waiting for this socket leaves to it.
    fn role_from_peer(&self, addresses: Addresses) -> Option<(End, RolesFrom)> {
        [End::Client, End::Server].into_iter().find_map(|end| {
            let key = self.other_end_of(&Pair::new(addresses, end), end)?;
            Some((end, self.get(key)?.roles_from))
        })
    }
}
