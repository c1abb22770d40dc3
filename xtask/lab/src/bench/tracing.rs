//! A tracer that is measured: start it, wait until it is attached, end it as Ctrl-C does, read its
//! summary.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::pty::{Winsize, openpty};
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
/// What `--top` draws on.
const SCREEN: Winsize = Winsize {
    ws_row: 50,
    ws_col: 200,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

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
    /// Starts the tracer and waits until it is attached. With `--top` it draws on a terminal.
    pub(crate) fn start(bench: &Bench, arguments: &[&str]) -> Result<Self> {
        let stderr = CapturedOutput::new(bench.scratch.path())?;
        let (process, drain) = if arguments.contains(&"--top") {
            let terminal = openpty(&SCREEN, None).context("no terminal")?;
            let [input, output] = [terminal.slave.try_clone()?, terminal.slave].map(Stdio::from);
            let process = attached_reading(bench, arguments, input, output, &stderr)?;
            (process, PipeDrain::start(terminal.master)?)
        } else {
            let mut process = attached(bench, arguments, Stdio::piped(), &stderr)?;
            let drain = PipeDrain::start(process.stdout()?)?;
            (process, drain)
        };
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
        let mut summary = Summary::find(&tail).with_context(|| {
            let end = tail.get(tail.len().saturating_sub(200)..).unwrap_or(&tail);
            format!("the tracer gave no summary: {end:?}")
        })?;
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
    attached_reading(bench, arguments, Stdio::null(), stdout, stderr)
}

fn attached_reading(
    bench: &Bench,
    arguments: &[&str],
    stdin: Stdio,
    stdout: Stdio,
    stderr: &CapturedOutput,
) -> Result<Process> {
    let mut command = Command::new(bench.binaries.join("tracer"));
    command
        .args(arguments)
        // Files that it writes are in memory.
        .current_dir(bench.scratch.path())
        .env("TERM", "xterm-256color")
        .stdout(stdout)
        .stderr(stderr.stdio()?);
    let socket = bench.scratch.path().join("notify");
    let started =
        Process::start_notifying_reading("tracer", &mut command, stdin, &socket, &bench.stop);
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
                Self::from_text(without_escapes(line).trim_end())
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

/// Without what colours it on a terminal (ECMA-48, section 5.4), and what was drawn before the screen of `--top` was left.
fn without_escapes(line: &str) -> String {
    let line = line.rsplit("\u{1b}[?1049l").next().unwrap_or(line);
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |line, part| {
        line + part
            .trim_start_matches(|char: char| !char.is_ascii_alphabetic())
            .get(1..)
            .unwrap_or_default()
    })
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
        let drawn = "fast\u{1b}[?25h\u{1b}[?1049l\u{1b}[2m7 connections, 0 uploads, 60 events, 2 lost\u{1b}[0m\r";
        check(drawn, Some(SUMMARY));
    }

    #[test]
    fn lines_that_were_not_written_are_lost() {
        let stderr = "tracer: tracing every TCP connection (attached in 90 ms)\n\
                    tracer: 12 lines were lost because the output could not keep up\n";
        assert_eq!(unwritten(stderr), 12);
        assert_eq!(unwritten("tracer: 12 birds\n"), 0);
    }
}
