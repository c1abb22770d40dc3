//! Where a server may listen, and whether it does.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::process::Process;

/// An address where nobody listens at this moment.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Such a server does not report when it listens, so this tries to connect.
pub(super) fn wait_until_listening(process: &Process, address: SocketAddr) -> Result<()> {
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        process.check()?;
        if begun.elapsed() > Duration::from_secs(10) {
            bail!("nobody listens at {address}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
