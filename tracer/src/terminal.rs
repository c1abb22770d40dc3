//! The terminal while a view has it for itself: its alternate screen, without echo and line editing. It is given back
//! however the tracer ends: after a key, a signal, an error, a panic; and for as long as the tracer is stopped.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use ratatui::crossterm::{
    Command,
    cursor::{Hide, Show},
    style::ResetColor,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::{
    consts::{SIGCONT, SIGTSTP},
    iterator::Signals,
    low_level::{emulate_default_handler, raise},
};

use crate::{privileges, stderr};

/// Whether a view has the terminal.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Whether it was given back because the tracer is stopped.
static STOPPED: AtomicBool = AtomicBool::new(false);
/// Whether the view must draw everything again.
static TORN: AtomicBool = AtomicBool::new(false);
/// Whether somebody writes, and what is notified of the end of it.
static WRITING: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

/// How long giving back waits for a terminal that takes nothing: one whose output was halted, for example.
const PATIENCE: Duration = Duration::from_millis(100);

/// Takes the terminal for a view. From now on, lines for stderr wait until it is given back.
///
/// # Errors
/// When stdout is no terminal, or one that cannot place a cursor, or its modes cannot be set.
pub fn take() -> Result<()> {
    if !io::stdout().is_terminal() {
        bail!("--top needs a terminal, and stdout is none: omit it to write timelines");
    }
    match std::env::var("TERM").as_deref() {
        Ok("dumb") => bail!("--top needs a terminal that can place a cursor, and TERM is dumb"),
        Ok("") | Err(_) => bail!("--top needs to know the terminal, and TERM is not set"),
        Ok(_) => {}
    }
    heed_stops().context("cannot watch for SIGTSTP and SIGCONT")?;
    begin()
        .inspect_err(|_| give_back())
        .context("--top cannot have the terminal")
}

/// Gives the terminal back, if a view has it: its own screen, its modes, its cursor. Lines that waited for stderr are
/// written. Any thread may call it, at any time.
pub fn give_back() {
    STOPPED.store(false, Ordering::SeqCst);
    end();
}

/// Whether a view has the terminal, or will have it again once the tracer goes on.
#[must_use]
pub fn is_taken() -> bool {
    TAKEN.load(Ordering::SeqCst) || STOPPED.load(Ordering::SeqCst)
}

/// Stops the tracer, as Ctrl-Z does where a terminal makes a signal of it.
pub fn stop() {
    let _ = raise(SIGTSTP);
}

/// Whether somebody else may have written on the terminal since this was last asked.
pub fn was_torn() -> bool {
    TORN.swap(false, Ordering::SeqCst)
}

/// What a view writes, at each flush; nothing once the terminal was given back.
#[derive(Debug, Default)]
pub struct Screen(Vec<u8>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = exclusively(None, || match TAKEN.load(Ordering::SeqCst) {
            true => write(&self.0),
            false => Ok(()),
        });
        self.0.clear();
        written
    }
}

fn begin() -> io::Result<()> {
    enable_raw_mode()?;
    stderr::hold();
    TAKEN.store(true, Ordering::SeqCst);
    TORN.store(true, Ordering::SeqCst);
    exclusively(None, || write(&sequence(&[&EnterAlternateScreen, &Hide])))
}

fn end() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // The view may be blocked in the middle of a write, by a terminal that takes nothing.
    let _ = exclusively(Some(PATIENCE), || match has_room() {
        true => write(&sequence(&[&ResetColor, &Show, &LeaveAlternateScreen])),
        false => Ok(()),
    });
    let _ = disable_raw_mode();
    stderr::release();
}

/// From now on, the terminal is given back while the tracer is stopped.
fn heed_stops() -> io::Result<()> {
    let mut signals = Signals::new([SIGTSTP, SIGCONT])?;
    thread::Builder::new()
        .name("stops".to_owned())
        .spawn(move || {
            privileges::drop_all();
            for signal in &mut signals {
                if signal == SIGTSTP {
                    STOPPED.store(TAKEN.load(Ordering::SeqCst), Ordering::SeqCst);
                    end();
                    let _ = emulate_default_handler(SIGTSTP);
                }
                // SIGSTOP leaves no time to give it back; the shell set other modes meanwhile.
                if is_taken() {
                    let _ = disable_raw_mode();
                    let _ = begin();
                }
                STOPPED.store(false, Ordering::SeqCst);
            }
        })?;
    Ok(())
}

/// Does something that writes while nobody else does; after this time, even so.
fn exclusively<T>(patience: Option<Duration>, act: impl FnOnce() -> T) -> T {
    let (writing, ended) = &WRITING;
    let locked = writing.lock().unwrap_or_else(PoisonError::into_inner);
    let mut is_writing = match patience {
        None => ended
            .wait_while(locked, |is_writing| *is_writing)
            .unwrap_or_else(PoisonError::into_inner),
        Some(patience) => {
            ended
                .wait_timeout_while(locked, patience, |is_writing| *is_writing)
                .unwrap_or_else(PoisonError::into_inner)
                .0
        }
    };
    *is_writing = true;
    drop(is_writing);
    let acted = act();
    *writing.lock().unwrap_or_else(PoisonError::into_inner) = false;
    ended.notify_all();
    acted
}

fn sequence(commands: &[&dyn Ansi]) -> Vec<u8> {
    let mut text = String::new();
    for command in commands {
        command.append(&mut text);
    }
    text.into_bytes()
}

/// A command of crossterm's, as bytes.
trait Ansi {
    fn append(&self, to: &mut String);
}

impl<T: Command> Ansi for T {
    fn append(&self, to: &mut String) {
        // Writing to a string does not fail.
        let _ = self.write_ansi(to);
    }
}

/// Past the standard library's stdout, whose lock a blocked thread may hold.
fn write(mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(io::stdout(), bytes))?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

fn has_room() -> bool {
    let stdout = io::stdout();
    let mut waiting = [PollFd::new(&stdout, PollFlags::OUT)];
    let patience = Timespec::try_from(PATIENCE).ok();
    poll(&mut waiting, patience.as_ref()).map_or(true, |ready| ready > 0)
}
