//! How other machines reach the listeners: the addresses and names that this machine has on its
//! networks. They are looked up once, at the start.

use std::{
    fs, iter,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};
use rustix::{net::sockopt::ipv6_v6only, system::uname};
use rustls::pki_types::ServerName;
use tokio::net::TcpListener;

/// Where the kernel says which addresses are temporary; `getifaddrs(3)` does not.
const IPV6_ADDRESSES: &str = "/proc/net/if_inet6";
/// The scope of an address that is not valid on one link alone (`IFA_GLOBAL`, include/net/ipv6.h).
const GLOBAL: u8 = 0;
/// Temporary, failed, deprecated and tentative addresses (include/uapi/linux/if_addr.h): they are
/// gone tomorrow, or cannot be used.
const UNSTABLE: u8 = 0x01 | 0x08 | 0x20 | 0x40;

/// Any address beyond this machine. No packet is sent to it.
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// The addresses of this machine beside the loopback addresses.
pub(super) struct Machine {
    addresses: Vec<IpAddr>,
}

impl Machine {
    /// The address that other machines most likely reach comes first.
    pub(super) fn look_up() -> Self {
        let mut ipv4 = ipv4_addresses();
        if let Some(main) = main_address() {
            ipv4.sort_by_key(|&address| address != main);
        }
        let table = fs::read_to_string(IPV6_ADDRESSES).unwrap_or_default();
        let ipv6 = table.lines().filter_map(ipv6_address).map(IpAddr::V6);
        let ipv4 = ipv4.into_iter().map(IpAddr::V4);
        Self {
            addresses: ipv4.chain(ipv6).collect(),
        }
    }

    /// The names and addresses of a server that listens on these addresses, besides localhost.
    pub(super) fn names(&self, listen: &[SocketAddr]) -> Vec<String> {
        let ips = || listen.iter().map(|address| address.ip().to_canonical());
        let own = ips().filter(|ip| !ip.is_unspecified());
        let mut names: Vec<_> = own.map(|ip| ip.to_string()).collect();
        if ips().any(|ip| ip.is_unspecified()) {
            names.extend(self.addresses.iter().map(IpAddr::to_string));
        }
        if ips().any(|ip| !ip.is_loopback()) {
            names.extend(host_names(&uname().nodename().to_string_lossy()));
        }
        names.sort();
        names.dedup();
        names
    }

    /// The addresses that can be typed in a browser on another machine: by the names that the operator
    /// gives, which a certificate may be for, then by the addresses of this machine.
    pub(super) fn urls(
        &self,
        scheme: &str,
        listeners: &[TcpListener],
        hosts: &[String],
    ) -> Vec<String> {
        let (mut by_name, mut by_address) = (Vec::new(), Vec::new());
        for listener in listeners {
            let Ok(local) = listener.local_addr() else {
                continue;
            };
            let ips = self.reached_at(local.ip(), listener);
            let names = hosts.iter().filter(|_| !ips.is_empty());
            by_name.extend(names.map(|name| url(scheme, name, local.port())));
            by_address.extend(ips.iter().map(|ip| url(scheme, ip, local.port())));
        }
        let mut urls = Vec::new();
        for url in by_name.into_iter().chain(by_address) {
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        urls
    }

    fn reached_at(&self, ip: IpAddr, listener: &TcpListener) -> Vec<IpAddr> {
        let ipv4 = ip.is_ipv4() || !ipv6_v6only(listener).unwrap_or(true);
        let ipv6 = ip.is_ipv6();
        match ip.to_canonical() {
            ip if ip.is_loopback() => Vec::new(),
            // A browser takes no address with the link that it is valid on.
            IpAddr::V6(ip) if ip.is_unicast_link_local() => Vec::new(),
            ip if !ip.is_unspecified() => vec![ip],
            _ => {
                let reached = |ip: &IpAddr| if ip.is_ipv4() { ipv4 } else { ipv6 };
                self.addresses.iter().copied().filter(reached).collect()
            }
        }
    }
}

fn ipv4_addresses() -> Vec<Ipv4Addr> {
    // Without a list, the addresses that the command line gives have to do.
    let interfaces = getifaddrs().into_iter().flatten();
    let up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    interfaces
        .filter(|interface| interface.flags.contains(up))
        .filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()))
        .filter(|ip| !ip.is_loopback())
        .collect()
}

/// The address of a line such as `fd00…02 04 40 00 82 eth0`: address, interface, length of the prefix,
/// scope, flags and name.
fn ipv6_address(line: &str) -> Option<Ipv6Addr> {
    let mut words = line.split_ascii_whitespace();
    let address = u128::from_str_radix(words.next()?, 16).ok()?;
    let mut number = |skip| u8::from_str_radix(words.nth(skip)?, 16).ok();
    let (scope, flags) = (number(2)?, number(0)?);
    (scope == GLOBAL && flags & UNSTABLE == 0).then(|| Ipv6Addr::from(address))
}

/// The address from which this machine would send elsewhere.
fn main_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }
}

/// The names under which other machines may find one with this host name: its own, and that of
/// multicast DNS (RFC 6762).
fn host_names(node: &str) -> Vec<String> {
    let node = node.to_ascii_lowercase();
    let first = node.split('.').next().unwrap_or_default();
    if first.is_empty() || first == "localhost" {
        return Vec::new();
    }
    let names = [node.clone(), first.to_owned(), format!("{first}.local")];
    let mut names: Vec<_> = names
        .into_iter()
        .filter(|name| {
            matches!(
                ServerName::try_from(name.as_str()),
                Ok(ServerName::DnsName(_))
            )
        })
        .collect();
    names.dedup();
    names
}

fn url(scheme: &str, host: &impl ToString, port: u16) -> String {
    let own_port = match scheme {
        "https" => 443,
        _ => 80,
    };
    let mut host = host.to_string();
    if host.contains(':') {
        host = format!("[{host}]");
    }
    let port = (port != own_port).then(|| format!(":{port}"));
    let port = port.unwrap_or_default();
    format!("{scheme}://{host}{port}/")
}

/// Joins the addresses for a sentence, at most this many.
pub(super) fn sentence(urls: &[String], most: usize) -> String {
    let left_out = urls.len().saturating_sub(most);
    let shown = urls.iter().take(most).cloned();
    let rest = (left_out > 0).then(|| format!("{left_out} more"));
    let parts: Vec<_> = shown.chain(iter::once(rest).flatten()).collect();
    match parts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stable_ipv6_address_of_a_network_is_shown() {
        check(
            "fd000000000000000000000000000002 04 40 00 82     eth0",
            Some("fd00::2"),
        );
        check(
            "20010db8000000000000000000000007 02 40 00 00     wlan0",
            Some("2001:db8::7"),
        );
        check(
            "20010db8000000000000000000000008 02 40 00 01     wlan0",
            None,
        );
        check(
            "20010db8000000000000000000000009 02 40 00 20     wlan0",
            None,
        );
        check(
            "20010db800000000000000000000000a 02 40 00 40     wlan0",
            None,
        );
        check(
            "fe8000000000000000fc00fffe000001 04 40 20 80     eth0",
            None,
        );
        check(
            "00000000000000000000000000000001 01 80 10 80       lo",
            None,
        );
        check("", None);
        check("fd00", None);

        fn check(line: &str, expected: Option<&str>) {
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(ipv6_address(line), expected, "{line}");
        }
    }

    #[test]
    fn a_host_has_its_name_and_that_of_multicast_dns() {
        check("Laptop", &["laptop", "laptop.local"]);
        check("nas.home.arpa", &["nas.home.arpa", "nas", "nas.local"]);
        check("localhost", &[]);
        check("(none)", &[]);
        check("", &[]);

        fn check(node: &str, expected: &[&str]) {
            assert_eq!(host_names(node), expected, "{node}");
        }
    }

    #[test]
    fn an_address_is_written_as_people_type_it() {
        check("http", "192.168.1.5", 5000, "http://192.168.1.5:5000/");
        check("http", "192.168.1.5", 80, "http://192.168.1.5/");
        check("https", "192.168.1.5", 80, "https://192.168.1.5:80/");
        check("https", "fd00::2", 443, "https://[fd00::2]/");
        check("https", "files.lan", 5000, "https://files.lan:5000/");

        fn check(scheme: &str, host: &str, port: u16, expected: &str) {
            assert_eq!(url(scheme, &host, port), expected);
        }
    }

    #[test]
    fn a_sentence_has_an_end() {
        check(&["a"], "a");
        check(&["a", "b"], "a and b");
        check(&["a", "b", "c"], "a, b and c");
        check(&["a", "b", "c", "d", "e"], "a, b, c and 2 more");

        fn check(urls: &[&str], expected: &str) {
            let urls: Vec<_> = urls.iter().map(|&url| url.to_owned()).collect();
            assert_eq!(sentence(&urls, 3), expected);
        }
    }
}
