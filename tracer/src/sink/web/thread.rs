//! The page's sink on a thread of its own: it asks and waits for answers.

use std::{sync::mpsc, thread};

use anyhow::{Context as _, Result};
use tracing::error;

use super::Web;
use crate::{core::output::Output, privileges};

pub struct WebThread {
    batches: Option<mpsc::Sender<Vec<Output>>>,
    /// How many outputs each batch had that was taken.
    taken: mpsc::Receiver<usize>,
    /// Gives how many could not be brought to where they belong.
    thread: thread::JoinHandle<u64>,
    waiting: usize,
    lost: u64,
}

/// Outputs that may wait before more are dropped.
const MAX_WAITING: usize = 1 << 16;

impl WebThread {
    /// Starts the thread.
    pub fn start(mut web: Web) -> Result<Self> {
        let (batches, to_take) = mpsc::channel::<Vec<Output>>();
        let (done, taken) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || {
                privileges::keep(privileges::FOR_CONTROL_SOCKET);
                for batch in to_take {
                    for output in &batch {
                        web.take(output);
                    }
                    // Nobody counts any more where that fails.
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

    /// Hands over what is for the page, or counts it as lost where too much waits; what comes last is
    /// not dropped.
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

    /// Waits until everything is handed in; gives the number of what could not be.
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
