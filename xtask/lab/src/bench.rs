//! Measures what tracing costs and how fast the upload server is, side by side with their peers in
//! one run: interleaved, each number compared with those of the runs right before and after it.

mod answer;
mod bulk;
mod captured_output;
mod churn;
mod collector;
mod events;
mod hooks;
mod interleave;
mod lines;
pub(crate) mod listening;
mod load;
mod loss;
mod machine;
mod memory;
pub(crate) mod namespace;
mod nginx;
mod peer;
mod pipe_drain;
pub(crate) mod process;
mod programs;
mod read;
mod report;
mod server;
mod start;
pub(crate) mod stop;
mod tracer_under_test;
mod tracing;

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use tempfile::TempDir;

use self::{machine::Machine, report::Report, stop::Stop};
use xtask::{
    command::{cargo, is_root, log, output, run, target_dir, workspace},
    setup,
};

/// See the workspace's Cargo.toml.
const PROFILE: &str = "measured";
/// Files are written to memory: otherwise the disk would be measured.
const MEMORY: &str = "/dev/shm";

/// What to measure, how often, and where to write the results.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench                          every part, on an otherwise idle machine
  cargo xtask bench churn --rounds 3         connections per second, traced and untraced
  cargo xtask bench server --rounds 3        the upload server beside nginx and a loop over recv and write
  cargo xtask bench read --capture a.pcap    `tracer read` beside tshark and tcptrace
  cargo xtask bench --json FILE              results as JSON, too")]
pub(crate) struct Arguments {
    /// Measure only these parts [default: all]
    #[arg(value_enum, value_name = "PART")]
    parts: Vec<Part>,
    /// Measure each case N times, between two runs of what it is compared with
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Also write all results to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure the `tracer` and the `upload-server` in DIR [default: this source, built with
    /// --profile measured]
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// For `read`: read this capture [default: make one]
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// For `read`: make a capture of about N megabytes, or less if there is no room for it
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    capture_mb: u64,
    /// For `read`: make a capture of about N connections
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    capture_connections: u64,
    /// Keep the table in xtask/lab/src/bench/results.md
    #[arg(long, conflicts_with = "parts")]
    keep: bool,
}

/// The parts, each a file beneath this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Connections per second, traced and untraced
    Churn,
    /// Processor time that an answer costs, beside other programs that give one
    Answer,
    /// Nanoseconds per run of each eBPF program
    Events,
    /// One large upload, traced and untraced, over loopback and at MTU 1500
    Bulk,
    /// A minute of connections as fast as they go: lost records, and latency of the lines
    Loss,
    /// Time until the tracer is attached; size of the programs
    Start,
    /// Memory of the tracer, idle and with many open connections
    Memory,
    /// Speed and memory of `tracer read`, beside tshark and tcptrace
    Read,
    /// Speed of the upload server: large files, small files, many at once, HTTP/2 beside HTTP/1.1
    Server,
}

impl Part {
    /// Whether the tracer runs in it.
    fn traces(self) -> bool {
        self != Self::Server
    }
}

/// What every part needs.
struct Bench {
    binaries: PathBuf,
    rounds: u32,
    /// In memory; removed at the end.
    scratch: TempDir,
    stop: Stop,
    report: Report,
}

pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    setup::for_bench()?;
    let mut parts = match arguments.parts.as_slice() {
        [] => Part::value_variants().to_vec(),
        parts => parts.to_vec(),
    };
    let mut absent = Vec::new();
    if !is_root() && parts.iter().any(|part| part.traces()) {
        if !arguments.parts.is_empty() {
            bail!("only root can trace: run this as root, or run `cargo xtask bench server`");
        }
        parts.retain(|part| !part.traces());
        absent.push("the cost of tracing, which only root can measure".to_owned());
    }
    let binaries = match &arguments.binaries {
        Some(directory) => {
            fs::canonicalize(directory).with_context(|| directory.display().to_string())?
        }
        None => build(parts.iter().any(|part| part.traces()))?,
    };
    let head =
        output(
            Command::new("git")
                .current_dir(workspace())
                .args(["rev-parse", "--short", "HEAD"]),
        )
        // Binaries from a directory may be of another commit.
        .filter(|_| arguments.binaries.is_none());
    let mut bench = Bench {
        binaries,
        rounds: arguments.rounds,
        stop: Stop::listen()?,
        scratch: tempfile::Builder::new()
            .prefix("upload-tracer-bench-")
            .tempdir_in(MEMORY)
            .with_context(|| format!("no directory in {MEMORY}, which is to be in memory"))?,
        report: Report {
            machine: Machine::this(head.map(|head| head.trim().to_owned())),
            rows: Vec::new(),
            absent,
        },
    };
    for part in parts {
        match part {
            Part::Churn => churn::churn(&mut bench)?,
            Part::Answer => answer::answer(&mut bench)?,
            Part::Events => events::events(&mut bench)?,
            Part::Bulk => bulk::bulk(&mut bench)?,
            Part::Loss => loss::loss(&mut bench)?,
            Part::Start => start::start(&mut bench)?,
            Part::Memory => memory::memory(&mut bench)?,
            Part::Read => read::read(&mut bench, arguments)?,
            Part::Server => server::server(&mut bench)?,
        }
    }
    let Bench { report, .. } = bench;
    print!("{}", report.markdown());
    if let Some(file) = &arguments.json {
        let json = serde_json::to_vec_pretty(&report)?;
        fs::write(file, json).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    if arguments.keep {
        let file = workspace().join("xtask/lab/src/bench/results.md");
        let text = format!(
            "# Results of `cargo xtask bench --keep`\n\n{}",
            report.markdown()
        );
        fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(())
}

/// With link-time optimisation, which `cargo xtask run` does without.
fn build(tracer: bool) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--profile", PROFILE, "--locked"]);
    build.args(["--package", "upload-server"]);
    if tracer {
        setup::for_build()?;
        build.args(["--package", "tracer"]);
    }
    run(&mut build)?;
    Ok(target_dir().join(PROFILE))
}

impl Bench {
    /// Adds what was measured.
    fn add_row(&mut self, row: Option<report::Row>) {
        self.report.rows.extend(row);
    }

    /// Records what could not be measured.
    fn absent(&mut self, what: String) {
        if !self.report.absent.contains(&what) {
            log(&format!("not measured: {what}"));
            self.report.absent.push(what);
        }
    }
}
