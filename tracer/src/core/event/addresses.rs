//! Where a socket is bound and connected.

use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};
use tracer_ebpf::record;

use crate::core::address::Address;

/// The two addresses of a socket, and the network namespace in which they are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Addresses {
    /// This end; port 0 before `connect` has chosen one.
    pub local: Address,
    /// The peer.
    pub remote: Address,
    /// Inode number of the network namespace.
    pub netns: u32,
}

impl Addresses {
    pub(super) const fn from_record(record: &record::Addresses) -> Self {
        Self {
            local: address(record.local, record.local_port),
            remote: address(record.remote, record.remote_port),
            netns: record.netns,
        }
    }

    /// Whether the peer is in the same network namespace.
    pub(crate) fn is_peer_here(&self) -> bool {
        self.remote.ip().is_loopback() || self.remote.ip() == self.local.ip()
    }
}

const fn address(ip: [u8; 16], port: u16) -> Address {
    Address::new(Ipv6Addr::from_octets(ip), port)
}
