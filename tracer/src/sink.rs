//! Where outputs go: one trait, one file per sink, one thread per sink. A sink that is too slow
//! loses its own outputs, counted and said, and holds up nobody else.

mod explain;
mod ndjson;
mod pcapng;
mod text;
mod units;
mod web;

use std::{
    io::{self, ErrorKind, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use anyhow::{Context as _, Result};
use rustix::thread::CapabilitySet;
use tracing::error;

pub use self::{
    ndjson::Ndjson,
    pcapng::Pcapng,
    text::{Styles, Text},
    web::Web,
};
use crate::{
    moment::Moment,
    output::{Hop, LostLine, Output},
    privileges,
};

/// Writes outputs in its own way.
pub trait Sink: Send {
    /// Writes one output; may buffer.
    ///
    /// # Errors
    /// When the destination refuses it.
    fn write(&mut self, output: &Output) -> io::Result<()>;

    /// Writes out what is buffered; called when no output waits.
    ///
    /// # Errors
    /// When the destination refuses it.
    fn flush(&mut self) -> io::Result<()>;

    /// How many outputs it could not bring to where they belong, and went on without.
    fn lost(&self) -> u64 {
        0
    }

    /// The capabilities that it has a use for.
    fn keeps(&self) -> CapabilitySet {
        CapabilitySet::empty()
    }
}

/// Outputs of one turn of the pipeline, shared by all sinks.
pub type Batch = Arc<Vec<Output>>;

/// What happens to a batch when the sink is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenBehind {
    /// It is dropped and counted: live tracing does not wait.
    Drop,
    /// The caller waits: a recording can.
    Wait,
}

/// A sink on a thread of its own.
pub struct SinkThread {
    batches: Option<mpsc::SyncSender<Batch>>,
    thread: thread::JoinHandle<io::Result<u64>>,
    /// Which outputs are for it.
    wants: fn(&Output) -> bool,
    waiting: Arc<AtomicUsize>,
    broken: Arc<AtomicBool>,
    when_behind: WhenBehind,
    /// What is to be told of losses as soon as there is room, a line for each hop.
    lost: Vec<LostLine>,
    lost_total: u64,
}

/// Outputs that may wait for a sink before more are dropped.
const MOST_WAITING: usize = 1 << 16;
/// Batches that may wait; one is made per turn, 50 a second.
const MOST_BATCHES: usize = 1 << 12;

impl SinkThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(mut sink: Box<dyn Sink>, when_behind: WhenBehind) -> Result<Self> {
        let (batches, received) = mpsc::sync_channel::<Batch>(MOST_BATCHES);
        let waiting = Arc::new(AtomicUsize::new(0));
        let broken = Arc::new(AtomicBool::new(false));
        let (written, failed) = (Arc::clone(&waiting), Arc::clone(&broken));
        let thread = thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || {
                privileges::keep(sink.keeps());
                let result = write_all(sink.as_mut(), &received, &written);
                failed.store(result.is_err(), Ordering::Relaxed);
                result
            })
            .context("starting the output's thread")?;
        Ok(Self {
            batches: Some(batches),
            thread,
            wants: |_| true,
            waiting,
            broken,
            when_behind,
            lost: Vec::new(),
            lost_total: 0,
        })
    }

    /// Only these outputs are for the sink, and no others are lost when it is behind.
    #[must_use]
    pub fn only(mut self, wants: fn(&Output) -> bool) -> Self {
        self.wants = wants;
        self
    }

    /// Hands a batch over, or counts it as lost. `at` is now.
    pub fn send(&mut self, batch: &Batch, at: Moment) {
        if self.lost.is_empty() && !batch.iter().any(self.wants) {
            return;
        }
        let behind = self.waiting.load(Ordering::Relaxed) >= MOST_WAITING;
        if behind && self.when_behind == WhenBehind::Drop {
            self.count_lost(batch, at);
            return;
        }
        self.tell_lost(at);
        self.hand_over(batch, at);
    }

    /// What comes now comes at the end, and is not dropped, however far the sink is behind.
    pub const fn wait_from_now_on(&mut self) {
        self.when_behind = WhenBehind::Wait;
    }

    /// Whether the destination is gone; nothing more can be written.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Waits until everything is written; gives the number of outputs that were lost on somebody
    /// who still reads.
    ///
    /// # Errors
    /// What the destination said. A closed pipe is no error.
    pub fn finish(mut self) -> Result<u64> {
        self.wait_from_now_on();
        if let Some(at) = self.lost.last().map(|lost| lost.at) {
            self.tell_lost(at);
        }
        drop(self.batches.take());
        match self.thread.join() {
            Ok(Ok(lost)) => Ok(self.lost_total + lost),
            Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(0),
            Ok(Err(error)) => Err(error).context("writing the output"),
            Err(_) => {
                error!("the output's thread ended abnormally");
                Ok(self.lost_total)
            }
        }
    }

    fn hand_over(&mut self, batch: &Batch, at: Moment) {
        let Some(batches) = &self.batches else {
            return;
        };
        let count = batch.len();
        self.waiting.fetch_add(count, Ordering::Relaxed);
        let accepted = match self.when_behind {
            WhenBehind::Wait => batches.send(Arc::clone(batch)).is_ok(),
            WhenBehind::Drop => batches.try_send(Arc::clone(batch)).is_ok(),
        };
        if !accepted {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            self.count_lost(batch, at);
        }
    }

    fn tell_lost(&mut self, at: Moment) {
        if self.lost.is_empty() {
            return;
        }
        let lost = std::mem::take(&mut self.lost);
        let lost = lost.into_iter().map(Output::Lost).collect();
        self.hand_over(&Arc::new(lost), at);
    }

    /// Counts what is dropped; what it says of other losses is told later.
    fn count_lost(&mut self, batch: &[Output], at: Moment) {
        let mut count = 0;
        let wants = self.wants;
        for output in batch.iter().filter(|output| wants(output)) {
            match output {
                Output::Lost(line) => self.hold(line.clone()),
                _ => count += 1,
            }
        }
        if count > 0 {
            self.lost_total += count;
            self.hold(LostLine {
                at,
                count,
                at_most: false,
                hop: Hop::Sink,
                from_ns: at.mono_ns,
                to_ns: at.mono_ns,
            });
        }
    }

    fn hold(&mut self, line: LostLine) {
        match self.lost.iter_mut().find(|held| held.hop == line.hop) {
            Some(held) => {
                held.at = line.at;
                held.count += line.count;
                held.at_most |= line.at_most;
                held.to_ns = line.to_ns;
            }
            None => self.lost.push(line),
        }
    }
}

fn write_all(
    sink: &mut dyn Sink,
    batches: &mpsc::Receiver<Batch>,
    waiting: &AtomicUsize,
) -> io::Result<u64> {
    for batch in batches {
        for output in &*batch {
            sink.write(output)?;
        }
        if waiting.fetch_sub(batch.len(), Ordering::Relaxed) == batch.len() {
            sink.flush()?;
        }
    }
    sink.flush()?;
    Ok(sink.lost())
}

/// A destination that is written in large pieces.
fn buffered<W: Write>(destination: W) -> io::BufWriter<W> {
    io::BufWriter::with_capacity(64 * 1024, destination)
}

#[cfg(test)]
mod tests;
