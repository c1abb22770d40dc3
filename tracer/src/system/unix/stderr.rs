//! Stderr without a lock that makes one thread wait for another.

use std::{io, os::fd::AsFd as _, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pipe::PIPE_BUF,
};

/// A pipe with room takes so many bytes without waiting.
pub const PIECE_BYTES: usize = PIPE_BUF;

/// Whether a write would not wait, now or within this time.
pub fn has_room(patience: Duration) -> bool {
    let stderr = io::stderr();
    let mut waiting = [PollFd::from_borrowed_fd(stderr.as_fd(), PollFlags::OUT)];
    let patience = Timespec::try_from(patience).ok();
    // On an error, too: the write shows it.
    poll(&mut waiting, patience.as_ref()).map_or(true, |ready| ready > 0)
}

/// Writes at most [`PIECE_BYTES`].
pub fn write_piece(piece: &[u8]) -> io::Result<()> {
    rustix::io::write(io::stderr(), piece)?;
    Ok(())
}
