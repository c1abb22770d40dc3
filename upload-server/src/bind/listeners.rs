//! Sockets that systemd opened for the server (`sd_listen_fds(3)`).

use std::net::TcpListener;

use anyhow::{Result, anyhow};
use listenfd::ListenFd;

/// The listeners that were passed to this process, if any.
pub(crate) fn passed() -> Result<Vec<TcpListener>> {
    let mut passed = ListenFd::from_env();
    (0..passed.len())
        .filter_map(|index| passed.take_tcp_listener(index).transpose())
        .map(|listener| {
            let listener = listener.map_err(|error| {
                anyhow!("a socket of the unit is none to listen on for TCP: use ListenStream=ADDRESS:PORT ({error})")
            })?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
        .collect()
}
