//! The one way out to stderr: what others named (a file, a client) acts on no terminal. A program that reads the log and
//! does not keep up holds nothing back: the lines for which there is no room are left out, and counted.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::LazyLock,
};

use parking_lot::Mutex;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat},
    io::Errno,
};
use upload_protocol::plain::{plain, plain_log};

/// The longest line. Where there is room in a pipe, there is room for as much (pipe(7), PIPE_BUF).
const LONGEST_LINE: usize = 4096;

/// How long the first line without room waits for some.
const PATIENCE: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

const NONE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// How many lines were left out since the last one that was written.
static LEFT_OUT: Mutex<u64> = Mutex::new(0);

/// A line on stderr.
pub fn message(line: &str) {
    // Not worth failing for: without stderr, the line has no reader.
    let _ = writeln!(io::stderr(), "{}", plain(line));
}

/// The log on stderr, with its colours. Writes each line as a whole, or not at all.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl io::Write for Log {
    /// Takes a whole line at a time, as the log gives it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        let line = plain_log(&line);
        let line = line.as_bytes();
        let mut left_out = LEFT_OUT.lock();
        if *left_out == 0 && has_room(&PATIENCE) {
            write_line(line);
        } else if *left_out > 0 && has_room(&NONE) {
            let problem = "lines of the log are left out: its reader did not keep up";
            write_line(format!("{left_out} {problem}\n").as_bytes());
            *left_out = 0;
            if has_room(&NONE) {
                write_line(line);
            } else {
                *left_out = 1;
            }
        } else {
            *left_out += 1;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file, and `/dev/null`, take whatever comes.
static MAY_BLOCK: LazyLock<bool> = LazyLock::new(|| {
    let kind = fstat(io::stderr()).map(|stat| FileType::from_raw_mode(stat.st_mode));
    match kind {
        Ok(FileType::RegularFile) => false,
        Ok(FileType::CharacterDevice) => io::stderr().is_terminal(),
        _ => true,
    }
});

fn has_room(patience: &Timespec) -> bool {
    if !*MAY_BLOCK {
        return true;
    }
    let stderr = io::stderr();
    let mut waiting = [PollFd::new(&stderr, PollFlags::OUT)];
    match poll(&mut waiting, Some(patience)) {
        Ok(ready) => ready > 0,
        Err(Errno::INTR) => has_room(&NONE),
        // Whatever stderr is, it cannot be waited for.
        Err(_) => true,
    }
}

/// Nothing is left to do where stderr is closed.
fn write_line(line: &[u8]) {
    let mut stderr = io::stderr().lock();
    let _ = match line.get(..LONGEST_LINE - 1) {
        Some(beginning) => stderr
            .write_all(beginning)
            .and_then(|()| stderr.write_all(b"\n")),
        None => stderr.write_all(line),
    };
}
