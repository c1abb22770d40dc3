//! Where a socket is bound and connected.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use tracer_ebpf::record;

/// The two sides of a socket, and the network namespace in which they mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Addresses {
    /// This end; port 0 before `connect` has chosen one.
    pub local: Address,
    /// The peer.
    pub remote: Address,
    /// Inode number of the network namespace.
    pub netns: u32,
}

/// An IP address and a port. A [`SocketAddr`] is 32 bytes large, for what no record has; this is 18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "SocketAddr", into = "SocketAddr")]
pub struct Address {
    /// IPv4 as `::ffff:a.b.c.d`.
    ip: Ipv6Addr,
    port: u16,
}

impl Addresses {
    pub(super) const fn from_record(record: &record::Addresses) -> Self {
        Self {
            local: Address::from_record(record.local, record.local_port),
            remote: Address::from_record(record.remote, record.remote_port),
            netns: record.netns,
        }
    }
}

impl Address {
    const fn from_record(ip: [u8; 16], port: u16) -> Self {
        Self {
            ip: Ipv6Addr::from_octets(ip),
            port,
        }
    }

    /// The IP address; IPv4 as such.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.ip.to_canonical()
    }

    /// The port.
    #[must_use]
    pub const fn port(self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let port = address.port();
        Self { ip, port }
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> Self {
        Self::new(address.ip(), address.port)
    }
}
