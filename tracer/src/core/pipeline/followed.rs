//! Connections that no filter chose. They are traced because a process accepts them that is a client of a chosen
//! server, and they are shown as hops of the uploads there, and not by themselves.

use super::Pipeline;
use crate::core::{connection::Connection, connection_table::Key, timeline::timeline};

impl Pipeline {
    /// Whether a connection is traced in addition to the chosen ones.
    pub(super) fn is_followed(&self, connection: &Connection) -> bool {
        let Some(chosen) = &self.chosen_ports else {
            return false;
        };
        let ports = connection.views().flat_map(|(_, view)| {
            let addresses = view.addresses;
            [addresses.local.port(), addresses.remote.port()]
        });
        let mut ports = ports.peekable();
        ports.peek().is_some() && !ports.any(|port| chosen.contains(&port))
    }

    /// The same of a connection in the table.
    pub(super) fn is_followed_key(&self, key: Key) -> bool {
        self.chosen_ports.is_some()
            && self
                .table
                .get(key)
                .is_some_and(|found| self.is_followed(found))
    }

    /// Whether the client's end of a connection is on this machine and was not seen: who is behind it is unknown, so
    /// that the connection cannot be the first hop.
    pub(super) fn lacks_client(&self, connection: &Connection) -> bool {
        let server = connection.server.as_deref();
        let is_here = server.is_some_and(|view| view.addresses.is_peer_here());
        self.chosen_ports.is_some() && connection.client.is_none() && is_here
    }

    /// A connection of these has left the table.
    pub(super) fn end_followed(&mut self, mut connection: Connection) {
        self.table.learn_transfers(&mut connection);
        let _ = self.table.claim_transfer(&connection);
        self.correlator.name_owner(&mut connection);
        self.correlator.forget(&connection);
        // Nobody knows by whom it was sent.
        if self.lacks_client(&connection) {
            return;
        }
        if let Some(timeline) = timeline(&connection, (None, None), &self.host, self.tick.mono_ns) {
            self.keep_leg(&connection, &timeline);
        }
    }
}
