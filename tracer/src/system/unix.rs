//! Linux, macOS and other Unix systems.

pub mod output;
pub mod stderr;

use std::{
    io::{self, IsTerminal as _},
    os::fd::AsFd,
    sync::Arc,
};

use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use signal_hook::consts::SIGXFSZ;

/// From now on a file that may not grow further (RLIMIT_FSIZE) ends no process: the write fails with EFBIG,
/// as it would without the signal. A handler, unlike ignoring, is not inherited by the command.
pub fn survive_file_size_limit() -> io::Result<()> {
    signal_hook::flag::register(SIGXFSZ, Arc::default()).map(drop)
}

/// Makes a file behind stdout append-only, so that after logrotate's `copytruncate` the next line is
/// written at the file's start, with no hole before it.
pub fn append(stdout: impl AsFd) -> io::Result<()> {
    let is_file = |mode| FileType::from_raw_mode(mode) == FileType::RegularFile;
    if fstat(&stdout).is_ok_and(|stat| is_file(stat.st_mode)) {
        fcntl_setfl(&stdout, fcntl_getfl(&stdout)? | OFlags::APPEND)?;
    }
    Ok(())
}

/// Whether what is written to stdout may be on the terminal: it is one, or a pipe whose reader may write to one, such as
/// a pager.
pub fn may_share_the_terminal(stdout: impl AsFd) -> bool {
    let kind = fstat(&stdout).map(|about| FileType::from_raw_mode(about.st_mode));
    stdout.as_fd().is_terminal() || matches!(kind, Ok(FileType::Fifo | FileType::Socket))
}

#[cfg(test)]
mod tests {
    use super::may_share_the_terminal;

    #[test]
    fn a_pager_has_the_terminal_for_itself() {
        let (_reader, writer) = std::io::pipe().unwrap();
        assert!(may_share_the_terminal(writer));
        assert!(!may_share_the_terminal(tempfile::tempfile().unwrap()));
    }
}
