//! Where one end of a connection is.

use std::{
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use serde::{Deserialize, Serialize};

/// An IP address and a port in 18 bytes. A [`SocketAddr`] takes 32, for fields that no record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "SocketAddr", into = "SocketAddr")]
pub struct Address {
    /// IPv4 as `::ffff:a.b.c.d`.
    ip: Ipv6Addr,
    port: u16,
}

impl Address {
    /// An IP address, IPv4 as `::ffff:a.b.c.d`, and a port.
    #[must_use]
    pub const fn new(ip: Ipv6Addr, port: u16) -> Self {
        Self { ip, port }
    }

    /// The IP address; IPv4 as such.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.ip.to_canonical()
    }

    #[must_use]
    pub const fn port(self) -> u16 {
        self.port
    }

    /// Another port of the same IP address.
    #[must_use]
    pub const fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }
}

/// As numbers, which are quicker to hash than bytes: every captured segment is found by its addresses.
impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.ip.to_bits());
        state.write_u16(self.port);
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
