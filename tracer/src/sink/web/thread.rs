//! Runs the page's sink on its own thread, since it waits for the server's answers.

use std::{
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tracing::error;

use super::Web;
use crate::{core::output::Output, ending::Ending, privileges, sink::weight};

pub struct WebThread {
    batches: Option<mpsc::Sender<Vec<Output>>>,
    /// The weight of each batch that the thread has processed.
    taken: mpsc::Receiver<usize>,
    /// Returns how many timelines could not be sent.
    thread: thread::JoinHandle<u64>,
    /// The weight of what waits.
    waiting: usize,
    ending: Ending,
    /// When the thread gives up, once the end has come.
    deadline: Arc<OnceLock<Instant>>,
    lost: u64,
}

/// Bytes of outputs that may wait, by their [weight]; more are dropped.
const MAX_WAITING: usize = 64 << 20;
/// How long the rest is still sent after the end.
const LAST: Duration = Duration::from_secs(10);

impl WebThread {
    pub fn start(mut web: Web, ending: Ending) -> Result<Self> {
        let (batches, to_take) = mpsc::channel::<Vec<Output>>();
        let (done, taken) = mpsc::channel();
        let deadline = Arc::new(OnceLock::new());
        let (ends, own_ending) = (Arc::clone(&deadline), ending.clone());
        let thread = thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || {
                privileges::drop_all();
                for batch in to_take {
                    for output in &batch {
                        web.take(output, || {
                            ends.get().is_none_or(|ends| Instant::now() < *ends)
                                && !own_ending.is_over()
                        });
                    }
                    // This fails only if the sink was dropped, which counts no more.
                    let _ = done.send(batch.iter().map(weight).sum());
                }
                web.lost
            })
            .context("starting the thread of the output to the upload server")?;
        Ok(Self {
            batches: Some(batches),
            taken,
            thread,
            waiting: 0,
            ending,
            deadline,
            lost: 0,
        })
    }

    /// Queues the outputs for the page, or counts them as lost if the queue is full. The last outputs
    /// are never dropped: they wait for room.
    pub fn send(&mut self, outputs: Vec<Output>, is_last: bool) {
        self.waiting -= self.taken.try_iter().sum::<usize>();
        if is_last {
            self.wait_for_room();
        }
        let mut batch = Vec::new();
        for output in outputs.into_iter().filter(Web::wants) {
            if is_last || self.waiting < MAX_WAITING {
                self.waiting += weight(&output);
                batch.push(output);
            } else {
                self.lost += Web::timelines(&output);
            }
        }
        if batch.is_empty() {
            return;
        }
        let timelines: u64 = batch.iter().map(Web::timelines).sum();
        let sent = self.batches.as_ref().map(|batches| batches.send(batch));
        if !matches!(sent, Some(Ok(()))) {
            self.lost += timelines;
        }
    }

    /// How many timelines found no room so far.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Waits until every timeline is sent, for some seconds at most; returns the number that could not be.
    #[must_use]
    pub fn finish(mut self) -> u64 {
        drop(self.batches.take());
        let _ = self.deadline.set(Instant::now() + LAST);
        match self.thread.join() {
            Ok(lost) => self.lost + lost,
            Err(_) => {
                error!("the thread of the output to the upload server ended abnormally");
                self.lost
            }
        }
    }

    /// At the end, until some of what waits is sent, or its time is over.
    fn wait_for_room(&mut self) {
        while self.waiting >= MAX_WAITING {
            self.deadline.get_or_init(|| Instant::now() + LAST);
            match self.ending.receive(&self.taken) {
                Ok(weight) => self.waiting -= weight,
                Err(_) => return,
            }
        }
    }
}

/// About how many bytes an output takes.
fn weight(output: &Output) -> usize {
    match output {
        Output::Timeline(timeline) | Output::Snapshot(timeline) => weight::of_timeline(timeline),
        Output::Upload(upload) => weight::of_upload(upload),
        Output::State(_)
        | Output::Segment(_)
        | Output::Progress(_)
        | Output::Lost(_)
        | Output::Summary(_) => 0,
    }
}

#[cfg(test)]
mod tests;
