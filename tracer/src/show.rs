//! From inputs to what a person or a script sees: the pipeline, and the sink on stdout.

use std::{io, ops::ControlFlow};

use anyhow::Result;

use crate::{
    cli::{Format, OutputArgs},
    input::Input,
    moment::Clock,
    output::Output,
    pipeline::Pipeline,
    say,
    sink::{Batch, Ndjson, Sink, SinkThread, Text, WhenBehind},
    source::recording::Scope,
};

/// See the module.
pub struct Show {
    pipeline: Pipeline,
    sink: SinkThread,
    clock: Clock,
    now_ns: u64,
    outputs: Vec<Output>,
    uploads_left: Option<usize>,
}

impl Show {
    /// Opens the output; with `count`, it wants to end after so many uploads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn open(
        output: &OutputArgs,
        scope: Scope,
        count: Option<usize>,
        when_behind: WhenBehind,
    ) -> Result<Self> {
        let sink: Box<dyn Sink> = match output.format {
            Format::Ndjson => Box::new(Ndjson::new(Box::new(io::stdout()))),
            Format::Text => Box::new(Text::new(
                Box::new(anstream::AutoStream::auto(io::stdout())),
                scope.uploads_only,
                output.explain,
            )),
        };
        Ok(Self {
            pipeline: Pipeline::new(scope.segments),
            sink: SinkThread::start(sink, when_behind)?,
            clock: Clock::default(),
            now_ns: 0,
            outputs: Vec::new(),
            uploads_left: count,
        })
    }

    /// Takes an input; breaks when there is nothing more to show, or nobody to show it to.
    pub fn take(&mut self, input: Input<'_>) -> ControlFlow<()> {
        let turn_ends = match &input {
            Input::Tick(tick) => {
                self.clock = Clock::at(tick);
                self.now_ns = tick.mono_ns;
                true
            }
            Input::Shutdown => true,
            Input::Kernel(_) | Input::Feed(_) => false,
        };
        self.pipeline.advance(input, &mut self.outputs);
        if !turn_ends {
            return ControlFlow::Continue(());
        }
        let batch: Batch = self.outputs.drain(..).collect();
        self.sink.send(&batch, self.clock.moment(self.now_ns));
        if self.has_enough(&batch) || self.sink.is_broken() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// What the destination said; a closed pipe is no error.
    pub fn finish(self) -> Result<()> {
        let lost = self.sink.finish()?;
        if lost > 0 {
            say(&format!(
                "{lost} lines were lost because the output could not keep up"
            ));
        }
        Ok(())
    }

    fn has_enough(&mut self, batch: &[Output]) -> bool {
        let Some(left) = &mut self.uploads_left else {
            return false;
        };
        for output in batch {
            if let Output::Timeline(timeline) = output {
                *left = left.saturating_sub(timeline.uploads.len());
            }
        }
        *left == 0
    }
}
