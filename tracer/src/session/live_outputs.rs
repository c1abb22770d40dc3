//! What only a live run has: a recording, timelines for the upload server, and an end after so many uploads.

use std::num::NonZeroUsize;

use anyhow::{Context as _, Result};

use crate::{
    core::{
        input::{Flow, Input},
        output::Output,
    },
    ending::Ending,
    message,
    sink::{RecordingFile, Web, WebServer, WebThread},
};

/// By default there is none of it.
#[derive(Default)]
pub struct LiveOutputs {
    /// Takes the inputs, before the pipeline does.
    recording: Option<RecordingFile>,
    /// Hands timelines to the upload server.
    web: Option<WebThread>,
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

    pub(super) const fn has_web(&self) -> bool {
        self.web.is_some()
    }

    /// Takes an input, before the pipeline does.
    pub(super) fn take(&mut self, input: &Input<'_>) {
        if let Some(recording) = &mut self.recording {
            recording.take(input);
        }
    }

    /// Takes a turn's outputs, after all others have.
    pub(super) fn send(&mut self, outputs: Vec<Output>, is_last: bool) -> Flow {
        let has_enough = self.has_enough(&outputs);
        if let Some(web) = &mut self.web {
            web.send(outputs, is_last);
        }
        if has_enough { Flow::Enough } else { Flow::GoOn }
    }

    /// Whether there is a recording that can still be written.
    pub(super) fn is_recording(&self) -> bool {
        self.recording
            .as_ref()
            .is_some_and(|recording| !recording.is_broken())
    }

    pub(super) fn finish(self) -> Result<()> {
        let lost = self.web.map_or(0, WebThread::finish);
        if lost > 0 {
            message(&format!(
                "{lost} timelines could not be handed to the upload server"
            ));
        }
        self.recording.map_or(Ok(()), RecordingFile::finish)
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
