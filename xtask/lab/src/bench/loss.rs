//! A minute of connections as fast as they go: how many records the tracer loses, and how late its
//! lines are. Its output is read as it comes. A timeline is delayed by 10 ms, for events that
//! follow the connection's end (by up to 2 s for the bundled upload server's connections: none
//! here). Every line is delayed until the ring buffers are read: every 20 ms, and when the first is half
//! full.

mod line_latency;

use std::{fs, io, thread, time::Duration};

use anyhow::{Context as _, Result, anyhow};

use self::line_latency::{Latencies, Summary, TracerOutput};
use super::{
    Bench,
    captured_output::CapturedOutput,
    interleave::Spread,
    lines::Lines,
    load::Load,
    process::Process,
    report::{Asked, Row},
    tracing::{attached, unwritten, with_stderr},
};
use xtask::command::log;

const PART: &str = "loss";
const SECONDS: u32 = 60;
/// With `--audit` the kernel counts the records when they are made.
const ARGUMENTS: [&str; 4] = ["--all", "--audit", "-o", "ndjson"];
/// BPF_MAP_TYPE_RINGBUF
const RING_BUFFER: u64 = 27;
/// How long the tracer may take to print what is left at the end.
const PATIENCE: Duration = Duration::from_secs(30);
/// The goal for the 99th percentile.
const ASKED_MS: f64 = 50.0;

/// Runs once, whatever the number of rounds.
pub(super) fn loss(bench: &mut Bench) -> Result<()> {
    let load = Load::start(bench)?;
    let stderr = CapturedOutput::new(bench.scratch.path())?;
    let (read, write) = io::pipe()?;
    let tracer = attached(bench, &ARGUMENTS, write.into(), &stderr)?;
    let reading = thread::spawn(move || TracerOutput::read(Lines::new(read)));
    let ring = ring_bytes(&tracer)?;
    log(&format!("loss: {SECONDS} seconds"));
    let churned = load.run(SECONDS, &bench.stop)?;
    tracer.interrupt()?;
    with_stderr(tracer.finish(PATIENCE, &bench.stop), &stderr, &bench.stop)?;
    let output = reading
        .join()
        .unwrap_or_else(|_| Err(anyhow!("the thread that reads ended badly")))?;
    add_row(bench, "load", "connections/s", churned.per_second, None);
    add_row(bench, "ring buffer", "bytes", ring as f64, None);
    add_record_rows(bench, &output, unwritten(&stderr.text()?))?;
    let TracerOutput {
        states, timelines, ..
    } = output;
    add_rows(bench, "state lines, after the event", states);
    add_rows(
        bench,
        "timeline lines, after the connection's end",
        timelines,
    );
    Ok(())
}

/// What became of the records, and of the lines, some of which may not have been written.
fn add_record_rows(bench: &mut Bench, output: &TracerOutput, unwritten: u64) -> Result<()> {
    let Summary {
        events,
        emitted,
        lost,
    } = output.summary.context("the tracer gave no summary")?;
    let emitted = emitted.context("the tracer did not count what was made")?;
    let at = |hop: &str| output.lost.get(hop).copied().unwrap_or_default();
    let unaccounted = emitted.abs_diff(events + at("ring") + at("decode"));
    let none = Some(Asked::AtMost(0.0));
    for (measure, number, asked) in [
        ("made in the kernel", emitted, None),
        ("received", events, None),
        ("lost, at whatever hop", lost + unwritten, none),
        ("made, and neither received nor lost", unaccounted, none),
    ] {
        add_row(bench, measure, "records", number as f64, asked);
    }
    for (hop, count) in &output.lost {
        add_row(
            bench,
            &format!("lost at {hop}"),
            "records",
            *count as f64,
            None,
        );
    }
    Ok(())
}

fn add_rows(bench: &mut Bench, what: &str, mut late: Latencies) {
    let asked = Some(Asked::AtMost(ASKED_MS));
    for (name, percent, asked) in [("median", 50, None), ("99th percentile", 99, asked)] {
        if let Some(late) = late.percentile(percent) {
            let measure = format!("{what}, {name}");
            add_row(bench, &measure, "ms", late.as_secs_f64() * 1e3, asked);
        }
    }
    let measure = format!("{what}, looked at");
    add_row(bench, &measure, "lines", late.count() as f64, None);
}

fn add_row(
    bench: &mut Bench,
    measure: &str,
    unit: &'static str,
    number: f64,
    asked: Option<Asked>,
) {
    let case = format!("tracer {}", ARGUMENTS.join(" "));
    let row = Row::new(PART, case, measure, unit, Spread::of([number]));
    bench.add_row(row.map(|row| row.asking(asked)));
}

/// The size of the larger ring buffer for the records.
fn ring_bytes(tracer: &Process) -> Result<u64> {
    let directory = format!("/proc/{}/fdinfo", tracer.id());
    let mut sizes = Vec::new();
    for file in fs::read_dir(&directory).with_context(|| format!("{directory} cannot be read"))? {
        // A descriptor may have been closed meanwhile.
        let info = fs::read_to_string(file?.path()).unwrap_or_default();
        sizes.extend(ring_size(&info));
    }
    sizes
        .into_iter()
        .max()
        .context("the tracer has no ring buffer")
}

/// Where the descriptor is a ring buffer's.
fn ring_size(fdinfo: &str) -> Option<u64> {
    let field = |name: &str| {
        let value = fdinfo.lines().find_map(|line| line.strip_prefix(name))?;
        value.trim().parse::<u64>().ok()
    };
    (field("map_type:")? == RING_BUFFER).then(|| field("max_entries:"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ring_buffer_has_its_size() {
        assert_eq!(
            ring_size("pos:\t0\nmap_type:\t27\nmax_entries:\t4096\n"),
            Some(4096)
        );
        assert_eq!(
            ring_size("pos:\t0\nmap_type:\t1\nmax_entries:\t4096\n"),
            None
        );
        assert_eq!(ring_size("pos:\t0\n"), None);
    }
}
