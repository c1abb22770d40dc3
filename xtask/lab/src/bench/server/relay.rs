//! A path that takes time: passes bytes on between a client and a server, each a fixed time after it
//! arrived.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Result;

/// The most bytes on the way in each direction: more than any client here sends in a round trip.
const MOST_ON_THE_WAY: usize = 256 << 20;
/// How much is read at a time.
const CHUNK: usize = 256 << 10;

/// Dropped, it takes no further connections.
pub(super) struct Relay {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Bytes, and when they arrive at the other end.
struct Chunk {
    bytes: Vec<u8>,
    due: Instant,
}

/// How many more bytes may be on the way.
struct Room {
    bytes: Mutex<usize>,
    freed: Condvar,
}

impl Relay {
    /// A round trip between its clients and `server` takes `round_trip`.
    pub(super) fn start(server: SocketAddr, round_trip: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let over = Arc::<AtomicBool>::default();
        let thread = thread::spawn({
            let over = Arc::clone(&over);
            move || {
                for client in listener.incoming().flatten() {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    // The client learns of a failure when its connection is closed.
                    let _ = relay(&client, server, round_trip / 2);
                }
            }
        });
        Ok(Self {
            address,
            over,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // The thread waits in accept.
        let woken = TcpStream::connect(self.address);
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

fn relay(client: &TcpStream, server: SocketAddr, delay: Duration) -> Result<()> {
    let server = TcpStream::connect(server)?;
    for stream in [client, &server] {
        stream.set_nodelay(true)?;
    }
    one_way(client.try_clone()?, server.try_clone()?, delay);
    one_way(server, client.try_clone()?, delay);
    Ok(())
}

/// Passes on what `from` sends until it closes its side.
fn one_way(from: TcpStream, to: TcpStream, delay: Duration) {
    let (sender, receiver) = channel();
    let room = Arc::new(Room {
        bytes: Mutex::new(MOST_ON_THE_WAY),
        freed: Condvar::new(),
    });
    let freed = Arc::clone(&room);
    thread::spawn(move || read(from, &sender, &room, delay));
    thread::spawn(move || write(to, &receiver, &freed));
}

fn read(mut from: TcpStream, sender: &Sender<Chunk>, room: &Room, delay: Duration) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let chunk = Chunk {
            bytes: buffer[..length].to_vec(),
            due: Instant::now() + delay,
        };
        room.take(length);
        if sender.send(chunk).is_err() {
            return;
        }
    }
}

fn write(mut to: TcpStream, receiver: &Receiver<Chunk>, room: &Room) {
    for Chunk { bytes, due } in receiver {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let written = to.write_all(&bytes);
        room.free(bytes.len());
        if written.is_err() {
            return;
        }
    }
    // The other end may have closed already.
    let _ = to.shutdown(Shutdown::Write);
}

impl Room {
    /// Waits until there is room for this many bytes.
    fn take(&self, wanted: usize) {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.freed.wait_while(bytes, |bytes| *bytes < wanted);
        *free.unwrap_or_else(PoisonError::into_inner) -= wanted;
    }

    fn free(&self, freed: usize) {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) += freed;
        self.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_takes_its_time() {
        let echo = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = echo.local_addr().unwrap();
        let echoing = thread::spawn(move || {
            let (mut stream, _) = echo.accept().unwrap();
            let mut sent = Vec::new();
            stream.read_to_end(&mut sent).unwrap();
            stream.write_all(&sent).unwrap();
        });
        let round_trip = Duration::from_millis(40);
        let relay = Relay::start(server, round_trip).unwrap();
        let begun = Instant::now();
        let mut client = TcpStream::connect(relay.address()).unwrap();
        let sent = vec![7; 3 * CHUNK];
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert!(answer == sent);
        assert!(begun.elapsed() >= round_trip);
        echoing.join().unwrap();
    }
}
