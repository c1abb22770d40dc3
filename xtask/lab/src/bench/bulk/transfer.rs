//! An upload as cheap as both its ends can be made: a thread that sends, one that receives.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail};
use rustix::time::{ClockId, clock_gettime};

use crate::bench::stop::Stop;

const CHUNK: usize = 256 << 10;
/// An end that neither reads nor writes for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What one upload took.
pub(super) struct Transfer {
    /// Until the sender knew that all had arrived.
    pub(super) took: Duration,
    /// The CPU time of both ends, the kernel's on their behalf included.
    pub(super) cpu: Duration,
}

impl Transfer {
    /// Of each one, on average.
    pub(super) fn mean(all: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> Duration| {
            all.iter()
                .map(of)
                .sum::<Duration>()
                .div_f64(all.len() as f64)
        };
        Self {
            took: mean(|one| one.took),
            cpu: mean(|one| one.cpu),
        }
    }
}

/// Sends `bytes` over a connection of its own to `listener`.
pub(super) fn transfer(
    listener: &TcpListener,
    connect: impl FnOnce() -> Result<TcpStream>,
    bytes: u64,
    stop: &Stop,
) -> Result<Transfer> {
    let sender = connect()?;
    let (receiver, _) = listener.accept()?;
    for end in [&sender, &receiver] {
        end.set_read_timeout(Some(PATIENCE))?;
        end.set_write_timeout(Some(PATIENCE))?;
    }
    let begun = Instant::now();
    thread::scope(|scope| {
        let receiving = scope.spawn(|| counting_cpu(|| receive(receiver, bytes)));
        let sending = scope.spawn(|| counting_cpu(|| send(sender, bytes, stop)));
        let ended_badly = |_| Err(anyhow!("an end of the upload ended badly"));
        let sent = sending.join().unwrap_or_else(ended_badly);
        let took = begun.elapsed();
        let received = receiving.join().unwrap_or_else(ended_badly);
        Ok(Transfer {
            took,
            cpu: sent? + received?,
        })
    })
}

fn send(mut stream: TcpStream, bytes: u64, stop: &Stop) -> Result<()> {
    let chunk = vec![b'x'; CHUNK];
    let mut left = bytes;
    while left > 0 {
        stop.check()?;
        let length = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        stream.write_all(&chunk[..length])?;
        left -= length as u64;
    }
    stream.read_exact(&mut [0])?;
    Ok(())
}

fn receive(mut stream: TcpStream, bytes: u64) -> Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut left = bytes;
    while left > 0 {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            bail!("the upload is short by {left} bytes");
        }
        left = left.saturating_sub(read as u64);
    }
    stream.write_all(b".")?;
    Ok(())
}

/// The CPU time that this thread takes for `work`.
fn counting_cpu(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    work()?;
    Ok(Duration::try_from(clock_gettime(ClockId::ThreadCPUTime))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_arrives_and_costs_something() {
        let stop = Stop::listen().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || Ok(TcpStream::connect(address)?);
        let bytes = 5 * CHUNK as u64 + 1;
        let transfer = transfer(&listener, connect, bytes, &stop).unwrap();
        assert!(transfer.took > Duration::ZERO && transfer.cpu > Duration::ZERO);
    }

    #[test]
    fn a_short_upload_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        drop(sender);
        let (receiver, _) = listener.accept().unwrap();
        assert!(receive(receiver, 1).is_err());
    }
}
