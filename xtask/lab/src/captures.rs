//! Reads captures with the tracer and with tshark, and compares the two: segments, HTTP, TLS, and the length of
//! each conversation.

mod conversation;
mod conversation_difference;
mod difference;
mod make;
mod reason;
mod table;
mod tracer;
mod tshark;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use xtask::command::{cargo, run, target_dir};

pub(crate) use self::tshark::fields;
use self::{
    conversation_difference::ConversationDifferences, difference::Differences, table::Results,
};

/// Where the captures are.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask captures ~/captures            every capture below a folder
  cargo xtask captures a.pcap --details      each difference
  cargo xtask captures --make new            the project's own captures, anew")]
pub(crate) struct Arguments {
    /// A capture, or a folder: every file below it that tshark can read
    #[arg(required_unless_present = "make")]
    paths: Vec<PathBuf>,
    /// Make the captures of tracer/tests/captures again, in DIR: as root
    #[arg(long, value_name = "DIR", conflicts_with = "paths")]
    make: Option<PathBuf>,
    /// Print each segment and each conversation that differs
    #[arg(long)]
    details: bool,
    /// Run the `tracer` in DIR [default: this source, built with --release]
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
}

/// A segment as both programs tell it. Numbers are relative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Segment {
    stream: String,
    /// Whether it came from the port that is the client's.
    source_port: u64,
    flags: u64,
    seq: u64,
    /// `None` without the flag ACK.
    ack: Option<u64>,
    /// `None` if the capture ends before it can be told.
    len: Option<u64>,
    /// Scaled; `None` if the scale is unknown.
    window: Option<u64>,
    options: Options,
    analysis: Vec<&'static str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Options {
    mss: Option<u64>,
    window_scale: Option<u64>,
    sack_permitted: bool,
    timestamps: Option<(u64, u64)>,
    sack: Vec<(u64, u64)>,
}

/// The segments of a capture, by the numbers of their frames.
type Segments = BTreeMap<u64, Segment>;

/// Compares each capture, prints a table, and fails if any segment differs.
pub(crate) fn captures(arguments: &Arguments) -> Result<()> {
    let binaries = match &arguments.binaries {
        Some(directory) => directory.clone(),
        None => {
            let mut build = cargo();
            build.args(["build", "--release", "--locked", "--package", "tracer"]);
            run(build.args(arguments.make.as_ref().map(|_| "--package=upload-server")))?;
            target_dir().join("release")
        }
    };
    if let Some(folder) = &arguments.make {
        return make::make(folder, &binaries);
    }
    let program = binaries.join("tracer");
    let mut results = Results::default();
    for path in &arguments.paths {
        for file in files_below(path)? {
            let expected = match tshark::read(&file) {
                Ok(expected) => expected,
                Err(error) => {
                    results.skip(&file, &error.to_string());
                    continue;
                }
            };
            let found = tracer::read(&program, &file)?;
            if let Some(refusal) = found.refusal() {
                results.skip(&file, refusal);
                continue;
            }
            let differences = Differences::between(&found.segments, &expected);
            let conversations = ConversationDifferences::between(
                &found.conversations,
                &expected.conversations(&file, &found.clients, &found.segments)?,
                expected.goes_back(),
            );
            if arguments.details {
                print!("{}", differences.details(&file));
                print!("{}", conversations.details(&file));
            }
            results.add(
                &file,
                &expected.segments,
                &found,
                &differences,
                &conversations,
            );
        }
    }
    print!("{results}");
    match results.different() {
        0 => Ok(()),
        different => bail!("{different} differences"),
    }
}

/// A file itself, or every file below a folder, in the order of their names.
fn files_below(path: &Path) -> Result<Vec<PathBuf>> {
    let about = || format!("{} cannot be listed", path.display());
    if !fs::metadata(path).with_context(about)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = fs::read_dir(path)
        .with_context(about)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .with_context(about)?;
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        files.extend(files_below(&entry)?);
    }
    Ok(files)
}
