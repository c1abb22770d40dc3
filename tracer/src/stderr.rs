//! The one way out to stderr: what others named (a program, a file, a server) acts on no terminal, and a pipe
//! that nobody reads blocks no thread.

#[cfg(live)]
mod held;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, Write},
    panic, process,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anstream::{AutoStream, ColorChoice};
use upload_protocol::plain::{plain, plain_lines, plain_log};

use crate::system::stderr::{PIECE_BYTES, has_room, write_piece};

/// How long a line waits for room, unless the line before it found none.
const PATIENCE: Duration = Duration::from_millis(100);

/// Lines left out since the last one that was written.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// A line on stderr, with the tracer's name.
pub fn message(line: &str) {
    write(&format!("tracer: {}\n", plain(line)));
}

/// The end of a process whose command line is not understood. Words of it may be names of files, as a shell
/// expands them. Help goes to stdout.
pub fn refuse(error: &clap::Error) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    let text = error.render();
    match AutoStream::choice(&io::stderr()) {
        ColorChoice::Never => write(&plain_lines(&text.to_string())),
        _ => write(&plain_log(&text.ansi().to_string())),
    }
    process::exit(error.exit_code());
}

/// Whether a terminal shows stderr; it is then ready for colours.
#[must_use]
pub fn is_terminal() -> bool {
    let stderr = AutoStream::always_ansi(io::stderr());
    stderr.is_terminal()
}

/// From now on, a panic is one message; with `RUST_BACKTRACE`, followed by where it happened.
pub fn report_panics() {
    panic::set_hook(Box::new(|panicked| {
        #[cfg(live)]
        crate::terminal::give_back();
        message(&panicked.to_string());
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            write(&plain_lines(&format!("{trace}\n")));
        }
    }));
}

/// From now on lines wait until [`release`] is called, if stderr is a terminal. At most 64 KiB wait.
#[cfg(live)]
pub fn hold() {
    if io::IsTerminal::is_terminal(&io::stderr()) {
        held::hold();
    }
}

/// Writes the lines that waited.
#[cfg(live)]
pub fn release() {
    let Some(held) = held::release() else { return };
    if !held.lines.is_empty() {
        write(&held.lines);
    }
    if held.left_out > 0 {
        message(&format!("{} messages were left out", held.left_out));
    }
}

/// The latest line that waits.
#[cfg(live)]
#[must_use]
pub fn latest_held() -> Option<String> {
    held::latest()
}

/// Writes lines, or leaves them out where nobody makes room for them.
fn write(lines: &str) {
    #[cfg(live)]
    if held::keep(lines) {
        return;
    }
    let left_out = LEFT_OUT.load(Ordering::Relaxed);
    let patience = if left_out == 0 {
        PATIENCE
    } else {
        Duration::ZERO
    };
    if !has_room(patience) {
        LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        return;
    }
    if left_out > 0 {
        LEFT_OUT.fetch_sub(left_out, Ordering::Relaxed);
        write(&format!(
            "tracer: {left_out} messages were left out: nobody read stderr\n"
        ));
    }
    // A pipe with room takes so many bytes without waiting.
    for piece in lines.as_bytes().chunks(PIECE_BYTES) {
        // Unlike with `eprintln!`, nothing panics where nobody reads stderr any more.
        if !has_room(PATIENCE) || write_piece(piece).is_err() {
            return;
        }
    }
}

/// Stderr for lines of the log. Their formatter escapes values, and colours the rest: of control characters,
/// line ends, tabs and colours pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

impl Write for Log {
    /// Takes a whole line at a time, as the log gives it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(&plain_log(&String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
