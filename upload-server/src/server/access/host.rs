//! The names of the server that are accepted in a request.

use std::net::IpAddr;

use axum::http::uri::Authority;

use crate::server::error::Error;

/// The server's names and addresses, besides `localhost` and the loopback addresses.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    names: Vec<String>,
    /// Names that the machine has by itself.
    own_names: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Hosts {
    /// Domain names and addresses alike.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        let mut known = Self::default();
        for host in hosts {
            match host.parse::<IpAddr>() {
                Ok(address) => known.addresses.push(address.to_canonical()),
                Err(_) => known.names.push(host),
            }
        }
        known
    }

    /// Adds the names and addresses that the machine has on its networks.
    #[must_use]
    pub fn with_own(mut self, hosts: impl IntoIterator<Item = String>) -> Self {
        let own = Self::new(hosts);
        self.own_names.extend(own.names);
        self.addresses.extend(own.addresses);
        self
    }

    /// An error for a name that is not the server's. The port does not matter.
    /// `field` names it.
    pub(crate) fn check(&self, authority: &Authority, field: &'static str) -> Result<(), Error> {
        if is_this_machine(authority) || self.contains(authority) {
            Ok(())
        } else {
            let host = authority.host().to_owned();
            Err(Error::WrongHost { host, field })
        }
    }

    /// Whether this is one of the server's names or addresses, and not merely some name for this machine.
    pub(crate) fn contains(&self, authority: &Authority) -> bool {
        let host = authority.host();
        match address(host) {
            Some(address) => !address.is_loopback() && self.addresses.contains(&address),
            None => {
                let mut names = self.names.iter().chain(&self.own_names);
                names.any(|name| is_same(name, host))
            }
        }
    }

    /// Whether the operator gives names, and not addresses alone.
    pub(crate) fn has_names(&self) -> bool {
        !self.names.is_empty()
    }
}

/// Whether this is a name or an address that every machine has for itself.
pub(crate) fn is_this_machine(authority: &Authority) -> bool {
    let host = authority.host();
    address(host).map_or_else(|| is_localhost(host), |address| address.is_loopback())
}

/// Whether this is an address instead of a name.
pub(crate) fn is_address(authority: &Authority) -> bool {
    address(authority.host()).is_some()
}

/// Whether HSTS is safe for this name. It is not for `localhost`, which all servers on a machine
/// share, nor does it apply to addresses.
pub(crate) fn is_public_name(authority: &Authority) -> bool {
    let host = authority.host();
    address(host).is_none() && !is_localhost(host)
}

fn address(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let address: IpAddr = bare.unwrap_or(host).parse().ok()?;
    Some(address.to_canonical())
}

/// Names that end in `.localhost` are this machine, too (RFC 6761, 6.3).
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.rsplit('.')
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
}

fn is_same(name: &str, host: &str) -> bool {
    let dotless = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    dotless(name) == dotless(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_names() {
        check("localhost", true);
        check("LOCALHOST:5000", true);
        check("localhost.", true);
        check("upload.localhost:5000", true);
        check("127.0.0.1:5000", true);
        check("127.9.9.9", true);
        check("[::1]:5000", true);
        check("[::ffff:127.0.0.1]", true);
        check("192.0.2.7:1", true);
        check("[2001:db8::7]", true);
        check("files.example:5000", true);
        check("FILES.example.", true);
        check("shelf.local:5000", true);
        check("evil.example", false);
        check("files.example.evil.example", false);
        check("localhost.evil.example", false);
        check("192.0.2.8", false);
        check("[::]", false);
        check("0.0.0.0", false);

        fn check(authority: &str, expected: bool) {
            let own = ["files.example", "192.0.2.7", "2001:db8::7"];
            let hosts = Hosts::new(own.map(str::to_owned)).with_own(["shelf.local".to_owned()]);
            let known = hosts.check(&authority.parse().unwrap(), "Host").is_ok();
            assert_eq!(known, expected, "{authority}");
        }
    }
}
