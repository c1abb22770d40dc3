//! A sink: the core's thread renders outputs, while they are still in the processor's cache, and a
//! [`Writer`] writes the bytes. An output that will be dropped is not rendered.

use std::io::Write;

use anyhow::Result;
use tracing::error;
use upload_protocol::Moment;

use super::{
    Render,
    losses::Losses,
    writer::{CHUNK, Chunk, MAX_BYTES, Writer},
};
use crate::{core::output::Output, ending::Ending};

/// What to do with outputs when the sink is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenBehind {
    /// Drop and count them: live tracing does not wait.
    Drop,
    /// Wait: a recording can.
    Wait,
}

pub struct SinkThread {
    render: Box<dyn Render>,
    /// Rendered, and not handed over yet.
    chunk: Chunk,
    writer: Writer,
    when_behind: WhenBehind,
    lost: Losses,
}

/// Bytes that may wait, if the caller can wait, too: enough that the thread has always something to write.
const MAX_BYTES_IF_PATIENT: usize = 1 << 22;
/// Lines that may wait; more are dropped.
pub(super) const MAX_LINES: u64 = 1 << 16;

impl SinkThread {
    /// Starts the thread, which drops all capabilities.
    pub fn start(
        name: String,
        render: Box<dyn Render>,
        destination: Box<dyn Write + Send>,
        when_behind: WhenBehind,
        ending: Ending,
    ) -> Result<Self> {
        Ok(Self {
            render,
            chunk: Chunk::default(),
            writer: Writer::start(name, destination, ending)?,
            when_behind,
            lost: Losses::default(),
        })
    }

    /// Renders a turn's outputs, or counts them as lost. `at` is now.
    pub fn send(&mut self, outputs: &[Output], at: Moment) {
        self.writer.take_back();
        self.emit_loss();
        for output in outputs {
            if self.has_room() {
                self.render(output);
            } else if self.render.shows(output) {
                self.lost.record(output, at);
            }
        }
        if self.writer.waiting().chunks == 0 {
            self.hand_over();
        }
    }

    /// From now on no output is dropped, however far the sink is behind: these are the last.
    pub const fn wait_from_now_on(&mut self) {
        self.when_behind = WhenBehind::Wait;
    }

    /// Whether nothing can be written any more.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.writer.is_broken()
    }

    /// Whether its reader has closed the pipe.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.writer.is_closed()
    }

    /// How many lines were lost so far.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost.total()
    }

    /// Waits until everything is written, or the time of the end is over. Returns the number of lines lost;
    /// 0 if the reader has closed the pipe.
    ///
    /// # Errors
    /// When the destination was not written to the end.
    pub fn finish(mut self) -> Result<u64> {
        self.wait_from_now_on();
        self.emit_loss();
        self.hand_over();
        let lost = self.lost.total();
        let written = self.writer.finish(lost + self.chunk.lines, "lines")?;
        Ok(written.map_or(0, |_| lost))
    }

    /// Whether one more line may be rendered; if the caller can wait, waits for room.
    fn has_room(&mut self) -> bool {
        while self.is_behind() && self.when_behind == WhenBehind::Wait && !self.is_broken() {
            self.writer.wait_for_one();
        }
        !self.is_broken() && !self.is_behind()
    }

    fn is_behind(&self) -> bool {
        let most = match self.when_behind {
            WhenBehind::Drop => MAX_BYTES,
            WhenBehind::Wait => MAX_BYTES_IF_PATIENT,
        };
        let waiting = self.writer.waiting();
        waiting.lines + self.chunk.lines >= MAX_LINES
            || waiting.bytes + self.chunk.bytes.len() >= most
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
        if !self.chunk.bytes.is_empty() && !self.is_broken() {
            self.writer.hand_over(&mut self.chunk);
        }
    }
}

#[cfg(test)]
mod tests;
