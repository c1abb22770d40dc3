//! A tracer that is measured: start it, wait until it is attached, end it as Ctrl-C does, read its
//! summary.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{
    Bench,
    captured_output::CapturedOutput,
    pipe_drain::{PipeDrain, read_tail},
    process::Process,
    stop::Stop,
};

/// How long it may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running tracer. Only the end of its output is read. Dropped, it is ended.
pub(crate) struct Tracing {
    process: Process,
    drain: PipeDrain,
    stderr: CapturedOutput,
}

/// The tracer's summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Summary {
    /// Connections that were reported.
    pub(crate) connections: u64,
    /// Records that came from the kernel.
    pub(crate) events: u64,
    /// Records and lines that were lost, at whatever hop.
    pub(crate) lost: u64,
}

impl Tracing {
    /// Starts the tracer and waits until it is attached.
    pub(crate) fn start(bench: &Bench, arguments: &[&str]) -> Result<Self> {
        let stderr = CapturedOutput::new(bench.scratch.path())?;
        let mut process = attached(bench, arguments, Stdio::piped(), &stderr)?;
        let drain = PipeDrain::start(process.stdout()?)?;
        Ok(Self {
            process,
            drain,
            stderr,
        })
    }

    /// The tracer's process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it.
    pub(crate) fn end(self, stop: &Stop) -> Result<Summary> {
        let stdout = self.drain.stop()?;
        self.process.interrupt()?;
        let tail = read_tail(stdout, PATIENCE, stop)?;
        with_stderr(self.process.finish(PATIENCE, stop), &self.stderr, stop)?;
        let mut summary = Summary::find(&tail).context("the tracer gave no summary")?;
        summary.lost += unwritten(&self.stderr.text()?);
        Ok(summary)
    }
}

/// Starts the tracer, which writes to `stdout`, and waits until it is attached.
pub(crate) fn attached(
    bench: &Bench,
    arguments: &[&str],
    stdout: Stdio,
    stderr: &CapturedOutput,
) -> Result<Process> {
    let mut command = Command::new(bench.binaries.join("tracer"));
    command
        .args(arguments)
        .stdout(stdout)
        .stderr(stderr.stdio()?);
    let socket = bench.scratch.path().join("notify");
    let started = Process::start_notifying("tracer", &mut command, &socket, &bench.stop);
    with_stderr(started, stderr, &bench.stop)
}

/// Adds the tracer's own message to a failure; an interruption needs none.
pub(crate) fn with_stderr<T>(result: Result<T>, stderr: &CapturedOutput, stop: &Stop) -> Result<T> {
    result.or_else(|error| {
        stop.check()?;
        Err(error.context(stderr.reason()?))
    })
}

impl Summary {
    /// The last one in `printed`, NDJSON or text.
    pub(crate) fn find(printed: &str) -> Option<Self> {
        printed.lines().rev().find_map(|line| {
            if line.starts_with(r#"{"type":"summary""#) {
                serde_json::from_str(line).ok()
            } else {
                Self::from_text(line)
            }
        })
    }

    fn from_text(line: &str) -> Option<Self> {
        let mut parts = line.split(", ");
        let connections = number_of("connection", parts.next()?)?;
        number_of("upload", parts.next()?)?;
        let events = number_of("event", parts.next()?)?;
        let lost = match parts.next()?.strip_suffix(" lost")? {
            "nothing" => 0,
            number => number
                .strip_prefix("up to ")
                .unwrap_or(number)
                .parse()
                .ok()?,
        };
        Some(Self {
            connections,
            events,
            lost,
        })
    }
}

/// Of `7 events`, 7.
fn number_of(what: &str, text: &str) -> Option<u64> {
    let (number, noun) = text.split_once(' ')?;
    let number: u64 = number.parse().ok()?;
    (noun.strip_suffix('s').unwrap_or(noun) == what).then_some(number)
}

/// How many lines the output could not keep up with, which the tracer reports on stderr.
pub(crate) fn unwritten(stderr: &str) -> u64 {
    stderr
        .lines()
        .filter_map(|line| {
            let (number, rest) = line.strip_prefix("tracer: ")?.split_once(' ')?;
            rest.starts_with("lines were lost")
                .then(|| number.parse::<u64>().ok())?
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: Summary = Summary {
        connections: 7,
        events: 60,
        lost: 2,
    };

    #[test]
    fn a_summary_is_found_in_ndjson() {
        let printed = "{\"type\":\"state\"}\n{\"type\":\"summary\",\"time\":\"t\",\"mono_ns\":1,\"connections\":7,\"uploads\":0,\"events\":60,\"lost\":2}\n";
        assert_eq!(Summary::find(printed), Some(SUMMARY));
        assert_eq!(Summary::find("{\"type\":\"state\"}\n"), None);
    }

    #[test]
    fn a_summary_is_found_in_text() {
        let check = |line: &str, expected| {
            let below = "  tracer_state     300 ns per run, 12 runs\n";
            let printed = format!("connection 3, 1 upload\n{line}\n{below}");
            assert_eq!(Summary::find(&printed), expected, "{line}");
        };
        check("7 connections, 0 uploads, 60 events, 2 lost", Some(SUMMARY));
        check(
            "7 connections, 0 uploads, 60 events, up to 2 lost",
            Some(SUMMARY),
        );
        let one = Summary {
            connections: 1,
            events: 1,
            lost: 0,
        };
        check("1 connection, 1 upload, 1 event, nothing lost", Some(one));
        check("1 connection, 1 upload, 1 event", None);
    }

    #[test]
    fn lines_that_were_not_written_are_lost() {
        let stderr = "tracer: tracing every TCP connection (attached in 90 ms)\n\
                    tracer: 12 lines were lost because the output could not keep up\n";
        assert_eq!(unwritten(stderr), 12);
        assert_eq!(unwritten("tracer: 12 birds\n"), 0);
    }
}
