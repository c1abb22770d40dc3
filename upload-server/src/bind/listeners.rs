//! The sockets for uploads: those that systemd passes (`sd_listen_fds(3)`), and those that the
//! command line asks for.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdTcpListener},
};

use anyhow::{Result, anyhow};
use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be accepted. The kernel may allow fewer
/// (`net.core.somaxconn`).
const BACKLOG: u32 = 4_096;

/// Used where neither the command line nor systemd gives an address.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);

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

/// The addresses to open besides the passed listeners.
pub(super) fn addresses(listen: &[SocketAddr], passed: &[StdTcpListener]) -> Vec<SocketAddr> {
    if listen.is_empty() && passed.is_empty() {
        vec![DEFAULT_ADDRESS]
    } else {
        listen.to_vec()
    }
}

/// Needs a runtime.
pub(super) fn open(address: SocketAddr) -> Result<TcpListener> {
    let open = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|error| match error.kind() {
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
    })
}
