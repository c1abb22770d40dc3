//! Decides which end of a connection a socket is.

use upload_protocol::{End, RolesFrom, State};

use super::{ConnectionTable, pairing::Pair};
use crate::core::event::Addresses;

impl ConnectionTable {
    /// Which end a socket is. Its first change of state shows it, if seen. For a socket opened before
    /// the tracer attached: the role of its peer, if known; else the end at a listener's address is the
    /// server; else the end with the lower port is, since clients use ephemeral ports
    /// (`net.ipv4.ip_local_port_range` starts at 32768).
    pub(super) fn role(&self, addresses: Addresses, old: State, new: State) -> (End, RolesFrom) {
        match (old, new) {
            (State::Close | State::SynSent, _) | (_, State::SynSent) => {
                return (End::Client, RolesFrom::Opening);
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

    /// The role that the connection waiting for this socket leaves to it.
    fn role_from_peer(&self, addresses: Addresses) -> Option<(End, RolesFrom)> {
        [End::Client, End::Server].into_iter().find_map(|end| {
            let key = self.other_end_of(&Pair::new(addresses, end), end)?;
            Some((end, self.get(key)?.roles_from))
        })
    }
}
