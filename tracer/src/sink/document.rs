//! Documents: files that have every connection of a run and are whole at its end, unlike a stream of lines. Each is
//! drawn on a thread of its own, as its connections end.

mod har;
mod replacement;
mod report;
mod thread;
mod trace_events;

use std::sync::Arc;

use anyhow::{Error, Result};
use upload_protocol::{Timeline, line::SummaryLine};
use upload_view::Gaps;

use self::{har::Har, report::ReportPage, thread::DocumentThread, trace_events::TraceEvents};
use super::WhenBehind;
use crate::{caller::Caller, cli::OutputArgs, core::output::Output, ending::Ending};

/// What a document is made of: a piece for each connection, between a head and a tail that are known at the end.
trait Document: Send {
    /// Appends a connection; nothing where the document has nothing of it.
    fn draw(&mut self, timeline: &Arc<Timeline>, to: &mut Vec<u8>);

    /// Counts a connection that there is no room for.
    fn leave_out(&mut self, timeline: &Timeline);

    fn head(&self, gaps: Gaps) -> Vec<u8>;

    fn tail(&self, gaps: Gaps) -> Vec<u8>;

    /// How many bytes the pieces may have, give or take one.
    fn most_bytes(&self) -> u64;
}

/// The documents that a run writes.
#[derive(Default)]
pub struct Documents(Vec<DocumentThread>);

impl Documents {
    /// Prepares each file that the arguments name.
    ///
    /// # Errors
    /// When one of them cannot be written.
    pub fn open(
        output: &OutputArgs,
        caller: &Caller,
        when_behind: WhenBehind,
        ending: &Ending,
    ) -> Result<Self> {
        let wanted: [(_, Box<dyn Document>); 3] = [
            (&output.report, Box::<ReportPage>::default()),
            (&output.har, Box::<Har>::default()),
            (&output.perfetto, Box::<TraceEvents>::default()),
        ];
        let mut documents = Vec::new();
        for (path, document) in wanted {
            if let Some(path) = path {
                documents.push(DocumentThread::start(
                    path,
                    document,
                    output.choice(),
                    caller,
                    when_behind,
                    ending.clone(),
                )?);
            }
        }
        Ok(Self(documents))
    }

    /// Takes a turn's outputs. `is_last`: from now on no connection is left out because drawing is slow.
    pub fn send(&mut self, outputs: &[Output], is_last: bool) {
        if self.0.is_empty() {
            return;
        }
        for output in outputs {
            match output {
                Output::Timeline(timeline) => {
                    let timeline = Arc::new(Timeline::clone(timeline));
                    for document in &mut self.0 {
                        document.send(&timeline, is_last);
                    }
                }
                Output::Summary(summary) => self.end(summary),
                Output::State(_)
                | Output::Segment(_)
                | Output::Upload(_)
                | Output::Progress(_)
                | Output::Snapshot(_)
                | Output::Lost(_) => {}
            }
        }
    }

    /// How many connections were left out so far, because drawing is slow.
    pub fn undrawn(&self) -> u64 {
        self.0.iter().map(DocumentThread::undrawn).sum()
    }

    /// Whether none can be written any more; also where there is none.
    pub fn are_broken(&self) -> bool {
        self.0.iter().all(DocumentThread::is_broken)
    }

    /// Waits until each is whole; an error for each that is not.
    pub fn finish(self) -> Vec<Error> {
        let threads = self.0.into_iter();
        threads
            .filter_map(|document| document.finish().err())
            .collect()
    }

    fn end(&mut self, summary: &SummaryLine) {
        for document in &mut self.0 {
            document.record_lost(summary.lost);
        }
    }
}
