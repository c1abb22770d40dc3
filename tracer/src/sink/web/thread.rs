//! Runs the page's sink on its own thread, since it waits for the server's answers.

use std::{
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tracing::error;

use super::Web;
use crate::{core::output::Output, ending::Ending, privileges};

pub struct WebThread {
    batches: Option<mpsc::Sender<Vec<Output>>>,
    /// The weight of each batch that the thread has processed.
    taken: mpsc::Receiver<usize>,
    /// Returns how many timelines could not be sent.
    thread: thread::JoinHandle<u64>,
    /// The weight of what waits.
    waiting: usize,
    /// When the thread gives up, once the end has come.
    deadline: Arc<OnceLock<Instant>>,
    lost: u64,
}

/// Outputs that may wait, by [weight](weight); more are dropped.
const MAX_WAITING: usize = 1 << 16;
/// How long the rest is still sent after the end.
const LAST: Duration = Duration::from_secs(10);

impl WebThread {
    pub fn start(mut web: Web, ending: Ending) -> Result<Self> {
        let (batches, to_take) = mpsc::channel::<Vec<Output>>();
        let (done, taken) = mpsc::channel();
        let deadline = Arc::new(OnceLock::new());
        let ends = Arc::clone(&deadline);
        let thread = thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || {
                privileges::drop_all();
                for batch in to_take {
                    for output in &batch {
                        web.take(output, || {
                            ends.get().is_none_or(|ends| Instant::now() < *ends)
                                && !ending.is_over()
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
            deadline,
            lost: 0,
        })
    }

    /// Queues the outputs for the page, or counts them as lost if the queue is full. The last outputs
    /// are never dropped.
    pub fn send(&mut self, outputs: Vec<Output>, is_last: bool) {
        let batch: Vec<Output> = outputs.into_iter().filter(Web::wants).collect();
        if batch.is_empty() {
            return;
        }
        self.waiting -= self.taken.try_iter().sum::<usize>();
        let count: usize = batch.iter().map(weight).sum();
        let timelines: u64 = batch.iter().map(Web::timelines).sum();
        let has_room = is_last || self.waiting < MAX_WAITING;
        let batches = self.batches.as_ref().filter(|_| has_room);
        match batches.map(|batches| batches.send(batch)) {
            Some(Ok(())) => self.waiting += count,
            Some(Err(_)) | None => self.lost += timelines,
        }
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
}

/// About how much memory an output takes: as many times as an exchange.
fn weight(output: &Output) -> usize {
    match output {
        Output::Timeline(timeline) | Output::Snapshot(timeline) => {
            1 + timeline.uploads.len() + timeline.exchanges().len()
        }
        _ => 1,
    }
}
