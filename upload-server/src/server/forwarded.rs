//! What a reverse proxy reports of a request: the client's address, and the address that the client
//! asked for. The fields are `Forwarded` (RFC 7239) and its forerunners `X-Forwarded-For`, `-Host`,
//! `-Port`, `-Proto` and `-Prefix`. Anybody can send them, so they count only where a trusted proxy sent
//! the request. A value that is malformed, or that two fields contradict, is unknown: nothing is guessed.

mod element;
mod fields;

use std::{net::IpAddr, sync::Arc};

use axum::http::{HeaderMap, uri::Authority};
use ipnet::IpNet;

use self::element::Node;
pub(crate) use self::fields::is_forwarded;

/// The addresses and networks of the proxies in front of this server.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

/// What trusted proxies report of a request. None is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwarded {
    client: Option<Node>,
    /// The host that the client asked for.
    pub(crate) host: Option<Authority>,
    /// The port that the client connected to.
    pub(crate) port: Option<u16>,
    /// Whether the client used TLS.
    pub(crate) secure: Option<bool>,
    /// The path beneath which the proxy offers this server. It begins with a slash, and does not end
    /// with one.
    pub(crate) prefix: Option<Arc<str>>,
}

impl TrustedProxies {
    /// An address is a network with one address in it.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self {
            networks: networks.into_iter().collect(),
        }
    }

    /// What proxies report of a request that came from this address. None where the address is not a
    /// trusted proxy's.
    pub(crate) fn read(&self, peer: IpAddr, headers: &HeaderMap) -> Option<Forwarded> {
        self.contains(peer).then(|| {
            let forwarded = fields::forwarded(self, headers);
            let forerunners = fields::forerunners(self, headers);
            match forwarded {
                Some(forwarded) => merge(forwarded, forerunners),
                None => forerunners,
            }
        })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let mut networks = self.networks.iter();
        networks.any(|network| network.contains(&address))
    }

    /// The client in a chain of nodes, and its place in the chain. Each proxy appends the address that the
    /// request came from, so the last node is the only one that the nearest proxy vouches for. If
    /// that node is a trusted proxy, too, it vouches for the node before, and so on.
    fn client(&self, chain: &[Node]) -> Option<(usize, Node)> {
        let beyond = chain.iter().rposition(|node| match node {
            Node::Address(address) => !self.contains(*address),
            Node::Unknown => true,
        });
        // Where all are trusted, a proxy's machine itself is the client.
        let place = beyond.unwrap_or(0);
        Some((place, *chain.get(place)?))
    }
}

impl Forwarded {
    /// The client's address.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        match self.client? {
            Node::Address(address) => Some(address),
            Node::Unknown => None,
        }
    }

    /// Whether there is a client beyond the proxy whose address is unknown.
    pub(crate) fn hides_client(&self) -> bool {
        self.client == Some(Node::Unknown)
    }
}

/// Both kinds of fields. A proxy sets one of them and passes on what the client wrote into the other.
/// So a value on which they disagree is unknown.
fn merge(one: Forwarded, other: Forwarded) -> Forwarded {
    Forwarded {
        client: match (one.client, other.client) {
            (Some(one), Some(other)) if one != other => Some(Node::Unknown),
            (one, other) => one.or(other),
        },
        host: agreed(one.host, other.host),
        port: agreed(one.port, other.port),
        secure: agreed(one.secure, other.secure),
        prefix: agreed(one.prefix, other.prefix),
    }
}

fn agreed<T: PartialEq>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => (one == other).then_some(one),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests;
