//! The TCP sockets that are open already, and the processes that hold them: in every network
//! namespace that can be found, as `ss` asks the kernel for them (sock_diag(7)).
//!
//! Two things are left out because no process has them as a socket: TIME_WAIT entries, and
//! connection requests that a listener has not turned into sockets yet (NEW_SYN_RECV).

mod diag;
mod holders;
mod namespaces;

use std::collections::HashSet;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use self::namespaces::Found;
use crate::{
    core::input::{OpenSocket, Present, Readings},
    kernel::clock,
};

/// The table of connections has room for half as many, unless it was given more.
const MAX_READINGS: usize = 1 << 17;

/// What is open at one moment. Sockets that come or go meanwhile may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dump {
    /// Connections, from SYN_SENT on.
    pub sockets: Vec<OpenSocket>,
    /// Sockets that listen.
    pub listeners: Vec<OpenSocket>,
    /// What could not be looked at.
    pub left_out: LeftOut,
}

/// What could not be looked at; nothing, as a rule, for root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Network namespaces that may not be entered.
    pub namespaces: usize,
    /// Processes whose descriptors, and mostly whose namespace too, may not be read.
    pub processes: usize,
}

impl LeftOut {
    /// In words, with the capabilities(7) that it takes; `None` where nothing was left out.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        let namespaces = format!(
            "network namespaces that may not be entered: {} (it takes CAP_SYS_ADMIN)",
            self.namespaces
        );
        let processes = format!(
            "processes that may not be looked into: {} (it takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH)",
            self.processes
        );
        match (self.namespaces, self.processes) {
            (0, 0) => None,
            (0, _) => Some(processes),
            (_, 0) => Some(namespaces),
            (_, _) => Some(format!("{processes}, {namespaces}")),
        }
    }
}

/// Which sockets to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    All,
    /// All but those that listen.
    Connections,
    Listeners,
}

/// Asks the kernel for the sockets that listen; not who holds them.
///
/// # Errors
/// When the kernel does not answer for this process's own network namespace.
pub fn listeners() -> Result<Vec<OpenSocket>> {
    Ok(namespaces::dump_each(Which::Listeners)?.sockets)
}

/// Asks the kernel which sockets there are, wherever that may be asked.
///
/// # Errors
/// When the kernel does not answer for this process's own network namespace, or `/proc` cannot be
/// read.
pub fn present() -> Result<Present> {
    let asked_ns = clock::monotonic_ns();
    let Found { sockets, netns, .. } = namespaces::dump_each(Which::All)?;
    Ok(Present {
        asked_ns,
        netns,
        cookies: sockets.iter().map(|socket| socket.cookie).collect(),
    })
}

/// Inode number of the network namespace of the calling thread.
///
/// # Errors
/// When `/proc` does not have it.
pub fn own_netns() -> Result<u32> {
    namespaces::own()
}

/// Asks the kernel what the connections of this thread's network namespace have counted: of the first 131,072.
///
/// # Errors
/// When the kernel does not answer.
pub fn readings() -> Result<Readings> {
    let at_ns = clock::monotonic_ns();
    Ok(Readings {
        at_ns,
        sockets: diag::readings(MAX_READINGS)?,
    })
}

/// Asks the kernel for the sockets of this thread's network namespace; not who holds them.
///
/// # Errors
/// When the kernel does not answer.
pub fn of_own_namespace() -> Result<Vec<OpenSocket>> {
    diag::dump(namespaces::own()?, Which::All)
}

/// Asks the kernel for every socket, then `/proc` for who holds them.
///
/// # Errors
/// When the kernel does not answer for this process's own network namespace, or `/proc` cannot be
/// read.
pub fn dump() -> Result<Dump> {
    let Found {
        sockets: found,
        not_entered: namespaces,
        ..
    } = namespaces::dump_each(Which::All)?;
    let mut seen = HashSet::new();
    let found: Vec<OpenSocket> = found
        .into_iter()
        .filter(|socket| seen.insert(socket.cookie))
        .collect();
    let inodes = found.iter().map(|socket| socket.inode).collect();
    let (mut held, processes) = holders::of(&inodes)?;
    let (listeners, sockets) = found
        .into_iter()
        .map(|socket| OpenSocket {
            holders: held.remove(&socket.inode).unwrap_or_default(),
            ..socket
        })
        .partition(OpenSocket::is_listening);
    Ok(Dump {
        sockets,
        listeners,
        left_out: LeftOut {
            namespaces,
            processes,
        },
    })
}
