//! How soon the tracer is attached after it was started, and how large the programs are.

use std::{
    fs,
    io::{self, Read as _},
    os::fd::AsFd as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    Bench,
    interleave::Spread,
    process::Process,
    report::{Asked, Row},
};
use xtask::command::log;

const PART: &str = "start";
/// A single start takes a fraction of a second and varies much.
const STARTS_PER_ROUND: u32 = 4;
/// What the tracer prints on stderr once it is attached.
const ATTACHED: &[u8] = b"(attached in ";
const PATIENCE: Duration = Duration::from_secs(20);
/// Until it is attached.
const ASKED_MS: f64 = 100.0;

pub(super) fn start(bench: &mut Bench) -> Result<()> {
    let starts = bench.rounds.saturating_mul(STARTS_PER_ROUND);
    log(&format!("start: {starts} times"));
    let took: Result<Vec<f64>> = (0..starts)
        .map(|_| Ok(until_attached(bench)?.as_secs_f64() * 1e3))
        .collect();
    let row = Row::new(
        PART,
        "tracer --all",
        "from its start until attached",
        "ms",
        Spread::of(took?),
    );
    bench.add_row(row.map(|row| row.asking(Some(Asked::AtMost(ASKED_MS)))));
    for program in ["tracer", "upload-server"] {
        let file = bench.binaries.join(program);
        let size = fs::metadata(&file)
            .with_context(|| format!("there is no {}", file.display()))?
            .len();
        let size = Spread::of([size as f64]);
        bench.add_row(Row::new(
            PART,
            program,
            "size of the program",
            "bytes",
            size,
        ));
    }
    Ok(())
}

/// Starts the tracer and waits for the line that it is attached.
fn until_attached(bench: &Bench) -> Result<Duration> {
    let (mut read, write) = io::pipe()?;
    let mut command = Command::new(bench.binaries.join("tracer"));
    command.arg("--all").stdout(Stdio::null()).stderr(write);
    let begun = Instant::now();
    let _tracer = Process::start("tracer", &mut command)?;
    // Or its end of the pipe would outlive the tracer.
    drop(command);
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let left = PATIENCE.saturating_sub(begun.elapsed());
        if bench.stop.wait(&[read.as_fd()], left)?.is_none() {
            bail!("the tracer was not attached after {PATIENCE:?}");
        }
        let length = read.read(&mut piece)?;
        let took = begun.elapsed();
        text.extend_from_slice(&piece[..length]);
        if text.windows(ATTACHED.len()).any(|words| words == ATTACHED) {
            return Ok(took);
        }
        if length == 0 {
            let printed = String::from_utf8_lossy(&text);
            bail!("the tracer could not start: {}", printed.trim());
        }
    }
}
