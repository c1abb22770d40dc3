//! Sockets that listened before the tracer attached: a connection to their address has its server there.

use std::{collections::HashSet, net::SocketAddr};

use upload_protocol::End;

use crate::core::{address::Address, event::Addresses};

/// By network namespace.
#[derive(Debug, Default)]
pub(super) struct Listeners(HashSet<(u32, Address)>);

impl Listeners {
    pub(super) fn insert(&mut self, listener: Addresses) {
        self.0.insert((listener.netns, listener.local));
    }

    /// Which end a connected socket is. `None` if a socket listened at neither end, or at both (a client
    /// may bind its port).
    pub(super) fn end_of(&self, socket: Addresses) -> Option<End> {
        let Addresses {
            local,
            remote,
            netns,
        } = socket;
        let is_called = self.is_at(local, netns);
        // Otherwise the peer may be in another network namespace, whose listeners are others.
        let calls = socket.is_peer_here() && self.is_at(remote, netns);
        match (is_called, calls) {
            (true, false) => Some(End::Server),
            (false, true) => Some(End::Client),
            _ => None,
        }
    }

    fn is_at(&self, address: Address, netns: u32) -> bool {
        let any = [
            SocketAddr::from(([0, 0, 0, 0], address.port())),
            SocketAddr::from(([0_u16; 8], address.port())),
        ];
        let listens = |at: Address| self.0.contains(&(netns, at));
        listens(address) || any.map(Address::from).into_iter().any(listens)
    }
}
