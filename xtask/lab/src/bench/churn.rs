//! The cost of tracing while connections come and go as fast as they can: connections per second,
//! traced and untraced, in turn.

use anyhow::Result;

use super::{
    Bench,
    collector::{self, Collector},
    interleave::{Runs, interleave},
    load::Load,
    peer::Peer,
    report::{Asked, Row},
    tracer_under_test::{DEFAULT, NOTHING, SEGMENTS, TracerUnderTest},
};
use xtask::command::log;

const PART: &str = "churn";
/// Length of each run.
const SECONDS: u32 = 2;
/// Connections before each run.
const WARM_UP: u32 = 500;

/// Needs a collector.
const SPANS: TracerUnderTest = TracerUnderTest::Tracer(&["--all", "--otlp", collector::URL]);

/// What is measured, and the goal for connections per second, traced ÷ untraced. The first one is
/// compared with the peers; the last one is the cost of the hooks alone.
const OURS: [(TracerUnderTest, Option<f64>); 9] = [
    (DEFAULT, Some(0.80)),
    (
        TracerUnderTest::Tracer(&["--all", "-o", "ndjson"]),
        Some(0.72),
    ),
    (
        TracerUnderTest::Tracer(&["--all", "--metrics", "127.0.0.1:0"]),
        None,
    ),
    (
        TracerUnderTest::Tracer(&["--all", "--report", "page.html"]),
        None,
    ),
    (TracerUnderTest::Tracer(&["--all", "--top"]), None),
    (SEGMENTS, Some(0.85)),
    (NOTHING, Some(0.98)),
    (TracerUnderTest::Tracer(&["--comm", "nosuch"]), Some(0.98)),
    (TracerUnderTest::Hooks, None),
];

pub(super) fn churn(bench: &mut Bench) -> Result<()> {
    let load = Load::start(bench)?;
    let mut subjects: Vec<TracerUnderTest> = OURS.iter().map(|(subject, _)| *subject).collect();
    let collector = Collector::start(bench)?;
    subjects.extend(collector.as_ref().map(|_| SPANS));
    let peers = Peer::able(bench, &load)?;
    subjects.extend(peers.into_iter().map(TracerUnderTest::Peer));
    let (base, runs) = interleave(bench.rounds, &subjects, |subject| {
        let name = subject.map_or_else(|| "untraced".to_owned(), TracerUnderTest::name);
        log(&format!("churn: {name}"));
        measure(bench, &load, subject)
    })?;
    let ours = runs.first().and_then(|ours| ours.ratio(0));
    add_rows(bench, "untraced", &base, None);
    for (n, (subject, runs)) in subjects.iter().zip(&runs).enumerate() {
        let asked = match OURS.get(n) {
            Some((_, asked)) => asked.map(Asked::RatioAtLeast),
            None if matches!(subject, TracerUnderTest::Peer(_)) => {
                ours.map(|ours| Asked::RatioBelow(ours.median))
            }
            None => None,
        };
        add_rows(bench, &subject.name(), runs, asked);
    }
    Ok(())
}

/// Connections per second; microseconds of CPU for each, in the server and the client; milliseconds
/// of CPU for 1,000 of them in the tracer; and how many events the tracer lost.
fn measure(bench: &Bench, load: &Load, subject: Option<&TracerUnderTest>) -> Result<[f64; 4]> {
    let Some(subject) = subject else {
        load.connect(WARM_UP)?;
        let churned = load.run(SECONDS, &bench.stop)?;
        return Ok([churned.per_second, churned.cpu_us_each(), 0.0, 0.0]);
    };
    let running = subject.start(bench, load)?;
    load.connect(WARM_UP)?;
    let before = running.cpu()?;
    let churned = load.run(SECONDS, &bench.stop)?;
    running.check()?;
    let cpu = running.cpu()?.saturating_sub(before);
    let ended = running.end(&bench.stop)?;
    subject.check(&ended, churned.connections)?;
    Ok([
        churned.per_second,
        churned.cpu_us_each(),
        cpu.as_secs_f64() * 1e6 / churned.connections,
        ended.lost as f64,
    ])
}

fn add_rows(bench: &mut Bench, name: &str, runs: &Runs<4>, asked: Option<Asked>) {
    let row = |measure, unit, n| Row::new(PART, name, measure, unit, runs.number(n));
    bench.add_row(
        row("speed", "connections/s", 0)
            .map(|row| row.beside("traced ÷ untraced", runs.ratio(0)).asking(asked)),
    );
    bench.add_row(
        row("server and client", "µs of CPU per connection", 1)
            .map(|row| row.beside("untraced ÷ traced", runs.inverse(1))),
    );
    if !runs.ratios.is_empty() {
        bench.add_row(row("its own process", "ms of CPU per 1,000 connections", 2));
        bench.add_row(row("lost, as it says", "events", 3));
    }
}
