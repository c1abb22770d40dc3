//! What only a live run has: a recording, metrics, timelines for the upload server, a view on the terminal, and an end
//! after so many uploads.

use std::{num::NonZeroUsize, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    core::{
        input::{Flow, Input},
        output::Output,
        overview::{Asked, Overview},
        pipeline::Counts,
    },
    ending::Ending,
    message,
    sink::{Metrics, MetricsListener, RecordingFile, Screen, Web, WebServer, WebThread},
};

/// By default there is none of it.
#[derive(Default)]
pub struct LiveOutputs {
    /// Takes the inputs, before the pipeline does.
    recording: Option<RecordingFile>,
    /// Hands timelines to the upload server.
    web: Option<WebThread>,
    metrics: Option<Metrics>,
    /// Has the terminal for itself.
    screen: Option<Screen>,
    uploads_left: Option<usize>,
}

impl LiveOutputs {
    /// Has enough after so many uploads.
    #[must_use]
    pub fn with_count(mut self, count: Option<NonZeroUsize>) -> Self {
        self.uploads_left = count.map(NonZeroUsize::get);
        self
    }

    /// Also records the inputs.
    #[must_use]
    pub fn with_recording(mut self, recording: RecordingFile) -> Self {
        self.recording = Some(recording);
        self
    }

    /// Also hands timelines to the upload server.
    pub fn with_web(mut self, server: Option<WebServer>, ending: &Ending) -> Result<Self> {
        if let Some(server) = server {
            let web = Web::new(server).context("cannot start the output to the upload server")?;
            self.web = Some(WebThread::start(web, ending.clone())?);
        }
        Ok(self)
    }

    /// Also measures, and answers those who ask there.
    pub fn with_metrics(mut self, listener: Option<MetricsListener>) -> Result<Self> {
        self.metrics = listener.map(Metrics::start).transpose()?;
        Ok(self)
    }

    /// Also shows what is under way.
    #[must_use]
    pub fn with_screen(mut self, screen: Option<Screen>) -> Self {
        self.screen = screen;
        self
    }

    pub(super) const fn has_screen(&self) -> bool {
        self.screen.is_some()
    }

    pub(super) const fn has_web(&self) -> bool {
        self.web.is_some()
    }

    /// Takes an input, before the pipeline does.
    pub(super) fn take(&mut self, input: &Input<'_>) {
        if let Some(recording) = &mut self.recording {
            recording.take(input);
        }
        if let (Some(metrics), Input::Cost(cost)) = (&mut self.metrics, input) {
            metrics.take_cost(cost);
        }
    }

    /// Measures a turn's outputs. `sink_lost`: how many outputs all others have lost so far.
    pub(super) fn measure(&mut self, outputs: &[Output], counts: Counts, sink_lost: u64) {
        let by_web = self.web.as_ref().map_or(0, WebThread::lost);
        if let Some(metrics) = &mut self.metrics {
            metrics.take(outputs, counts, sink_lost + by_web);
        }
    }

    /// Takes a turn's outputs, after all others have.
    pub(super) fn send(&mut self, outputs: Vec<Output>, is_last: bool) -> Flow {
        let has_enough = self.has_enough(&outputs);
        let mut is_closed = false;
        if let Some(screen) = &mut self.screen {
            screen.take(&outputs);
            is_closed = screen.is_closed();
        }
        if let Some(web) = &mut self.web {
            web.send(outputs, is_last);
        }
        if has_enough || is_closed {
            Flow::Enough
        } else {
            Flow::GoOn
        }
    }

    /// What the view asks for.
    pub(super) fn asks(&mut self) -> Option<Asked> {
        self.screen.as_mut()?.asks()
    }

    /// Answers the view; `took` is how long that took.
    pub(super) fn answer(&mut self, overview: Overview, took: Duration) {
        if let Some(screen) = &mut self.screen {
            screen.answer(overview, took);
        }
    }

    /// Whether there is a recording that can still be written.
    pub(super) fn is_recording(&self) -> bool {
        self.recording
            .as_ref()
            .is_some_and(|recording| !recording.is_broken())
    }

    pub(super) fn finish(self) -> Result<()> {
        if let Some(metrics) = self.metrics {
            metrics.finish();
        }
        let shown = self.screen.map_or(Ok(()), Screen::finish);
        let lost = self.web.map_or(0, WebThread::finish);
        if lost > 0 {
            message(&format!(
                "{lost} timelines could not be handed to the upload server"
            ));
        }
        let recorded = self.recording.map_or(Ok(()), RecordingFile::finish);
        recorded.and(shown)
    }

    fn has_enough(&mut self, outputs: &[Output]) -> bool {
        let Some(left) = &mut self.uploads_left else {
            return false;
        };
        for output in outputs {
            if let Output::Timeline(timeline) = output {
                *left = left.saturating_sub(timeline.uploads.len());
            }
        }
        *left == 0
    }
}
