//! Ctrl-C interrupts every wait: the measurement ends as an error, and everything that was started
//! is ended on the way out.

use std::{
    io::{self, ErrorKind},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    low_level::pipe,
};

/// Readable from the first signal on, and never read.
pub(crate) struct Stop(UnixStream);

impl Stop {
    /// Handles SIGINT, SIGTERM and SIGHUP from now on.
    pub(crate) fn listen() -> Result<Self> {
        let (read, write) = UnixStream::pair().context("no socket pair for signals")?;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            pipe::register(signal, write.try_clone()?).context("signals")?;
        }
        Ok(Self(read))
    }

    /// An error after the first signal.
    pub(crate) fn check(&self) -> Result<()> {
        self.wait(&[], Duration::ZERO).map(drop)
    }

    /// Waits until one of `files` is readable and returns its index, or `None` after `limit`.
    /// An error after the first signal.
    pub(crate) fn wait(&self, files: &[BorrowedFd<'_>], limit: Duration) -> Result<Option<usize>> {
        let mut polled = vec![PollFd::new(&self.0, PollFlags::IN)];
        polled.extend(
            files
                .iter()
                .map(|file| PollFd::from_borrowed_fd(*file, PollFlags::IN)),
        );
        wait_for(&mut polled, limit)?;
        if !polled[0].revents().is_empty() {
            bail!("interrupted");
        }
        Ok(polled[1..]
            .iter()
            .position(|file| !file.revents().is_empty()))
    }
}

/// Whether `file` becomes readable within `limit`. Signals do not interrupt it: it is used to end a
/// process.
pub(crate) fn readable(file: impl AsFd, limit: Duration) -> io::Result<bool> {
    let mut polled = [PollFd::new(&file, PollFlags::IN)];
    wait_for(&mut polled, limit)?;
    Ok(!polled[0].revents().is_empty())
}

fn wait_for(files: &mut [PollFd<'_>], limit: Duration) -> io::Result<()> {
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| ErrorKind::InvalidInput)?;
        match poll(files, Some(&left)) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
