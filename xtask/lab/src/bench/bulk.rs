//! One large upload, traced and untraced: over loopback, and over a wire with frames of 1500 bytes
//! and no offloads. Both ends are threads that do nothing else and store nothing, so that little
//! hides the cost of tracing.

mod transfer;
mod wire;

use std::{
    net::{TcpListener, TcpStream},
    time::Duration,
};

use anyhow::{Result, bail};

use self::{
    transfer::{Transfer, transfer},
    wire::Wire,
};
use super::{
    Bench,
    collector::{self, Collector},
    hooks::{self, Hooks},
    interleave::{Runs, interleave},
    report::{Asked, Row},
    tracing::{Summary, Tracing},
};
use xtask::command::log;

const PART: &str = "bulk";
const BYTES: u64 = 1 << 30;
/// How many one after another: a single one over loopback is too short to measure.
const UPLOADS: u32 = 3;
/// What is measured, and the goal for the speed, traced ÷ untraced.
const CASES: [Case; 6] = [
    Case {
        arguments: Some(&["--all"]),
        asked: Some(Asked::RatioAtLeast(0.98)),
    },
    Case::of(&["--all", "--segments", "-o", "ndjson"]),
    Case::of(&["--all", "--metrics", "127.0.0.1:0"]),
    Case::of(&["--all", "--report", "page.html"]),
    Case::of(&["--all", "--top"]),
    Case {
        arguments: None,
        asked: None,
    },
];
/// Needs a collector.
const SPANS: Case = Case::of(&["--all", "--otlp", collector::URL]);

#[derive(Clone, Copy)]
struct Case {
    /// The tracer's arguments; `None` for empty programs at its hooks.
    arguments: Option<&'static [&'static str]>,
    /// The goal for the speed, traced ÷ untraced.
    asked: Option<Asked>,
}

impl Case {
    const fn of(arguments: &'static [&'static str]) -> Self {
        Self {
            arguments: Some(arguments),
            asked: None,
        }
    }

    fn name(&self) -> String {
        match self.arguments {
            Some(arguments) => format!("tracer {}", arguments.join(" ")),
            None => hooks::NAME.to_owned(),
        }
    }
}

pub(super) fn bulk(bench: &mut Bench) -> Result<()> {
    let collector = Collector::start(bench)?;
    let mut cases = CASES.to_vec();
    cases.extend(collector.as_ref().map(|_| SPANS));
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let connect = || Ok(TcpStream::connect(address)?);
    compare(bench, "1 GiB over loopback", &cases, &listener, connect)?;
    let wire = Wire::new()?;
    let listener = wire.listen()?;
    let address = listener.local_addr()?;
    let connect = || wire.connect(&address);
    compare(
        bench,
        "1 GiB over veth, MTU 1500",
        &cases,
        &listener,
        connect,
    )
}

fn compare(
    bench: &mut Bench,
    what: &str,
    cases: &[Case],
    listener: &TcpListener,
    connect: impl Fn() -> Result<TcpStream>,
) -> Result<()> {
    let upload = || transfer(listener, &connect, BYTES, &bench.stop);
    let uploads = || -> Result<Transfer> {
        let all: Result<Vec<Transfer>> = (0..UPLOADS).map(|_| upload()).collect();
        Ok(Transfer::mean(&all?))
    };
    // The first one finds everything cold.
    upload()?;
    let (base, runs) = interleave(bench.rounds, cases, |case| {
        let name = case.map_or_else(|| "untraced".to_owned(), Case::name);
        log(&format!("bulk: {what}: {name}"));
        let Some(case) = case else {
            let Transfer { took, cpu } = uploads()?;
            return Ok([speed(took), milliseconds(cpu), 0.0, 0.0]);
        };
        let Some(arguments) = case.arguments else {
            let hooks = Hooks::attach()?;
            let Transfer { took, cpu } = uploads()?;
            hooks.detach();
            return Ok([speed(took), milliseconds(cpu), 0.0, 0.0]);
        };
        let tracing = Tracing::start(bench, arguments)?;
        let before = tracing.process().cpu()?;
        let Transfer { took, cpu } = uploads()?;
        let tracer = tracing.process().cpu()?.saturating_sub(before);
        let Summary {
            connections, lost, ..
        } = tracing.end(&bench.stop)?;
        if lost == 0 && connections < UPLOADS.into() {
            bail!(
                "the tracer reported {connections} of {UPLOADS} connections: its cost cannot be compared"
            );
        }
        Ok([
            speed(took),
            milliseconds(cpu),
            milliseconds(tracer / UPLOADS),
            lost as f64,
        ])
    })?;
    add_rows(bench, "untraced", what, &base, None);
    for (case, runs) in cases.iter().zip(&runs) {
        add_rows(bench, &case.name(), what, runs, case.asked);
    }
    Ok(())
}

fn add_rows(bench: &mut Bench, case: &str, what: &str, runs: &Runs<4>, asked: Option<Asked>) {
    let row = |unit, n| Row::new(PART, case, what, unit, runs.number(n));
    let ratio = |row: Row, n| row.beside("traced ÷ untraced", runs.ratio(n));
    bench.add_row(row("MB/s", 0).map(|row| ratio(row, 0).asking(asked)));
    bench.add_row(row("ms of CPU each, both ends", 1).map(|row| ratio(row, 1)));
    if !runs.ratios.is_empty() {
        bench.add_row(row("ms of CPU each, the tracer's own", 2));
        bench.add_row(row("records lost, as it says", 3));
    }
}

/// In MB/s, of 10^6 bytes.
fn speed(took: Duration) -> f64 {
    BYTES as f64 / 1e6 / took.as_secs_f64()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
