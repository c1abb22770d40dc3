//! The pipeline, and the sinks that show its outputs on stdout, in files and on the server's page.

#[cfg(live)]
use std::time::Instant;
use std::{io, path::Path};

use anyhow::{Context as _, Result};
use upload_protocol::{Moment, line::CaptureTotals};

use super::live_outputs::LiveOutputs;
use crate::{
    caller::Caller,
    cli::OutputArgs,
    core::{
        host::Clock,
        input::{Flow, Input},
        output::Output,
        pipeline::{Pipeline, Selection},
        points::Points,
        scope::Scope,
    },
    ending::Ending,
    message,
    sink::{
        Documents, HeadedFile, Interfaces, Otlp, Pcapng, SinkThread, WhenBehind,
        output_file::OutputFile,
    },
    system,
};

pub struct Outputs {
    pipeline: Pipeline,
    /// `None` where a view has the terminal.
    stdout: Option<SinkThread>,
    /// Sinks other than stdout.
    files: Vec<SinkThread>,
    documents: Documents,
    otlp: Option<Otlp>,
    live: LiveOutputs,
    clock: Clock,
    now_ns: u64,
    outputs: Vec<Output>,
    traced_nothing: bool,
    capture_totals: Option<CaptureTotals>,
}

impl Outputs {
    /// Opens stdout, and the files that a live trace asks for.
    pub fn open(
        output: &OutputArgs,
        scope: Scope,
        pcapng: Option<(&Path, Interfaces)>,
        caller: &Caller,
        when_behind: WhenBehind,
        ending: &Ending,
    ) -> Result<Self> {
        let mut sinks: Vec<SinkThread> = Vec::with_capacity(2);
        system::append(io::stdout()).context("stdout cannot be written")?;
        let render = output.format.renderer(scope, output);
        let stdout = SinkThread::start(
            "stdout".to_owned(),
            render,
            Box::new(io::stdout()),
            when_behind,
            ending.clone(),
        )?;
        let has_packets = pcapng.is_some();
        if let Some((path, interfaces)) = pcapng {
            let unwritable = || caller.cannot(&path.display().to_string(), "written");
            let file = OutputFile::create(path, caller).with_context(unwritable)?;
            let (pcapng, header) = Pcapng::new(interfaces).with_context(unwritable)?;
            let file = HeadedFile::begin(Box::new(file), header).with_context(unwritable)?;
            sinks.push(SinkThread::start(
                path.display().to_string(),
                Box::new(pcapng),
                Box::new(file),
                when_behind,
                ending.clone(),
            )?);
        }
        let mut pipeline = Pipeline::new(scope.every_segment);
        if output.draws_samples() {
            pipeline = pipeline.with_samples();
        }
        if !has_packets {
            pipeline = pipeline.without_packets();
        }
        if !output.format.is_data() && sinks.is_empty() {
            pipeline = pipeline.without_states();
        }
        Ok(Self {
            pipeline,
            stdout: Some(stdout),
            files: sinks,
            documents: Documents::open(output, caller, when_behind, ending)?,
            otlp: Otlp::start(output, when_behind, ending)?,
            live: LiveOutputs::default(),
            clock: Clock::default(),
            now_ns: 0,
            outputs: Vec::new(),
            traced_nothing: false,
            capture_totals: None,
        })
    }

    /// Shows only these connections of a capture.
    #[must_use]
    pub fn with_selection(mut self, selection: Selection) -> Self {
        self.pipeline = self.pipeline.with_selection(selection);
        self
    }

    /// Reads two captures of the same conversations.
    #[must_use]
    pub fn with_points(mut self, points: Points) -> Self {
        self.pipeline = self.pipeline.with_points(points);
        self
    }

    /// Also what only a live run has.
    #[cfg(live)]
    #[must_use]
    pub fn with_live(mut self, live: LiveOutputs) -> Self {
        if live.has_web() {
            self.pipeline = self.pipeline.with_snapshots().with_samples();
        }
        if live.has_screen() {
            self.stdout = None;
        }
        self.live = live;
        self
    }

    /// Takes an input; enough when there is nothing more to show, or nobody to show it to.
    pub fn take(&mut self, input: Input<'_>) -> Flow {
        self.live.take(&input);
        let is_last = matches!(input, Input::Shutdown);
        if let Input::Tick(tick) = &input {
            self.clock = Clock::at(tick);
            self.now_ns = tick.mono_ns;
        }
        let turn_ends = is_last || matches!(input, Input::Tick(_));
        while is_last && self.pipeline.emit_some(&mut self.outputs) {
            self.send(is_last);
        }
        self.pipeline.advance(input, &mut self.outputs);
        if turn_ends {
            self.send(is_last)
        } else {
            Flow::GoOn
        }
    }

    /// Whether the run ended without any connection, and without a loss.
    pub const fn traced_nothing(&self) -> bool {
        self.traced_nothing
    }

    /// What was read of a capture; `None` before the end, and if no capture was read.
    pub const fn capture_totals(&self) -> Option<CaptureTotals> {
        self.capture_totals
    }

    /// Waits until everything is written. An error if an output could not be written to its end.
    pub fn finish(self) -> Result<()> {
        let mut failed = Vec::new();
        let mut lost = 0;
        // Finish every sink, even if one failed.
        for sink in self.stdout.into_iter().chain(self.files) {
            match sink.finish() {
                Ok(lines) => lost += lines,
                Err(error) => failed.push(error),
            }
        }
        if lost > 0 {
            message(&format!(
                "{lost} lines were lost: the output could not keep up"
            ));
        }
        failed.extend(self.documents.finish());
        failed.extend(self.live.finish().err());
        let last = failed.pop();
        for error in failed {
            message(&format!("{error:#}"));
        }
        last.map_or(Ok(()), Err)
    }

    /// Hands a turn's outputs to the sinks.
    fn send(&mut self, is_last: bool) -> Flow {
        // The next turn's are about as many.
        let room = Vec::with_capacity(self.outputs.len());
        let mut outputs = std::mem::replace(&mut self.outputs, room);
        let now = self.clock.moment(self.now_ns);
        self.send_spans(&mut outputs, now, is_last);
        if let Some(Output::Summary(summary)) = outputs.last() {
            self.traced_nothing = (summary.connections, summary.lost) == (0, 0);
            self.capture_totals = summary.capture;
        }
        for sink in self.stdout.iter_mut().chain(&mut self.files) {
            if is_last {
                sink.wait_from_now_on();
            }
            sink.send(&outputs, now);
        }
        self.documents.send(&outputs, is_last);
        let sink_lost = self.sink_lost();
        self.live
            .measure(&outputs, self.pipeline.counts(), sink_lost);
        let has_enough = self.live.send(outputs, is_last) == Flow::Enough;
        #[cfg(live)]
        self.answer();
        let is_closed = self.stdout.as_ref().is_some_and(SinkThread::is_closed);
        if has_enough || is_closed || self.is_broken() {
            return Flow::Enough;
        }
        if self.pipeline.has_open() {
            Flow::GoOn
        } else {
            Flow::NothingOpen
        }
    }

    /// How many outputs stdout, the files and the documents have lost so far.
    fn sink_lost(&self) -> u64 {
        let sinks = self.stdout.iter().chain(&self.files);
        sinks.map(SinkThread::lost).sum::<u64>() + self.documents.undrawn()
    }

    /// Gives the view the overview that it asks for.
    #[cfg(live)]
    fn answer(&mut self) {
        if let Some(asked) = self.live.asks() {
            let started = Instant::now();
            let overview = self.pipeline.overview(&asked);
            self.live.answer(overview, started.elapsed());
        }
    }

    /// Sends spans to the collector, and adds to the outputs what it did not take. The summary has the count of all.
    fn send_spans(&mut self, outputs: &mut Vec<Output>, now: Moment, is_last: bool) {
        let sink_lost = self.sink_lost();
        let Some(otlp) = &mut self.otlp else {
            return;
        };
        otlp.send(outputs, now, (self.pipeline.counts(), sink_lost), is_last);
        let mut summary = outputs.pop_if(|last| matches!(last, Output::Summary(_)));
        if let Some(Output::Summary(summary)) = &mut summary {
            let exported = otlp.flush();
            summary.spans = Some(exported.spans);
            summary.data_points = exported.data_points;
        }
        outputs.extend(otlp.take_lost(now).map(Output::Lost));
        outputs.extend(summary);
    }

    /// Whether no output can be written any more.
    fn is_broken(&self) -> bool {
        self.stdout.as_ref().is_some_and(SinkThread::is_broken)
            && self.files.iter().all(SinkThread::is_broken)
            && self.documents.are_broken()
            && self.otlp.as_ref().is_none_or(Otlp::is_broken)
            && !self.live.is_recording()
    }
}
