//! The pipeline, and the sinks that show its outputs on stdout, in files and on the server's page.

use std::{io, num::NonZeroUsize, os::fd::AsFd};

use anyhow::{Context as _, Result};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};

use crate::{
    caller::Caller,
    cli::{OutputArgs, TraceArgs},
    core::{
        host::Clock,
        input::{Flow, Input},
        output::Output,
        pipeline::Pipeline,
        scope::Scope,
    },
    message,
    sink::{
        Capture, Pcapng, RecordingFile, SinkThread, Web, WebServer, WebThread, WhenBehind,
        output_file::OutputFile,
    },
};

pub struct Outputs {
    pipeline: Pipeline,
    stdout: SinkThread,
    /// Sinks other than stdout.
    files: Vec<SinkThread>,
    /// Takes the inputs, before the pipeline does.
    recording: Option<RecordingFile>,
    /// Hands timelines to the upload server.
    web: Option<WebThread>,
    clock: Clock,
    now_ns: u64,
    outputs: Vec<Output>,
    uploads_left: Option<usize>,
    traced_nothing: bool,
}

impl Outputs {
    /// Opens stdout, and the files that a live trace asks for.
    pub fn open(
        output: &OutputArgs,
        scope: Scope,
        trace: Option<&TraceArgs>,
        caller: &Caller,
        when_behind: WhenBehind,
    ) -> Result<Self> {
        let mut sinks: Vec<SinkThread> = Vec::with_capacity(2);
        append(io::stdout()).context("stdout cannot be written")?;
        let render = output.format.renderer(scope, output.explain);
        let stdout = SinkThread::start(
            "stdout".to_owned(),
            render,
            Box::new(io::stdout()),
            when_behind,
        )?;
        if let Some(path) = trace.and_then(|trace| trace.pcapng.as_ref()) {
            let unwritable = || caller.cannot(&path.display().to_string(), "written");
            let file = OutputFile::create(path, caller).with_context(unwritable)?;
            let (pcapng, header) = Pcapng::new().with_context(unwritable)?;
            let file = Capture::begin(Box::new(file), header).with_context(unwritable)?;
            sinks.push(SinkThread::start(
                path.display().to_string(),
                Box::new(pcapng),
                Box::new(file),
                when_behind,
            )?);
        }
        let mut pipeline = Pipeline::new(scope.every_segment);
        if !output.format.is_data() && sinks.is_empty() {
            pipeline = pipeline.without_states();
        }
        Ok(Self {
            web: None,
            recording: None,
            pipeline,
            stdout,
            files: sinks,
            clock: Clock::default(),
            now_ns: 0,
            outputs: Vec::new(),
            traced_nothing: false,
            uploads_left: trace.and_then(|trace| trace.count).map(NonZeroUsize::get),
        })
    }

    /// Also records the inputs.
    #[must_use]
    pub fn with_recording(mut self, recording: RecordingFile) -> Self {
        self.recording = Some(recording);
        self
    }

    /// Also hands timelines to the upload server.
    pub fn with_web(mut self, server: Option<WebServer>) -> Result<Self> {
        if let Some(server) = server {
            let web = Web::new(server).context("cannot start the output to the upload server")?;
            self.web = Some(WebThread::start(web)?);
            self.pipeline = self.pipeline.with_snapshots();
        }
        Ok(self)
    }

    /// Takes an input; enough when there is nothing more to show, or nobody to show it to.
    pub fn take(&mut self, input: Input<'_>) -> Flow {
        if let Some(recording) = &mut self.recording {
            recording.take(&input);
        }
        let is_last = matches!(input, Input::Shutdown);
        if let Input::Tick(tick) = &input {
            self.clock = Clock::at(tick);
            self.now_ns = tick.mono_ns;
        }
        let turn_ends = is_last || matches!(input, Input::Tick(_));
        self.pipeline.advance(input, &mut self.outputs);
        if !turn_ends {
            return Flow::GoOn;
        }
        // The next turn's are about as many.
        let room = Vec::with_capacity(self.outputs.len());
        let outputs = std::mem::replace(&mut self.outputs, room);
        let now = self.clock.moment(self.now_ns);
        if let Some(Output::Summary(summary)) = outputs.last() {
            self.traced_nothing = (summary.connections, summary.lost) == (0, 0);
        }
        for sink in std::iter::once(&mut self.stdout).chain(&mut self.files) {
            if is_last {
                sink.wait_from_now_on();
            }
            sink.send(&outputs, now);
        }
        let has_enough = self.has_enough(&outputs);
        if let Some(web) = &mut self.web {
            web.send(outputs, is_last);
        }
        if has_enough || self.stdout.is_closed() || self.is_broken() {
            return Flow::Enough;
        }
        if self.pipeline.has_open() {
            Flow::GoOn
        } else {
            Flow::NothingOpen
        }
    }

    /// Whether the run ended without any connection, and without a loss.
    pub const fn traced_nothing(&self) -> bool {
        self.traced_nothing
    }

    /// Waits until everything is written. An error if an output could not be written to its end.
    pub fn finish(self) -> Result<()> {
        let mut failed = Vec::new();
        let mut lost = 0;
        // Finish every sink, even if one failed.
        for sink in std::iter::once(self.stdout).chain(self.files) {
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
        let lost = self.web.map_or(0, WebThread::finish);
        if lost > 0 {
            message(&format!(
                "{lost} timelines could not be handed to the upload server"
            ));
        }
        failed.extend(
            self.recording
                .and_then(|recording| recording.finish().err()),
        );
        let last = failed.pop();
        for error in failed {
            message(&format!("{error:#}"));
        }
        last.map_or(Ok(()), Err)
    }

    /// Whether no output can be written any more.
    fn is_broken(&self) -> bool {
        let recording = self.recording.as_ref();
        self.stdout.is_broken()
            && self.files.iter().all(SinkThread::is_broken)
            && recording.is_none_or(RecordingFile::is_broken)
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

/// Makes a file behind stdout append-only, so that after logrotate's `copytruncate` the next line is
/// written at the file's start, with no hole before it.
fn append(stdout: impl AsFd) -> io::Result<()> {
    let is_file = |mode| FileType::from_raw_mode(mode) == FileType::RegularFile;
    if fstat(&stdout).is_ok_and(|stat| is_file(stat.st_mode)) {
        fcntl_setfl(&stdout, fcntl_getfl(&stdout)? | OFlags::APPEND)?;
    }
    Ok(())
}
