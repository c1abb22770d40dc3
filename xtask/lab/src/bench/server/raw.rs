//! The least that an upload server can do: a loop over recv and write, one connection at a time,
//! one request each.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::time::{ClockId, clock_gettime};

const CHUNK: usize = 256 << 10;

/// Dropped, it ends.
pub(in crate::bench) struct RawLoop {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    cpu_ns: AtomicU64,
}

impl RawLoop {
    /// Listens at `address` and stores in `directory`.
    pub(in crate::bench) fn start(address: SocketAddr, directory: PathBuf) -> Result<Self> {
        let listener = TcpListener::bind(address)?;
        let shared = Arc::<Shared>::default();
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming().flatten() {
                    if shared.over.load(Ordering::Relaxed) {
                        break;
                    }
                    // The client learns from the missing answer that it went wrong.
                    let _ = take(stream, &directory, &shared);
                }
            }
        });
        Ok(Self {
            address,
            shared,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub(in crate::bench) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The CPU time that its thread has taken for the uploads so far.
    pub(in crate::bench) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.shared.cpu_ns.load(Ordering::Acquire))
    }
}

impl Drop for RawLoop {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // The thread waits in accept.
        let woken = TcpStream::connect(self.address);
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

fn take(mut stream: TcpStream, directory: &std::path::Path, shared: &Shared) -> Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut filled = 0;
    let (length, head) = loop {
        let read = stream.read(&mut chunk[filled..])?;
        if read == 0 {
            bail!("no request");
        }
        filled += read;
        if let Some(found) = content_length(&chunk[..filled])? {
            break found;
        }
    };
    let mut file = File::create(directory.join("large"))?;
    file.write_all(&chunk[head..filled])?;
    let mut left = length.saturating_sub((filled - head) as u64);
    while left > 0 {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            bail!("the body is short");
        }
        file.write_all(&chunk[..read])?;
        left = left.saturating_sub(read as u64);
    }
    drop(file);
    let cpu = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime))?;
    let cpu_ns = u64::try_from(cpu.as_nanos())?;
    shared.cpu_ns.store(cpu_ns, Ordering::Release);
    stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    Ok(())
}

/// The length of the body, and how long the head is, once the whole head is there.
fn content_length(bytes: &[u8]) -> Result<Option<(u64, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes)? else {
        return Ok(None);
    };
    let length = super::client::length(request.headers).context("no Content-Length")?;
    Ok(Some((length, head)))
}
