//! A thread that writes chunks of bytes to a destination, which may block.

use std::{
    io::{self, ErrorKind, Write},
    mem,
    sync::{
        Arc, OnceLock,
        mpsc::{self, RecvTimeoutError, TryRecvError},
    },
    thread,
};

use anyhow::{Context as _, Result, bail};
use tracing::error;

use crate::{
    ending::{Ending, FOR_OUTPUTS},
    message, privileges,
};

pub(super) struct Writer {
    /// What it writes to, for a person.
    name: String,
    chunks: Option<mpsc::Sender<Chunk>>,
    /// Chunks that the thread has written, to reuse their buffers; none any more once it has ended.
    written: mpsc::Receiver<Chunk>,
    thread: thread::JoinHandle<io::Result<()>>,
    /// Why the thread ended by itself.
    failure: Arc<OnceLock<ErrorKind>>,
    waiting: Waiting,
    /// Buffers for the next chunks.
    pub(super) spare: Vec<Vec<u8>>,
    /// What was written so far: lines, or records.
    written_lines: u64,
    /// What was handed over, and cannot be written any more.
    lost: u64,
    state: State,
    ending: Ending,
}

/// Bytes with a number of lines (or records).
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
}

/// Handed over and not written yet.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) chunks: usize,
    pub(super) bytes: usize,
    pub(super) lines: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Writing,
    /// The destination is gone.
    Broken,
    /// The time of the end is over, and the thread is still blocked.
    Late,
}

/// Bytes handed over at once; fewer if the thread is idle.
pub(super) const CHUNK: usize = 64 * 1024;
/// Bytes that may wait, give or take a line.
pub(super) const MAX_BYTES: usize = 1 << 26;
/// Buffers kept for reuse. More are freed, and so is one that a single large output has grown.
const MAX_SPARE: usize = 4;
const MAX_SPARE_BYTES: usize = 4 * CHUNK;

impl Writer {
    /// Starts the thread, which drops all capabilities.
    pub(super) fn start(
        name: String,
        mut destination: Box<dyn Write + Send>,
        ending: Ending,
    ) -> Result<Self> {
        let (chunks, to_write) = mpsc::channel();
        let (come_back, written) = mpsc::channel();
        let failure = Arc::new(OnceLock::new());
        let (own_name, own_failure) = (name.clone(), Arc::clone(&failure));
        let thread = thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || {
                privileges::drop_all();
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
            chunks: Some(chunks),
            written,
            thread,
            failure,
            waiting: Waiting::default(),
            spare: Vec::new(),
            written_lines: 0,
            lost: 0,
            state: State::Writing,
            ending,
        })
    }

    /// Whether nothing can be written any more.
    pub(super) fn is_broken(&self) -> bool {
        self.state != State::Writing
    }

    /// Whether the reader has closed the pipe.
    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Broken && self.failure.get() == Some(&ErrorKind::BrokenPipe)
    }

    pub(super) const fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Hands a chunk over, and leaves an empty one.
    pub(super) fn hand_over(&mut self, chunk: &mut Chunk) {
        let next = Chunk {
            bytes: self.spare.pop().unwrap_or_default(),
            lines: 0,
        };
        let chunk = mem::replace(chunk, next);
        self.waiting.chunks += 1;
        self.waiting.bytes += chunk.bytes.len();
        self.waiting.lines += chunk.lines;
        let sent = self.chunks.as_ref().map(|chunks| chunks.send(chunk));
        if !matches!(sent, Some(Ok(()))) {
            self.give_up(State::Broken);
        }
    }

    /// Takes back the chunks written by now.
    pub(super) fn take_back(&mut self) {
        loop {
            match self.written.try_recv() {
                Ok(chunk) => self.reuse(chunk),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => return self.give_up(State::Broken),
            }
        }
    }

    /// Waits until the thread has written a chunk, or has ended, or no time is left.
    pub(super) fn wait_for_one(&mut self) {
        match self.ending.receive(&self.written) {
            Ok(chunk) => self.reuse(chunk),
            Err(RecvTimeoutError::Disconnected) => self.give_up(State::Broken),
            Err(RecvTimeoutError::Timeout) => self.give_up(State::Late),
        }
    }

    /// Waits until everything is written. Gives the number of lines written, unless the reader has closed
    /// the pipe.
    ///
    /// # Errors
    /// When something was not written. `left_out` is the number of lines that were not handed over, and `what`
    /// is the name of such a line.
    pub(super) fn finish(mut self, left_out: u64, what: &str) -> Result<Option<u64>> {
        drop(self.chunks.take());
        // The thread ends behind the last chunk, and what it sends ends with it.
        while !self.is_broken() {
            self.wait_for_one();
        }
        let lost = self.lost + left_out;
        if self.state == State::Late {
            bail!(
                "{lost} {what} were left out of {}: they could not be written within {} s",
                self.name,
                FOR_OUTPUTS.as_secs()
            );
        }
        match self.thread.join() {
            Ok(Ok(())) => Ok(Some(self.written_lines)),
            Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(None),
            // The reason was reported at once.
            Ok(Err(_)) => bail!("{lost} {what} were left out of {}", self.name),
            Err(_) => {
                error!("the output's thread ended abnormally");
                Ok(Some(self.written_lines))
            }
        }
    }

    fn reuse(&mut self, mut chunk: Chunk) {
        self.waiting.chunks -= 1;
        self.waiting.bytes -= chunk.bytes.len();
        self.waiting.lines -= chunk.lines;
        self.written_lines += chunk.lines;
        if self.spare.len() < MAX_SPARE && chunk.bytes.capacity() <= MAX_SPARE_BYTES {
            chunk.bytes.clear();
            self.spare.push(chunk.bytes);
        }
    }

    /// Counts what is not written as lost.
    fn give_up(&mut self, state: State) {
        self.state = state;
        self.lost += mem::take(&mut self.waiting).lines;
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
