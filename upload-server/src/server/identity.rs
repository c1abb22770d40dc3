//! The feed's first line: which process serves, and where.

use std::{fs, io, net::SocketAddr, os::unix::fs::MetadataExt, process};

use crate::record::Server;

/// This process, serving uploads on these addresses.
pub(crate) fn server(listen: Vec<SocketAddr>) -> io::Result<Server> {
    Ok(Server {
        pid: process::id(),
        comm: fs::read_to_string("/proc/self/comm")?.trim_end().to_owned(),
        netns: fs::metadata("/proc/self/ns/net")?.ino(),
        listen,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
