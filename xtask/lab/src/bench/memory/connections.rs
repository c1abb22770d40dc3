//! Very many connections over loopback, both ends held by this process. How many files a process
//! may have open is limited, for root, too, where it lacks CAP_SYS_RESOURCE: the limit is that of
//! one table of files, so each of a few threads has its own.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, unshare};
use rustix::{
    net::sockopt::{set_socket_linger, socket_cookie},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use crate::bench::listening::free_address;

/// How many a thread holds, over an address of its own. There are enough ports for these:
/// the kernel leaves every other port to sockets that bind.
const PER_THREAD: usize = 5_000;
/// What else is in a table of files, a copy of the process's.
const OTHER_FILES: u64 = 256;

const ENDED_BADLY: &str = "a thread that holds connections ended badly";

/// Dropped, all are reset: none stays in TIME_WAIT.
pub(super) struct Connections {
    holders: Vec<Holder>,
    open: usize,
    port: u16,
    before: Rlimit,
}

impl Connections {
    /// None yet, and room for `most`.
    pub(super) fn up_to(most: usize) -> Result<Self> {
        let before = allow(2 * PER_THREAD as u64 + OTHER_FILES)?;
        // From here on, the limit is set back however this ends.
        let mut connections = Self {
            holders: Vec::new(),
            open: 0,
            port: free_address()?.port(),
            before,
        };
        for n in 1..=most.div_ceil(PER_THREAD) {
            let host = u8::try_from(n).context("too many connections")?;
            let address = SocketAddr::from((Ipv4Addr::new(127, 77, 0, host), connections.port));
            connections.holders.push(Holder::start(address)?);
        }
        Ok(connections)
    }

    /// The servers' port, on several addresses.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.open
    }

    /// Opens `count` more, or as many as one thread has room for; gives the cookies of the clients'
    /// sockets.
    pub(super) fn open(&mut self, count: usize) -> Result<Vec<u64>> {
        let holder = self.holders.get(self.open / PER_THREAD);
        let holder = holder.context("no room for more connections")?;
        let count = count.min(PER_THREAD - self.open % PER_THREAD);
        let wanted = holder.wanted.as_ref().context(ENDED_BADLY)?;
        wanted.send(count).context(ENDED_BADLY)?;
        let opened = holder.opened.recv().context(ENDED_BADLY)?;
        let cookies = opened.context("a connection over loopback cannot be opened")?;
        self.open += cookies.len();
        Ok(cookies)
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        for holder in &mut self.holders {
            holder.wanted = None;
        }
        for holder in self.holders.drain(..) {
            let _ = holder.thread.join();
        }
        let _ = setrlimit(Resource::Nofile, self.before);
    }
}

/// A thread that holds connections until its channel is closed.
struct Holder {
    /// Number of connections to open.
    wanted: Option<Sender<usize>>,
    opened: Receiver<Result<Vec<u64>>>,
    thread: JoinHandle<()>,
}

impl Holder {
    /// Waits until the thread has its table: what this process opens afterwards is not in it.
    fn start(address: SocketAddr) -> Result<Self> {
        let (wanted, asked) = channel::<usize>();
        let (reply, opened) = channel();
        let thread = thread::Builder::new().spawn(move || {
            // Nothing that is opened here leaves this thread: elsewhere its number is another
            // file's.
            let mut held = match Held::begin(address) {
                Ok(held) => held,
                Err(error) => {
                    let _ = reply.send(Err(error));
                    return;
                }
            };
            let mut cookies = Ok(Vec::new());
            while reply.send(cookies).is_ok()
                && let Ok(count) = asked.recv()
            {
                cookies = (0..count).map(|_| held.open()).collect();
            }
        })?;
        opened.recv().context(ENDED_BADLY)??;
        Ok(Self {
            wanted: Some(wanted),
            opened,
            thread,
        })
    }
}

/// What a thread holds.
struct Held {
    listener: TcpListener,
    ends: Vec<(TcpStream, TcpStream)>,
}

impl Held {
    /// From here on the thread has a table of files of its own.
    fn begin(address: SocketAddr) -> Result<Self> {
        unshare(CloneFlags::CLONE_FILES).context("no table of files for a thread")?;
        Ok(Self {
            listener: TcpListener::bind(address)?,
            ends: Vec::new(),
        })
    }

    fn open(&mut self) -> Result<u64> {
        let client = TcpStream::connect(self.listener.local_addr()?)?;
        let (server, _) = self.listener.accept()?;
        for end in [&client, &server] {
            set_socket_linger(end, Some(Duration::ZERO))?;
        }
        let cookie = socket_cookie(&client)?;
        self.ends.push((client, server));
        Ok(cookie)
    }
}

/// Raises the limit of open files to `files`; returns the previous limit.
fn allow(files: u64) -> Result<Rlimit> {
    let before = getrlimit(Resource::Nofile);
    let raised = |limit: Option<u64>| limit.map(|limit| limit.max(files));
    let after = Rlimit {
        current: raised(before.current),
        maximum: raised(before.maximum),
    };
    setrlimit(Resource::Nofile, after)
        .with_context(|| format!("{files} open files are not allowed (ulimit -Hn, fs.nr_open)"))?;
    Ok(before)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_is_another_connection_and_all_are_open() {
        let mut connections = Connections::up_to(2 * PER_THREAD).unwrap();
        let mut cookies = HashSet::new();
        while connections.len() < PER_THREAD + 10 {
            cookies.extend(connections.open(PER_THREAD - 10).unwrap());
        }
        assert!(cookies.len() > PER_THREAD);
        assert_eq!(cookies.len(), connections.len());
    }

    #[test]
    fn there_are_no_more_than_there_is_room_for() {
        let mut connections = Connections::up_to(1).unwrap();
        connections.open = PER_THREAD;
        assert!(connections.open(1).is_err());
    }

    #[test]
    fn nobody_gets_more_files_than_there_can_be() {
        assert!(allow(u64::from(u32::MAX)).is_err());
    }
}
