//! Uploads whose cause of delay is known, because this program makes it, and what the tracer says of each:
//! from both ends, from the client's alone, from the server's alone, and from what tcpdump captured at each.

mod capture;
mod judgement;
mod programs;
mod scenario;
mod scenarios;
pub(crate) mod stage;
mod table;
mod watch;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use xtask::{
    command::{is_root, log},
    setup,
};

use self::{
    judgement::Judgement,
    programs::{MAX_UPLOADS, Programs},
    scenario::{Held, Scenario},
    stage::Stage,
    table::Results,
    watch::Watch,
};
use crate::{
    bench::{process::Process, stop::Stop},
    under_test::{binaries, scratch},
};

/// Which uploads, how often, and beside what.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask held-back                                every scenario three times
  cargo xtask held-back --list                         their names, and what must be told of each
  cargo xtask held-back --only nagle --rounds 1        those whose name contains `nagle`
  cargo xtask held-back --only control: --rounds 10    uploads that nothing holds back
  cargo xtask held-back --busy 2 --record runs         beside two busy processes; keep the recordings
  cargo xtask held-back --replay runs                  judge them again, without root")]
pub(crate) struct Arguments {
    /// Run only scenarios whose name contains NAME (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Run each scenario N times
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Judge what is told from these ends [default: from everywhere]
    #[arg(long, value_enum, value_name = "ENDS")]
    from: Vec<SeenFrom>,
    /// Let N uploads run at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=100))]
    at_once: u8,
    /// Keep N processors busy meanwhile
    #[arg(long, value_name = "N", default_value_t = 0)]
    busy: u32,
    /// Let N of a hundred verdicts be wrong
    #[arg(long, value_name = "N", default_value_t = 5)]
    allow: u32,
    /// Print the scenarios, and end
    #[arg(long)]
    list: bool,
    /// Keep the recordings and the captures in DIR
    #[arg(long, value_name = "DIR", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Judge the recordings and the captures in DIR
    #[arg(long, value_name = "DIR")]
    replay: Option<PathBuf>,
    /// Test the `tracer` and the `upload-server` in DIR [default: this source, built with --release]
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
}

/// SeenFrom where an upload is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum SeenFrom {
    /// Both ends are traced
    Both,
    /// The client's end alone
    Client,
    /// The server's end alone
    Server,
    /// A capture at the client's end
    ClientCapture,
    /// A capture at the server's end
    ServerCapture,
}

impl SeenFrom {
    const ALL: [Self; 5] = [
        Self::Both,
        Self::Client,
        Self::Server,
        Self::ClientCapture,
        Self::ServerCapture,
    ];

    /// As in the table, and in the names of recordings.
    const fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Client => "client",
            Self::Server => "server",
            Self::ClientCapture => "client capture",
            Self::ServerCapture => "server capture",
        }
    }

    const fn is_capture(self) -> bool {
        matches!(self, Self::ClientCapture | Self::ServerCapture)
    }

    /// Where a kernel measures what a capture shows.
    const fn measured(self) -> Option<Self> {
        match self {
            Self::ClientCapture => Some(Self::Client),
            Self::ServerCapture => Some(Self::Server),
            Self::Both | Self::Client | Self::Server => None,
        }
    }
}

/// An upload that was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Run {
    scenario: String,
    number: u16,
    /// What the ends held back on purpose.
    held: Vec<Held>,
}

pub(crate) fn held_back(arguments: &Arguments) -> Result<()> {
    let scenarios = chosen(&arguments.only)?;
    if arguments.list {
        for scenario in &scenarios {
            println!("{:48} {}", scenario.name, scenario.truth);
        }
        return Ok(());
    }
    let binaries = binaries(arguments.binaries.as_deref())?;
    let stop = Stop::listen()?;
    let scratch = scratch("held-back-")?;
    let mut results = Results::default();
    let views = match arguments.from.as_slice() {
        [] => SeenFrom::ALL.to_vec(),
        some => some.to_vec(),
    };
    let (runs, seen) = match &arguments.replay {
        Some(folder) => {
            let runs = fs::read(folder.join("runs.json")).context("no runs.json")?;
            let seen = watch::replay(&binaries, folder, &views, &stop)?;
            (serde_json::from_slice::<Vec<Run>>(&runs)?, seen)
        }
        None => {
            if !is_root() {
                bail!("the tracer and the wires need root");
            }
            setup::for_held_back()?;
            let programs = Programs::new(&binaries, scratch.path())?;
            upload(arguments, &scenarios, &programs, &views, &stop)?
        }
    };
    for run in &runs {
        let Some(scenario) = scenarios.iter().find(|one| one.name == run.scenario) else {
            continue;
        };
        for (from, timelines) in seen.iter().filter(|(from, _)| scenario.is_seen(*from)) {
            let found = timelines.of(run.number);
            results.add(Judgement::of(scenario, *from, run, &found));
        }
    }
    print!("{results}");
    let planned = scenarios.len() * usize::try_from(arguments.rounds)?;
    if arguments.replay.is_none() && runs.len() < planned {
        let failed = planned - runs.len();
        bail!("{failed} of {planned} uploads could not be made: see above");
    }
    results.check(arguments.allow)
}

fn chosen(only: &[String]) -> Result<Vec<&'static Scenario>> {
    let is_chosen = |scenario: &&Scenario| {
        only.is_empty()
            || only
                .iter()
                .any(|part| scenario.name.contains(part.as_str()))
    };
    let chosen: Vec<_> = scenarios::all().filter(is_chosen).collect();
    if chosen.is_empty() {
        bail!("no scenario has such a name: see --list");
    }
    Ok(chosen)
}

type Seen = Vec<(SeenFrom, watch::Timelines)>;

/// Makes the uploads while a tracer watches from each view.
fn upload(
    arguments: &Arguments,
    scenarios: &[&'static Scenario],
    programs: &Programs,
    views: &[SeenFrom],
    stop: &Stop,
) -> Result<(Vec<Run>, Seen)> {
    let rounds = usize::try_from(arguments.rounds)?;
    let planned: Vec<_> = std::iter::repeat_n(scenarios, rounds)
        .flatten()
        .copied()
        .collect();
    let uploads = u16::try_from(planned.len()).unwrap_or(u16::MAX);
    if uploads > MAX_UPLOADS {
        bail!(
            "{} uploads are more than {MAX_UPLOADS}: choose fewer",
            planned.len()
        );
    }
    let stage = Stage::new()?;
    let record = arguments.record.as_deref();
    let watch = Watch::start(programs, &stage, (views, uploads), record, stop)?;
    let _busy = (0..arguments.busy)
        .map(|_| busy())
        .collect::<Result<Vec<_>>>()?;
    let work = Work {
        planned,
        next: AtomicUsize::new(0),
        done: Mutex::new(Vec::new()),
    };
    thread::scope(|scope| {
        let (work, stage) = (&work, &stage);
        let start = |wire| scope.spawn(move || work.carry_out(wire, programs, stage, stop));
        let workers: Vec<_> = (0..arguments.at_once).map(start).collect();
        for worker in workers {
            match worker.join() {
                Ok(outcome) => outcome?,
                Err(_) => bail!("a thread that uploads failed"),
            }
        }
        Ok(())
    })?;
    let done = work.done.into_inner();
    let runs = done.unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = record {
        fs::write(folder.join("runs.json"), serde_json::to_vec_pretty(&runs)?)?;
    }
    stage.settle(stop)?;
    Ok((runs, watch.end(programs, stop)?))
}

/// The uploads that are to be made, and those that were.
struct Work {
    planned: Vec<&'static Scenario>,
    next: AtomicUsize,
    done: Mutex<Vec<Run>>,
}

impl Work {
    /// Makes one upload after the other over the wire with this number, until none is left.
    fn carry_out(&self, wire: u8, programs: &Programs, stage: &Stage, stop: &Stop) -> Result<()> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(scenario) = self.planned.get(number) else {
                return Ok(());
            };
            let number = u16::try_from(number)?;
            match programs.upload(scenario, stage, (wire, number), stop) {
                Ok(held) => self.add(Run {
                    scenario: scenario.name.to_owned(),
                    number,
                    held,
                }),
                Err(error) => {
                    stop.check()?;
                    log(&format!("{}: {error:#}", scenario.name));
                }
            }
        }
    }

    fn add(&self, run: Run) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let (made, all) = (done.len() + 1, self.planned.len());
        log(&format!("{made} of {all}: {}", run.scenario));
        done.push(run);
    }
}

/// A process that takes as much of a processor as it gets.
fn busy() -> Result<Process> {
    let mut command = Command::new("sh");
    command.args(["-c", "while :; do :; done"]);
    Process::start("sh", command.stdout(Stdio::null()))
}
