//! Programs that answer together: the output of one is the input of the other.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    bench::{
        Bench, captured_output::CapturedOutput, load::Load, process::Process, stop::Stop,
        tracing::with_stderr,
    },
    captures::fields,
};

/// How long the first segment may take, and how long the rest once no more connections come.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look what was printed.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Segments of a connection: three of its handshake, its request and its response, each acknowledged, and two FINs.
const SEGMENTS: usize = 9;

#[derive(Clone, Copy)]
pub(super) enum Pipeline {
    /// Every segment by tcpdump, its fields by tshark: those that `--segments` has.
    TcpdumpTshark,
}

/// Dropped, both are ended.
pub(super) struct RunningPipeline {
    first: Process,
    second: Process,
    stderr: CapturedOutput,
    printed: PathBuf,
}

impl Pipeline {
    pub(super) const ALL: [Self; 1] = [Self::TcpdumpTshark];

    /// As in the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::TcpdumpTshark => "tcpdump -w - | tshark -T fields",
        }
    }

    pub(super) const fn programs(self) -> [&'static str; 2] {
        match self {
            Self::TcpdumpTshark => ["tcpdump", "tshark"],
        }
    }

    /// Starts both, and waits until a segment of `load` was printed.
    pub(super) fn start(self, bench: &Bench, load: &Load) -> Result<RunningPipeline> {
        let stderr = CapturedOutput::new(bench.scratch.path())?;
        let printed = bench.scratch.path().join("printed");
        let [first, second] = self.programs();
        let port = load.address().port();
        let mut capture = Command::new(first);
        capture.args(["-i", "lo", "-U", "-w", "-"]);
        // Room for all segments at once: tshark is slower than they come.
        capture.args(["-s", "1024", "-B", "131072", &format!("tcp port {port}")]);
        let mut first = Process::start(
            first,
            capture.stdout(Stdio::piped()).stderr(stderr.stdio()?),
        )?;
        let mut read = Command::new(second);
        read.args(["-n", "-l", "-r", "-", "-T", "fields"]);
        read.args(fields().flat_map(|field| ["-e", field]));
        let second = Process::start_reading(
            second,
            read.stdout(File::create(&printed)?).stderr(stderr.stdio()?),
            first.stdout()?.into(),
        )?;
        let running = RunningPipeline {
            first,
            second,
            stderr,
            printed,
        };
        let begun = Instant::now();
        while fs::metadata(&running.printed)?.len() == 0 {
            with_stderr(running.check(), &running.stderr, &bench.stop)?;
            if begun.elapsed() > PATIENCE {
                bail!("{} printed no segment in {PATIENCE:?}", self.name());
            }
            bench.stop.check()?;
            load.connect(8)?;
        }
        Ok(running)
    }
}

impl RunningPipeline {
    fn check(&self) -> Result<()> {
        self.first.check()?;
        self.second.check()
    }

    /// The CPU time of both.
    pub(super) fn cpu(&self) -> Result<Duration> {
        Ok(self.first.cpu()? + self.second.cpu()?)
    }

    /// Waits until every segment was printed, ends both, and returns their CPU time. tcpdump leaves out what it has not
    /// written when it is ended.
    pub(super) fn end(self, connections: u32, stop: &Stop) -> Result<Duration> {
        let least = connections as usize * SEGMENTS;
        let begun = Instant::now();
        loop {
            let segments = self.segments()?;
            if segments >= least {
                break;
            }
            with_stderr(self.check(), &self.stderr, stop)?;
            if begun.elapsed() > PATIENCE {
                bail!(
                    "{segments} segments of {connections} connections were printed: the cost cannot be compared"
                );
            }
            stop.wait(&[], LOOK_EVERY)?;
        }
        self.first.interrupt()?;
        for process in [&self.first, &self.second] {
            with_stderr(process.wait(PATIENCE, stop), &self.stderr, stop)?;
        }
        let cpu = self.cpu()?;
        for process in [self.first, self.second] {
            with_stderr(process.finish(PATIENCE, stop), &self.stderr, stop)?;
        }
        Ok(cpu)
    }

    /// How many were printed.
    fn segments(&self) -> Result<usize> {
        let printed = fs::read(&self.printed).context("what was printed cannot be read")?;
        Ok(printed.iter().filter(|byte| **byte == b'\n').count())
    }
}
