//! The sockets for uploads: those that systemd passes (`sd_listen_fds(3)`), and those that the
//! command line asks for.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdTcpListener},
};

use anyhow::{Result, anyhow};
use listenfd::ListenFd;
use rustix::{io::Errno, net::sockopt::set_ipv6_v6only};
use tokio::net::{TcpListener, TcpSocket};

use upload_server::options::listen::{DEFAULT_PORT, Listen};

/// How many connections may wait to be accepted. The kernel may allow fewer
/// (`net.core.somaxconn`).
const BACKLOG: u32 = 4_096;

/// Used where neither the command line nor systemd gives an address.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT);

/// The listeners that systemd passed to this process.
pub(crate) fn passed() -> Result<Vec<StdTcpListener>> {
    // sd-notify returns raw descriptors, which only unsafe code can use.
    let mut passed = ListenFd::from_env();
    (0..passed.len())
        .filter_map(|index| passed.take_tcp_listener(index).transpose())
        .map(|listener| {
            let listener = listener.map_err(|error| {
                anyhow!(
                    "systemd passed a socket that is not a TCP listener: set \
                     ListenStream=ADDRESS:PORT ({error})"
                )
            })?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
        .collect()
}

/// What to open for one `--listen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    One(SocketAddr),
    /// Every address of IPv6, beside a listener for those of IPv4 on the same port.
    Ipv6Alone(u16),
    /// Every address of both versions of IP, or of IPv4 on a machine without IPv6.
    Every(u16),
    /// The loopback addresses of both, or that of IPv4.
    Localhost(u16),
}

/// What to open besides the passed listeners. `open` is whether other machines may use the server.
pub(super) fn endpoints(listen: &[Listen], passed: &[StdTcpListener], open: bool) -> Vec<Endpoint> {
    if listen.is_empty() && passed.is_empty() {
        return vec![Endpoint::One(DEFAULT_ADDRESS)];
    }
    let both = |port: u16| {
        let ipv4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        port != 0 && listen.contains(&Listen::Address(ipv4))
    };
    let endpoint = |listen: &Listen| match *listen {
        Listen::Address(SocketAddr::V6(address))
            if address.ip().is_unspecified() && both(address.port()) =>
        {
            Endpoint::Ipv6Alone(address.port())
        }
        Listen::Address(address) => Endpoint::One(address),
        Listen::Every(port) => Endpoint::Every(port),
        Listen::Port(port) if open => Endpoint::Every(port),
        Listen::Localhost(port) | Listen::Port(port) => Endpoint::Localhost(port),
    };
    listen.iter().map(endpoint).collect()
}

impl Endpoint {
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        match *self {
            Self::One(address) => vec![address],
            Self::Ipv6Alone(port) | Self::Every(port) => vec![(Ipv6Addr::UNSPECIFIED, port).into()],
            Self::Localhost(port) => vec![
                (Ipv4Addr::LOCALHOST, port).into(),
                (Ipv6Addr::LOCALHOST, port).into(),
            ],
        }
    }

    /// Needs a runtime.
    pub(super) fn open(&self) -> Result<Vec<TcpListener>> {
        match *self {
            Self::One(address) => Ok(vec![open(address)?]),
            Self::Ipv6Alone(port) => {
                let address = (Ipv6Addr::UNSPECIFIED, port).into();
                let opened = listener(address, Some(true));
                Ok(vec![opened.map_err(|error| explain(address, &error))?])
            }
            Self::Every(port) => {
                let address = (Ipv6Addr::UNSPECIFIED, port).into();
                let opened = match listener(address, Some(false)) {
                    Err(error) if lacks_ipv6(&error) => open((Ipv4Addr::UNSPECIFIED, port).into()),
                    opened => opened.map_err(|error| explain(address, &error)),
                };
                Ok(vec![opened?])
            }
            Self::Localhost(port) => {
                let first = open((Ipv4Addr::LOCALHOST, port).into())?;
                // Port 0 is a free one, the same for both.
                let port = first.local_addr()?.port();
                let address = (Ipv6Addr::LOCALHOST, port).into();
                match listener(address, None) {
                    Ok(second) => Ok(vec![first, second]),
                    Err(error) if lacks_ipv6(&error) => Ok(vec![first]),
                    Err(error) => Err(explain(address, &error)),
                }
            }
        }
    }
}

fn open(address: SocketAddr) -> Result<TcpListener> {
    listener(address, None).map_err(|error| explain(address, &error))
}

fn listener(address: SocketAddr, v6only: Option<bool>) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(v6only) = v6only {
        set_ipv6_v6only(&socket, v6only)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn lacks_ipv6(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

fn explain(address: SocketAddr, error: &io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "{address} is already in use: stop what listens there, or choose another port with \
             --listen"
        ),
        io::ErrorKind::AddrNotAvailable => {
            anyhow!("{address} is not an address of this machine: choose one with --listen")
        }
        io::ErrorKind::PermissionDenied => anyhow!(
            "no permission to listen on {address}: choose a port from 1024 up with --listen"
        ),
        _ => anyhow!("cannot listen on {address}: choose another address with --listen ({error})"),
    }
}
