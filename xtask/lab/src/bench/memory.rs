//! The tracer's memory: when nothing happens, and with many open connections, which began after the
//! tracer did. The tracer has reported each connection before its memory is read.

mod connections;
mod followed_tracer;

use anyhow::Result;

use self::{connections::Connections, followed_tracer::FollowedTracer};
use super::{
    Bench,
    interleave::Spread,
    report::{Asked, Row},
};
use xtask::command::log;

const PART: &str = "memory";
/// How many are open when the memory is read.
const OPEN: [usize; 2] = [10_000, 100_000];
/// How many are opened at a time. The tracer then reports each before the next ones are opened, so
/// that lines waiting for its output do not count as memory for connections.
const AT_ONCE: usize = 500;
/// While nothing happens.
const ASKED_IDLE_MB: f64 = 15.0;
/// For each connection that is opened beyond those before.
const ASKED_BYTES: f64 = 600.0;

/// By default the tracer keeps fewer connections than are opened here.
const CASES: [&[&str]; 2] = [
    &["-o", "ndjson"],
    &["-o", "ndjson", "--max-connections", "131072"],
];

/// A reading of the memory.
struct Reading {
    open: usize,
    /// Bytes.
    held: u64,
    /// How many connections the tracer had dropped by then.
    dropped: u64,
}

pub(super) fn memory(bench: &mut Bench) -> Result<()> {
    for arguments in CASES {
        let case = format!("tracer {}", arguments.join(" "));
        let mut runs = Vec::new();
        for round in 1..=bench.rounds {
            log(&format!("memory: {case}, round {round}"));
            runs.push(run(bench, arguments)?);
        }
        add_rows(bench, &case, &runs);
    }
    Ok(())
}

/// One tracer: idle, then beside more and more connections.
fn run(bench: &Bench, arguments: &[&str]) -> Result<Vec<Reading>> {
    let most = OPEN.into_iter().max().unwrap_or_default();
    let mut connections = Connections::up_to(most)?;
    // No other connections on this machine shall weigh anything.
    let port = connections.port().to_string();
    let mut tracer = FollowedTracer::start(bench, &[arguments, &["--port", &port]].concat())?;
    let mut readings = Vec::new();
    for open in std::iter::once(0).chain(OPEN) {
        while connections.len() < open {
            let cookies = connections.open(AT_ONCE.min(open - connections.len()))?;
            tracer.wait_until_reported(&cookies, bench)?;
        }
        readings.push(Reading {
            open,
            held: tracer.held(bench)?,
            dropped: tracer.dropped(),
        });
    }
    Ok(readings)
}

fn add_rows(bench: &mut Bench, case: &str, runs: &[Vec<Reading>]) {
    let row =
        |what: &str, unit, numbers: Vec<f64>| Row::new(PART, case, what, unit, Spread::of(numbers));
    let at = |n: usize| runs.iter().filter_map(move |run| run.get(n));
    let megabytes = |n| at(n).map(|reading| reading.held as f64 / 1e6).collect();
    let idle = row("idle", "MB", megabytes(0));
    bench.add_row(idle.map(|row| row.asking(Some(Asked::AtMost(ASKED_IDLE_MB)))));
    for (before, open) in OPEN.into_iter().enumerate() {
        let n = before + 1;
        let what = format!("{open} open");
        bench.add_row(row(&what, "MB", megabytes(n)));
        if at(n).any(|reading| reading.dropped > 0) {
            let kept = at(n).map(|reading| open as f64 - reading.dropped as f64);
            bench.add_row(row(&what, "connections kept", kept.collect()));
            continue;
        }
        let more = at(before).zip(at(n)).map(|(before, reading)| {
            (reading.held as f64 - before.held as f64) / (open - before.open) as f64
        });
        let more = row(&what, "bytes for each one more", more.collect());
        bench.add_row(more.map(|row| row.asking(Some(Asked::AtMost(ASKED_BYTES)))));
    }
}
