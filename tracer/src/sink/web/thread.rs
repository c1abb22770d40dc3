//! Runs the page's sink on its own thread, since it waits for the server's answers.

use std::{sync::mpsc, thread};

use anyhow::{Context as _, Result};
use rustix::thread::CapabilitySet;
use tracing::error;

use super::Web;
use crate::{core::output::Output, privileges};

pub struct WebThread {
    batches: Option<mpsc::Sender<Vec<Output>>>,
    /// The size of each batch that the thread has processed.
    taken: mpsc::Receiver<usize>,
    /// Returns how many timelines could not be sent.
    thread: thread::JoinHandle<u64>,
    waiting: usize,
    lost: u64,
}

/// Outputs that may wait; more are dropped.
const MAX_WAITING: usize = 1 << 16;

impl WebThread {
    pub fn start(mut web: Web) -> Result<Self> {
        let (batches, to_take) = mpsc::channel::<Vec<Output>>();
        let (done, taken) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || {
                privileges::keep(CapabilitySet::empty());
                for batch in to_take {
                    for output in &batch {
                        web.take(output);
                    }
                    // This fails only if the sink was dropped, which counts no more.
                    let _ = done.send(batch.len());
                }
                web.lost
            })
            .context("starting the thread of the output to the upload server")?;
        Ok(Self {
            batches: Some(batches),
            taken,
            thread,
            waiting: 0,
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
        let count = batch.len();
        let has_room = is_last || self.waiting < MAX_WAITING;
        let batches = self.batches.as_ref().filter(|_| has_room);
        match batches.map(|batches| batches.send(batch)) {
            Some(Ok(())) => self.waiting += count,
            Some(Err(_)) | None => self.lost += count as u64,
        }
    }

    /// Waits until every timeline is sent; returns the number that could not be.
    #[must_use]
    pub fn finish(mut self) -> u64 {
        drop(self.batches.take());
        match self.thread.join() {
            Ok(lost) => self.lost + lost,
            Err(_) => {
                error!("the thread of the output to the upload server ended abnormally");
                self.lost
            }
        }
    }
}
