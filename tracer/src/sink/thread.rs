//! A sink: the core's thread renders outputs, while they are still in the processor's cache, and the
//! sink's thread writes the bytes, which may block. An output that will be dropped is not rendered.

use std::{
    io::{self, ErrorKind, Write},
    sync::{
        Arc, OnceLock,
        mpsc::{self, TryRecvError},
    },
    thread,
};

use anyhow::{Context as _, Result, bail};
use rustix::thread::CapabilitySet;
use tracing::error;
use upload_protocol::Moment;

use super::{Render, losses::Losses};
use crate::{core::output::Output, message, privileges};

/// What to do with outputs when the sink is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenBehind {
    /// Drop and count them: live tracing does not wait.
    Drop,
    /// Wait: a recording can.
    Wait,
}

pub struct SinkThread {
    /// What it writes to, for a person.
    name: String,
    render: Box<dyn Render>,
    /// Rendered, and not sent to the thread yet.
    chunk: Chunk,
    chunks: Option<mpsc::Sender<Chunk>>,
    /// Chunks that the thread has written, to reuse their buffers.
    written: mpsc::Receiver<Chunk>,
    thread: thread::JoinHandle<io::Result<()>>,
    /// Why the thread ended by itself.
    failure: Arc<OnceLock<ErrorKind>>,
    waiting: Waiting,
    /// Buffers for the next chunks.
    spare: Vec<Vec<u8>>,
    /// Whether the destination is gone.
    broken: bool,
    when_behind: WhenBehind,
    lost: Losses,
}

#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    lines: u64,
}

/// Sent to the thread and not written yet.
#[derive(Default)]
struct Waiting {
    chunks: usize,
    bytes: usize,
    lines: u64,
}

/// Bytes sent to the thread at once; fewer if the thread is idle.
const CHUNK: usize = 64 * 1024;
/// Lines that may wait; more are dropped.
pub(super) const MAX_LINES: u64 = 1 << 16;
/// Bytes that may wait, give or take a line.
pub(super) const MAX_BYTES: usize = 1 << 26;
/// Buffers kept for reuse. More are freed, and so is one that a single large output has grown.
const MAX_SPARE: usize = 4;
const MAX_SPARE_BYTES: usize = 4 * CHUNK;

impl SinkThread {
    /// Starts the thread, which drops all capabilities.
    pub fn start(
        name: String,
        render: Box<dyn Render>,
        mut destination: Box<dyn Write + Send>,
        when_behind: WhenBehind,
    ) -> Result<Self> {
        let (chunks, to_write) = mpsc::channel();
        let (come_back, written) = mpsc::channel();
        let failure = Arc::new(OnceLock::new());
        let (own_name, own_failure) = (name.clone(), Arc::clone(&failure));
        let thread = thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || {
                privileges::keep(CapabilitySet::empty());
                let result = write_all(&mut destination, &to_write, &come_back);
                if let Err(error) = &result {
                    let _ = own_failure.set(error.kind());
                    if error.kind() != ErrorKind::BrokenPipe {
                        message(&super::cannot_be_written(&own_name, error));
                    }
                }
                result
            })
            .context("starting the output's thread")?;
        Ok(Self {
            name,
            failure,
            render,
            chunk: Chunk::default(),
            chunks: Some(chunks),
            written,
            thread,
            waiting: Waiting::default(),
            spare: Vec::new(),
            broken: false,
            when_behind,
            lost: Losses::default(),
        })
    }

    /// Renders a turn's outputs, or counts them as lost. `at` is now.
    pub fn send(&mut self, outputs: &[Output], at: Moment) {
        self.take_back();
        self.emit_loss();
        for output in outputs {
            if self.has_room() {
                self.render(output);
            } else if self.render.shows(output) {
                self.lost.record(output, at);
            }
        }
        if self.waiting.chunks == 0 {
            self.hand_over();
        }
    }

    /// From now on no output is dropped, however far the sink is behind: these are the last.
    pub const fn wait_from_now_on(&mut self) {
        self.when_behind = WhenBehind::Wait;
    }

    /// Whether the destination is gone.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether its reader has closed the pipe.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.broken && self.failure.get() == Some(&ErrorKind::BrokenPipe)
    }

    /// Waits until everything is written. Returns the number of lines lost; 0 if the reader has closed
    /// the pipe.
    pub fn finish(mut self) -> Result<u64> {
        self.wait_from_now_on();
        self.emit_loss();
        self.hand_over();
        drop(self.chunks.take());
        while !self.broken && self.waiting.chunks > 0 {
            self.wait_for_one();
        }
        let lost = self.lost.total();
        match self.thread.join() {
            Ok(Ok(())) => Ok(lost),
            Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(0),
            // The reason was reported at once.
            Ok(Err(_)) => bail!("{lost} lines were left out of {}", self.name),
            Err(_) => {
                error!("the output's thread ended abnormally");
                Ok(lost)
            }
        }
    }

    /// Whether one more line may be rendered; if the caller can wait, waits for room.
    fn has_room(&mut self) -> bool {
        while self.is_behind() && self.when_behind == WhenBehind::Wait && !self.broken {
            self.wait_for_one();
        }
        !self.broken && !self.is_behind()
    }

    const fn is_behind(&self) -> bool {
        self.waiting.lines + self.chunk.lines >= MAX_LINES
            || self.waiting.bytes + self.chunk.bytes.len() >= MAX_BYTES
    }

    fn emit_loss(&mut self) {
        if self.has_room() {
            for lost in self.lost.take() {
                self.render(&lost);
            }
        }
    }

    fn render(&mut self, output: &Output) {
        let before = self.chunk.bytes.len();
        if let Err(error) = self.render.render(output, &mut self.chunk.bytes) {
            error!("cannot render an output: {error}");
            self.chunk.bytes.truncate(before);
            self.lost.count(1);
        }
        self.chunk.lines += u64::from(self.chunk.bytes.len() > before);
        if self.chunk.bytes.len() >= CHUNK || self.chunk.lines >= MAX_LINES {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        if self.chunk.bytes.is_empty() {
            return;
        }
        let next = Chunk {
            bytes: self.spare.pop().unwrap_or_default(),
            lines: 0,
        };
        let chunk = std::mem::replace(&mut self.chunk, next);
        self.waiting.chunks += 1;
        self.waiting.bytes += chunk.bytes.len();
        self.waiting.lines += chunk.lines;
        let sent = self.chunks.as_ref().map(|chunks| chunks.send(chunk));
        if !matches!(sent, Some(Ok(()))) {
            self.break_off();
        }
    }

    /// Takes back the chunks written by now.
    fn take_back(&mut self) {
        loop {
            match self.written.try_recv() {
                Ok(chunk) => self.reuse(chunk),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => return self.break_off(),
            }
        }
    }

    /// Waits until the thread has written a chunk, or has ended.
    fn wait_for_one(&mut self) {
        match self.written.recv() {
            Ok(chunk) => self.reuse(chunk),
            Err(_) => self.break_off(),
        }
    }

    fn reuse(&mut self, mut chunk: Chunk) {
        self.waiting.chunks -= 1;
        self.waiting.bytes -= chunk.bytes.len();
        self.waiting.lines -= chunk.lines;
        if self.spare.len() < MAX_SPARE && chunk.bytes.capacity() <= MAX_SPARE_BYTES {
            chunk.bytes.clear();
            self.spare.push(chunk.bytes);
        }
    }

    /// The destination is gone: counts the lines not written as lost.
    fn break_off(&mut self) {
        self.broken = true;
        let waiting = std::mem::take(&mut self.waiting);
        let chunk = std::mem::take(&mut self.chunk);
        self.lost.count(waiting.lines + chunk.lines);
    }
}

/// Writes chunks, and flushes when none waits.
fn write_all(
    destination: &mut dyn Write,
    chunks: &mpsc::Receiver<Chunk>,
    written: &mpsc::Sender<Chunk>,
) -> io::Result<()> {
    loop {
        let chunk = match chunks.try_recv() {
            Ok(chunk) => chunk,
            Err(_) => {
                destination.flush()?;
                match chunks.recv() {
                    Ok(chunk) => chunk,
                    Err(_) => return Ok(()),
                }
            }
        };
        destination.write_all(&chunk.bytes)?;
        // This fails only if the sink was dropped, which needs no buffer.
        let _ = written.send(chunk);
    }
}

#[cfg(test)]
mod tests;
