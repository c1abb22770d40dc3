//! The cost of a run of each eBPF program, the tracer's and its peers', as the kernel counts it:
//! while connections come and go, and during one long upload, where nearly every segment is only
//! counted.
//!
//! Counting costs some tens of nanoseconds a run itself. Empty programs at the tracer's hooks show how many, in each
//! round anew, and that is taken off.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

use super::{
    Bench,
    interleave::Spread,
    listening::free_address,
    load::Load,
    peer::Peer,
    process::Process,
    programs::{Cost, Counting, between, costs},
    report::{Asked, Row},
    server::{client, raw::RawLoop},
    tracer_under_test::{DEFAULT, Ended, NOTHING, SEGMENTS, TracerUnderTest},
};
use xtask::command::log;

const PART: &str = "events";
/// Length of each run.
const SECONDS: u32 = 1;
/// Their runs take nothing but the time to count them.
const EMPTY: TracerUnderTest = TracerUnderTest::Hooks;
/// The long upload.
const UPLOAD: u64 = 1 << 30;
/// A program with fewer runs per connection does not run because of the load.
const REGULAR: f64 = 0.01;
/// Of the long upload's segments, at most this part may be worth a record.
const RECORDED: f64 = 0.05;

/// The tracer's program at `inet_sock_set_state`, and the most nanoseconds that a run of it may
/// take.
const STATE_PROGRAM: (&str, f64) = ("tracer_state", 400.0);
/// Its programs that see segments, and the most nanoseconds for a segment that is only counted.
const SEGMENT_PROGRAMS: ([&str; 2], f64) = (["tracer_in", "tracer_out"], 250.0);

/// The numbers of one program, one for each round.
#[derive(Default)]
struct Found {
    ns_per_run: Vec<f64>,
    runs: Vec<f64>,
}

pub(super) fn events(bench: &mut Bench) -> Result<()> {
    let _counting = Counting::start()?;
    let load = Load::start(bench)?;
    let mut subjects = vec![DEFAULT, SEGMENTS, NOTHING];
    let peers = Peer::able(bench, &load)?;
    // tcpdump's filter is no program that the kernel counts.
    let peers = peers.into_iter().filter(|peer| *peer != Peer::Tcpdump);
    subjects.extend(peers.map(TracerUnderTest::Peer));
    let mut found: Vec<BTreeMap<String, Found>> = Vec::new();
    found.resize_with(subjects.len(), BTreeMap::new);
    let mut in_all: Vec<Vec<f64>> = vec![Vec::new(); subjects.len()];
    let mut upload = BTreeMap::new();
    let mut records = Vec::new();
    let mut counting = Vec::new();
    for _ in 0..bench.rounds {
        log(&format!("events: {}", EMPTY.name()));
        let (empty, _) = churn(bench, &load, &EMPTY)?;
        if empty.is_empty() {
            bail!("the kernel did not count the runs of empty programs");
        }
        let counting_ns = Cost::of_all(&empty).ns_per_run();
        counting.push(counting_ns);
        for ((subject, found), in_all) in subjects.iter().zip(&mut found).zip(&mut in_all) {
            log(&format!("events: {}", subject.name()));
            let (costs, connections) = churn(bench, &load, subject)?;
            let costs = without(costs, counting_ns);
            let time: f64 = costs.iter().map(|cost| cost.time.as_secs_f64()).sum();
            in_all.push(time * 1e6 / connections);
            record(found, costs, connections);
        }
        log(&format!("events: {}, one long upload", DEFAULT.name()));
        let (costs, recorded) = one_upload(bench, &load)?;
        records.push(recorded);
        record(&mut upload, without(costs, counting_ns), 1.0);
    }
    let (measure, counting) = ("counting, taken off below", Spread::of(counting));
    bench.add_row(Row::new(
        PART,
        EMPTY.name(),
        measure,
        "ns per run",
        counting,
    ));
    for ((subject, found), in_all) in subjects.iter().zip(found).zip(in_all) {
        let name = subject.name();
        for (program, found) in found.iter().filter(|(_, found)| found.is_regular()) {
            let asked = (program == STATE_PROGRAM.0).then_some(Asked::AtMost(STATE_PROGRAM.1));
            add_rows(bench, &name, program, "runs per connection", found, asked);
        }
        let all = Spread::of(in_all).filter(|_| !found.is_empty());
        let unit = "µs per connection, without counting";
        bench.add_row(Row::new(PART, name, "all programs", unit, all));
    }
    let name = format!("{}, 1 GiB upload", DEFAULT.name());
    for (program, found) in &upload {
        let (segment, most) = SEGMENT_PROGRAMS;
        let asked = segment
            .contains(&program.as_str())
            .then_some(Asked::AtMost(most));
        add_rows(bench, &name, program, "runs", found, asked);
    }
    let measure = "records of all segments";
    bench.add_row(Row::new(PART, name, measure, "%", Spread::of(records)));
    Ok(())
}

/// What its programs cost while connections come and go, and how many these were.
fn churn(bench: &Bench, load: &Load, subject: &TracerUnderTest) -> Result<(Vec<Cost>, f64)> {
    let ((costs, connections), ended) = counted(bench, load, subject, || {
        Ok(load.run(SECONDS, &bench.stop)?.connections)
    })?;
    subject.check(&ended, connections)?;
    Ok((costs, connections))
}

/// What the tracer's programs cost during one long upload, and of how many percent of the segments
/// it got a record.
fn one_upload(bench: &Bench, load: &Load) -> Result<(Vec<Cost>, f64)> {
    let home = tempfile::tempdir_in(bench.scratch.path())?;
    let server = RawLoop::start(free_address()?, home.path().to_owned())?;
    let ((costs, ()), ended) = counted(bench, load, &DEFAULT, || {
        client::at_once(server.address(), 1, UPLOAD, &bench.stop)
    })?;
    let is_segment = |cost: &&Cost| SEGMENT_PROGRAMS.0.contains(&cost.name.as_str());
    let segments: u64 = costs.iter().filter(is_segment).map(|cost| cost.runs).sum();
    let summary = ended.summary.context("the tracer gives a summary")?;
    let recorded = summary.events as f64 / segments as f64;
    if segments == 0 || recorded > RECORDED {
        bail!(
            "{} records of {segments} segments: too many for segments that are only counted",
            summary.events
        );
    }
    Ok((costs, recorded * 100.0))
}

/// What its programs cost during `work`.
fn counted<T>(
    bench: &Bench,
    load: &Load,
    subject: &TracerUnderTest,
    work: impl FnOnce() -> Result<T>,
) -> Result<((Vec<Cost>, T), Ended)> {
    let running = subject.start(bench, load)?;
    // Empty programs are this process's own.
    let pid = running.process().map_or_else(std::process::id, Process::id);
    let before = costs(pid)?;
    let done = work()?;
    running.check()?;
    let costs = between(&before, costs(pid)?);
    Ok(((costs, done), running.end(&bench.stop)?))
}

/// Takes off what counting took.
fn without(costs: Vec<Cost>, counting_ns: f64) -> Vec<Cost> {
    let less = costs.into_iter().map(|cost| cost.without(counting_ns));
    less.collect()
}

impl Found {
    /// Whether this ran because of the connections, in every round.
    fn is_regular(&self) -> bool {
        self.runs.iter().all(|runs| *runs >= REGULAR)
    }
}

fn record(found: &mut BTreeMap<String, Found>, costs: Vec<Cost>, connections: f64) {
    for cost in costs {
        let (ns_per_run, runs) = (cost.ns_per_run(), cost.runs as f64 / connections);
        let found = found.entry(cost.name).or_default();
        found.ns_per_run.push(ns_per_run);
        found.runs.push(runs);
    }
}

fn add_rows(
    bench: &mut Bench,
    case: &str,
    program: &str,
    runs: &'static str,
    found: &Found,
    asked: Option<Asked>,
) {
    let row = |unit, numbers: &[f64]| {
        Row::new(
            PART,
            case,
            program,
            unit,
            Spread::of(numbers.iter().copied()),
        )
    };
    let ns_per_run = row("ns per run, without counting", &found.ns_per_run);
    bench.add_row(ns_per_run.map(|row| row.asking(asked)));
    bench.add_row(row(runs, &found.runs));
}
