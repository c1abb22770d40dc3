//! How fast `tracer read` reads a capture, and how much memory it takes, beside tshark and tcptrace in one
//! run: the same capture, from memory.

mod capture;
mod usage;

use std::{path::Path, process::Command};

use anyhow::Result;

use self::capture::{Capture, Wanted};
use super::{
    Arguments, Bench,
    interleave::{Runs, interleave},
    report::{Asked, Row},
};
use crate::captures::fields;
use xtask::command::{is_installed, log};

const PART: &str = "read";
/// The goal beside tshark, for the same fields.
const ASKED_RATIO: f64 = 10.0;
/// The goal for the peak of memory.
const ASKED_MB: f64 = 100.0;

/// A program that reads a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// `tracer read` with these arguments.
    Tracer(&'static [&'static str]),
    /// tshark's table of conversations.
    TsharkConversations,
    /// tshark's fields of each segment: those that `--segments` has.
    TsharkFields,
    /// <https://www.tcptrace.org>: a summary of each connection.
    Tcptrace,
}

const TIMELINES: Reader = Reader::Tracer(&[]);
const SEGMENTS: Reader = Reader::Tracer(&["--segments", "-o", "ndjson"]);
/// Each beside the tracer that does about the same work.
const BESIDE_TIMELINES: [Reader; 3] = [
    Reader::Tracer(&["-o", "ndjson"]),
    Reader::TsharkConversations,
    Reader::Tcptrace,
];
const BESIDE_SEGMENTS: [Reader; 1] = [Reader::TsharkFields];

pub(super) fn read(bench: &mut Bench, arguments: &Arguments) -> Result<()> {
    let capture = match &arguments.capture {
        Some(file) => Capture::existing(file)?,
        None => Capture::make(
            bench,
            Wanted {
                megabytes: arguments.capture_mb,
                connections: arguments.capture_connections,
            },
        )?,
    };
    compare(bench, &capture, TIMELINES, &BESIDE_TIMELINES)?;
    compare(bench, &capture, SEGMENTS, &BESIDE_SEGMENTS)
}

fn compare(bench: &mut Bench, capture: &Capture, base: Reader, others: &[Reader]) -> Result<()> {
    let mut able = Vec::new();
    for reader in others {
        if reader.program().is_none_or(is_installed) {
            able.push(*reader);
        } else {
            bench.absent(format!("{}, not installed", reader.name()));
        }
    }
    let (ours, runs) = interleave(bench.rounds, &able, |reader| {
        let reader = reader.copied().unwrap_or(base);
        log(&format!("read: {}", reader.name()));
        let mut command = reader.command(&bench.binaries, &capture.file);
        let used = usage::run(&reader.name(), &mut command, &bench.stop)?;
        let megabytes = capture.bytes as f64 / 1e6;
        Ok([
            megabytes / used.took.as_secs_f64(),
            used.cpu.as_secs_f64(),
            used.peak as f64 / 1e6,
        ])
    })?;
    add_rows(bench, base, &ours, base, None);
    for (reader, runs) in able.into_iter().zip(&runs) {
        let asked = (reader == Reader::TsharkFields).then_some(Asked::RatioAtLeast(ASKED_RATIO));
        add_rows(bench, reader, runs, base, asked);
    }
    Ok(())
}

fn add_rows(bench: &mut Bench, reader: Reader, runs: &Runs<3>, base: Reader, asked: Option<Asked>) {
    let row = |measure, unit, n| Row::new(PART, reader.name(), measure, unit, runs.number(n));
    let of = format!("{} ÷ this", base.name());
    bench.add_row(row("speed", "MB/s", 0).map(|row| row.beside(of, runs.inverse(0)).asking(asked)));
    bench.add_row(row("processor time", "s", 1));
    let asked = matches!(reader, Reader::Tracer(_)).then_some(Asked::AtMost(ASKED_MB));
    bench.add_row(row("peak of memory", "MB", 2).map(|row| row.asking(asked)));
}

impl Reader {
    /// As in the table.
    fn name(self) -> String {
        match self {
            Self::Tracer([]) => "tracer read".to_owned(),
            Self::Tracer(arguments) => format!("tracer read {}", arguments.join(" ")),
            Self::TsharkConversations => "tshark -q -z conv,tcp".to_owned(),
            Self::TsharkFields => "tshark -T fields".to_owned(),
            Self::Tcptrace => "tcptrace".to_owned(),
        }
    }

    /// What has to be installed.
    fn program(self) -> Option<&'static str> {
        match self {
            Self::Tracer(_) => None,
            Self::TsharkConversations | Self::TsharkFields => Some("tshark"),
            Self::Tcptrace => Some("tcptrace"),
        }
    }

    fn command(self, binaries: &Path, file: &Path) -> Command {
        let mut command = match self {
            Self::Tracer(_) => Command::new(binaries.join("tracer")),
            Self::TsharkConversations | Self::TsharkFields => Command::new("tshark"),
            Self::Tcptrace => Command::new("tcptrace"),
        };
        match self {
            Self::Tracer(arguments) => command.arg("read").args(arguments),
            Self::TsharkConversations => command.args(["-n", "-q", "-z", "conv,tcp", "-r"]),
            Self::TsharkFields => {
                let fields = fields().flat_map(|field| ["-e", field]);
                command.args(["-n", "-T", "fields"]).args(fields).arg("-r")
            }
            Self::Tcptrace => command.arg("-n"),
        };
        command.arg(file);
        command
    }
}
