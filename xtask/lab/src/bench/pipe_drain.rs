//! Empties a pipe, or the terminal that a program draws on: moves its bytes to /dev/null, from a pipe without a copy, so
//! that the writer never waits and the measurement loses next to no CPU time.

use std::{
    fs::File,
    io::{self, Read as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Result, anyhow, bail};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    pipe::{SpliceFlags, fcntl_setpipe_size, splice},
};

use super::stop::Stop;

/// The most that a pipe may hold without a privilege. A larger pipe wakes the thread less often.
const PIPE: usize = 1 << 20;
/// How much of the end is read and kept.
const TAIL: usize = 64 << 10;

/// Dropped, it closes the pipe.
pub(crate) struct PipeDrain {
    thread: JoinHandle<io::Result<OwnedFd>>,
    /// Once this is closed, it is over.
    going: UnixStream,
}

impl PipeDrain {
    /// Begins.
    pub(crate) fn start(pipe: impl Into<OwnedFd>) -> Result<Self> {
        let pipe = pipe.into();
        // It only takes longer with a small one.
        let _ = fcntl_setpipe_size(&pipe, PIPE);
        let null = File::options().write(true).open("/dev/null")?;
        let (going, over) = UnixStream::pair()?;
        let thread = thread::spawn(move || {
            let mut drawn = vec![0; TAIL];
            while wait(&[over.as_fd(), pipe.as_fd()])? != 0 {
                match splice(&pipe, None, &null, None, PIPE, SpliceFlags::NONBLOCK) {
                    // A terminal that nobody has open any more is an error.
                    Ok(0) | Err(Errno::IO) => break,
                    Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                    // A terminal is no pipe.
                    Err(Errno::INVAL) => match rustix::io::read(&pipe, &mut drawn) {
                        Ok(0) | Err(Errno::IO) => break,
                        Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    },
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(pipe)
        });
        Ok(Self { thread, going })
    }

    /// Stops; later bytes stay in the pipe.
    pub(crate) fn stop(self) -> Result<OwnedFd> {
        drop(self.going);
        match self.thread.join() {
            Ok(pipe) => Ok(pipe?),
            Err(_) => Err(anyhow!("the thread that empties a pipe ended badly")),
        }
    }
}

/// Reads until the writer closes the pipe; returns the last 64 KiB.
pub(crate) fn read_tail(pipe: OwnedFd, limit: Duration, stop: &Stop) -> Result<String> {
    let mut pipe = File::from(pipe);
    let mut tail = Vec::new();
    let mut chunk = vec![0; TAIL];
    loop {
        if stop.wait(&[pipe.as_fd()], limit)?.is_none() {
            bail!(
                "a program that was asked to end neither ended nor printed anything for {limit:?}"
            );
        }
        let read = match pipe.read(&mut chunk) {
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => 0,
            read => read?,
        };
        if read == 0 {
            return Ok(String::from_utf8_lossy(&tail).into_owned());
        }
        tail.extend_from_slice(&chunk[..read]);
        tail.drain(..tail.len().saturating_sub(TAIL));
    }
}

/// The first of `files` that can be read.
fn wait(files: &[BorrowedFd<'_>]) -> io::Result<usize> {
    loop {
        let mut polled: Vec<PollFd<'_>> = files
            .iter()
            .map(|file| PollFd::from_borrowed_fd(*file, PollFlags::IN))
            .collect();
        match poll(&mut polled, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(first) = polled.iter().position(|file| !file.revents().is_empty()) {
            return Ok(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_end_is_read() {
        let mut shell = Command::new("sh")
            .args(["-c", "seq 100000; read go; seq 100000; echo last"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let drain = PipeDrain::start(shell.stdout.take().unwrap()).unwrap();
        let pipe = drain.stop().unwrap();
        // The shell goes on when its input ends.
        drop(shell.stdin.take());
        let stop = Stop::listen().unwrap();
        let tail = read_tail(pipe, Duration::from_secs(20), &stop).unwrap();
        assert!(tail.ends_with("99999\n100000\nlast\n"));
        assert_eq!(tail.len(), TAIL);
        shell.wait().unwrap();
    }

    #[test]
    fn a_writer_is_not_held_up() {
        let mut writer = Command::new("head")
            .args(["-c", "50000000", "/dev/zero"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let drain = PipeDrain::start(writer.stdout.take().unwrap()).unwrap();
        // Fifty times the capacity of the pipe.
        assert!(writer.wait().unwrap().success());
        drain.stop().unwrap();
    }
}
