//! Clients that send exactly the bytes they are given, and count those that their sockets took.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::fd::AsFd as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

/// A server that takes nothing for this long is not going to.
const PATIENCE: Duration = Duration::from_millis(150);

/// How much a client reads or writes at a time.
const STEP: usize = 64 * 1024;

/// One connection and what is to be sent on it.
pub(super) struct Client {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    script: Vec<u8>,
    written: usize,
    /// What the kernel took, with the records of TLS.
    pub(super) sent: u64,
    reads: bool,
    /// The server has ended its side, or the connection is broken.
    over: bool,
}

impl Client {
    /// `tls` is whom to trust, where a handshake comes first.
    pub(super) fn open(
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        script: Vec<u8>,
        reads: bool,
    ) -> Result<Self> {
        let stream = TcpStream::connect(address).context("the server takes no connection")?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let tls = tls.map(|config| {
            let name = ServerName::try_from("localhost")?;
            anyhow::Ok(Box::new(ClientConnection::new(Arc::clone(config), name)?))
        });
        Ok(Self {
            stream,
            tls: tls.transpose()?,
            script,
            written: 0,
            sent: 0,
            reads,
            over: false,
        })
    }

    /// Sends and reads as much as goes without waiting. Returns whether anything went.
    fn step(&mut self) -> bool {
        if self.over {
            return false;
        }
        let moved = match self.tls.take() {
            Some(mut tls) => {
                let moved = self.step_tls(&mut tls);
                self.tls = Some(tls);
                moved
            }
            None => self.step_clear(),
        };
        moved.unwrap_or_else(|_| {
            self.over = true;
            false
        })
    }

    fn step_clear(&mut self) -> io::Result<bool> {
        let rest = self.script.get(self.written..).unwrap_or_default();
        let written = if rest.is_empty() {
            0
        } else {
            now(self.stream.write(&rest[..rest.len().min(STEP)]))?.unwrap_or(0)
        };
        self.written += written;
        self.sent += written as u64;
        let read = self.reads && self.read()?.is_some();
        Ok(written > 0 || read)
    }

    fn step_tls(&mut self, tls: &mut ClientConnection) -> io::Result<bool> {
        let mut moved = false;
        let rest = self.script.get(self.written..).unwrap_or_default();
        if !tls.is_handshaking() && !tls.wants_write() && !rest.is_empty() {
            self.written += tls.writer().write(&rest[..rest.len().min(STEP)])?;
        }
        while tls.wants_write() {
            let Some(written) = now(tls.write_tls(&mut self.stream))? else {
                break;
            };
            self.sent += written as u64;
            moved = true;
        }
        if tls.is_handshaking() || self.reads {
            match now(tls.read_tls(&mut self.stream))? {
                None => {}
                Some(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Some(_) => {
                    tls.process_new_packets().map_err(io::Error::other)?;
                    let mut dropped = [0; STEP];
                    while now(tls.reader().read(&mut dropped))?.is_some_and(|read| read > 0) {}
                    moved = true;
                }
            }
        }
        Ok(moved)
    }

    /// Reads and drops bytes. None where there are none yet.
    fn read(&mut self) -> io::Result<Option<usize>> {
        match now(self.stream.read(&mut [0; STEP]))? {
            Some(0) => Err(ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }

    fn has_more(&self) -> bool {
        let tls = self.tls.as_ref();
        let unsent = tls.is_some_and(|tls| tls.wants_write() || tls.is_handshaking());
        !self.over && (unsent || self.written < self.script.len())
    }

    fn interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        let handshaking = self.tls.as_ref().is_some_and(|tls| tls.is_handshaking());
        if self.has_more() && !handshaking {
            flags |= PollFlags::OUT;
        }
        if self.reads || handshaking {
            flags |= PollFlags::IN;
        }
        flags
    }

    /// The answer to the only request, whose connection the server closes behind it.
    pub(super) fn answer(mut self) -> Result<(String, u64)> {
        self.stream.set_nonblocking(false)?;
        self.stream
            .set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut answer = Vec::new();
        match &mut self.tls {
            Some(tls) => {
                let mut stream = rustls::Stream::new(&mut **tls, &mut self.stream);
                stream.write_all(&self.script)?;
                // Some servers close without TLS's own end.
                let _ = stream.read_to_end(&mut answer);
            }
            None => {
                self.stream.write_all(&self.script)?;
                self.stream.read_to_end(&mut answer)?;
            }
        }
        let sent = self.script.len() as u64;
        Ok((String::from_utf8_lossy(&answer).into_owned(), sent))
    }
}

/// Sends everything that the server takes. Those that read also read.
pub(super) fn send(clients: &mut [Client]) -> Result<()> {
    let mut last = Instant::now();
    while clients.iter().any(Client::has_more) && last.elapsed() < PATIENCE {
        if step(clients) {
            last = Instant::now();
        } else {
            wait(clients, PATIENCE)?;
        }
    }
    Ok(())
}

/// Lets those that read do so. Returns whether anything came or went.
pub(super) fn step(clients: &mut [Client]) -> bool {
    let moved = clients.iter_mut().map(Client::step);
    moved.filter(|moved| *moved).count() > 0
}

/// Waits until one of them can go on, or for this long.
pub(super) fn wait(clients: &[Client], limit: Duration) -> Result<()> {
    let open = clients.iter().filter(|client| !client.over);
    let mut polled: Vec<_> = open
        .map(|client| PollFd::from_borrowed_fd(client.stream.as_fd(), client.interest()))
        .collect();
    match poll(&mut polled, Some(&Timespec::try_from(limit)?)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// None for what would have to wait.
fn now<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
