//! What tracing costs where connections come and go as fast as they can: connections per second
//! traced and untraced, in turn.

use anyhow::{Result, bail};

use super::{
    Bench,
    load::Load,
    ratio::{Runs, interleave},
    report::{Asked, Row},
    tracing::Tracing,
};
use crate::command::say;

const PART: &str = "churn";
/// Each run takes so long.
const SECONDS: u32 = 2;
/// Connections before each run.
const WARM_UP: u32 = 500;

/// The tracer with arguments.
struct Case {
    arguments: &'static [&'static str],
    /// What is asked of connections per second, traced ÷ untraced.
    asked: Option<f64>,
    /// Whether it is to see the connections.
    sees: bool,
}

const CASES: [Case; 5] = [
    Case {
        arguments: &["--all"],
        asked: Some(0.95),
        sees: true,
    },
    Case {
        arguments: &["--all", "-o", "ndjson"],
        asked: None,
        sees: true,
    },
    Case {
        arguments: &["--all", "--segments", "-o", "ndjson"],
        asked: Some(0.85),
        sees: true,
    },
    Case {
        arguments: &["--port", "9"],
        asked: Some(0.98),
        sees: false,
    },
    Case {
        arguments: &["--comm", "nosuch"],
        asked: Some(0.98),
        sees: false,
    },
];

/// See the module.
pub(super) fn churn(bench: &mut Bench) -> Result<()> {
    let load = Load::start(bench)?;
    let (base, runs) = interleave(bench.rounds, &CASES, |case| {
        say(&format!(
            "churn: {}",
            case.map_or_else(|| "untraced".to_owned(), Case::name)
        ));
        measure(bench, &load, case)
    })?;
    tell(bench, "untraced", &base, None);
    for (case, runs) in CASES.iter().zip(&runs) {
        tell(
            bench,
            &case.name(),
            runs,
            case.asked.map(Asked::RatioAtLeast),
        );
    }
    Ok(())
}

impl Case {
    fn name(&self) -> String {
        format!("tracer {}", self.arguments.join(" "))
    }
}

/// Connections per second; microseconds of CPU for each, in the server and the client; milliseconds
/// of CPU for 1,000 of them, in the tracer; and how much that lost.
fn measure(bench: &Bench, load: &Load, case: Option<&Case>) -> Result<[f64; 4]> {
    let Some(case) = case else {
        load.connect(WARM_UP)?;
        let churned = load.run(SECONDS, &bench.stop)?;
        return Ok([churned.per_second, churned.cpu_us_each(), 0.0, 0.0]);
    };
    let tracing = Tracing::start(bench, case.arguments)?;
    load.connect(WARM_UP)?;
    let before = tracing.process().cpu()?;
    let churned = load.run(SECONDS, &bench.stop)?;
    let cpu = tracing.process().cpu()?.saturating_sub(before);
    let summary = tracing.end(&bench.stop)?;
    let seen = summary.connections as f64;
    if case.sees && summary.lost == 0 && seen < churned.connections || !case.sees && seen > 0.0 {
        bail!(
            "{} told of {seen} connections where there were {}: what it cost says nothing",
            case.name(),
            churned.connections
        );
    }
    Ok([
        churned.per_second,
        churned.cpu_us_each(),
        cpu.as_secs_f64() * 1e6 / churned.connections,
        summary.lost as f64,
    ])
}

fn tell(bench: &mut Bench, case: &str, runs: &Runs<4>, asked: Option<Asked>) {
    let row = |measure, unit, n| Row::new(PART, case, measure, unit, runs.number(n));
    let rows = [
        row("speed", "connections/s", 0)
            .map(|row| row.beside("traced ÷ untraced", runs.ratio(0)).asking(asked)),
        row("server and client", "µs of CPU per connection", 1)
            .map(|row| row.beside("untraced ÷ traced", runs.inverse(1))),
        row("its own process", "ms of CPU per 1,000 connections", 2),
        row("lost, as it says", "records", 3),
    ];
    let traced = !runs.ratios.is_empty();
    for row in rows.into_iter().take(if traced { 4 } else { 2 }) {
        bench.found(row);
    }
}
