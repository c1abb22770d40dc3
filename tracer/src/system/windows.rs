//! Windows.

use std::io::{self, IsTerminal};

/// No file size ends a process.
pub fn survive_file_size_limit() -> io::Result<()> {
    Ok(())
}

/// Whoever opened the file behind stdout decided how it is written.
pub fn append(_stdout: io::Stdout) -> io::Result<()> {
    Ok(())
}

/// Whether what is written to stdout is on the console. What reads a pipe is not known.
pub fn may_share_the_terminal(stdout: impl IsTerminal) -> bool {
    stdout.is_terminal()
}

/// Stderr as the standard library has it: it converts what a console shows.
pub mod stderr {
    use std::{
        io::{self, Write as _},
        time::Duration,
    };

    pub const PIECE_BYTES: usize = usize::MAX;

    pub const fn has_room(_patience: Duration) -> bool {
        true
    }

    pub fn write_piece(piece: &[u8]) -> io::Result<()> {
        io::stderr().write_all(piece)
    }
}

/// Files that the tracer writes. They have the rights of their folder.
pub mod output {
    use std::{
        convert::Infallible,
        fs::{File, Metadata},
        io,
        path::Path,
    };

    /// No file has one: nothing moves it while it is open.
    pub type Identity = Infallible;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum WhenBusy {
        Wait,
        Fail,
    }

    /// Creates the file, or empties it.
    pub fn create(path: &Path, _when_busy: WhenBusy) -> io::Result<(File, Option<Identity>)> {
        Ok((File::create(path)?, None))
    }

    pub const fn identity(_metadata: &Metadata) -> Option<Identity> {
        None
    }
}
