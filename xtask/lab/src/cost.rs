//! What a byte of a client costs the upload server at most: a search for the requests that take the most memory,
//! disk or CPU time, over everything that a client may send.

mod candidate;
mod client;
mod kind;
mod measure;
mod pool;
mod request;
mod server;
mod table;

use std::{
    collections::HashSet,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::Args;
use xtask::command::{cargo, log, run, target_dir};

use self::{
    candidate::Candidate,
    measure::{Cost, Lab, MOST_PER_BYTE},
    table::Results,
};
use crate::bench::stop::Stop;

/// How many of the worst are mutated.
const PARENTS: usize = 12;

/// What to search, and for how long.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask cost --quick                   only what was the worst before, within a minute
  cargo xtask cost --seconds 3600            search for an hour
  cargo xtask cost --seed 7 --rounds 500     the same search again")]
pub(crate) struct Arguments {
    /// Only measure what the search begins with, once
    #[arg(long, conflicts_with_all = ["seconds", "rounds"])]
    quick: bool,
    /// Search for N seconds
    #[arg(long, value_name = "N", default_value_t = 300)]
    seconds: u64,
    /// Try N mutations [default: as many as there is time for]
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    rounds: Option<u32>,
    /// Begin the random numbers with N [default: a random one]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Measure the `upload-server` in DIR [default: this source, built with --release]
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
}

pub(crate) fn cost(arguments: &Arguments) -> Result<()> {
    let binaries = match &arguments.binaries {
        Some(directory) => directory.clone(),
        None => {
            let mut build = cargo();
            run(build.args([
                "build",
                "--release",
                "--locked",
                "--package",
                "upload-server",
            ]))?;
            target_dir().join("release")
        }
    };
    let stop = Stop::listen()?;
    let mut lab = Lab::new(binaries.join("upload-server"), &stop);
    let mut results = Results::default();
    let mut seen = HashSet::new();
    for candidate in Candidate::corpus() {
        add(lab.measure(&candidate)?, &mut results);
        seen.insert(candidate);
    }
    if !arguments.quick {
        search(arguments, &mut lab, &mut results, seen)?;
    }
    print!("{results}\n{}", pool::Pools);
    let too_much = results.too_much();
    if too_much > 0 {
        bail!("{too_much} loads cost more than {MOST_PER_BYTE} bytes of memory a byte");
    }
    Ok(())
}

fn search(
    arguments: &Arguments,
    lab: &mut Lab<'_>,
    results: &mut Results,
    mut seen: HashSet<Candidate>,
) -> Result<()> {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    log(&format!("cost: --seed {seed}"));
    let mut random = fastrand::Rng::with_seed(seed);
    let begun = Instant::now();
    for round in 0.. {
        let is_over = match arguments.rounds {
            Some(rounds) => round >= rounds,
            None => begun.elapsed() >= Duration::from_secs(arguments.seconds),
        };
        if is_over {
            break;
        }
        let Some(parent) = results.parent(PARENTS, &mut random) else {
            break;
        };
        let candidate = parent.mutated(&mut random);
        if seen.insert(candidate.clone()) {
            add(lab.measure(&candidate)?, results);
        }
    }
    Ok(())
}

/// Reports a load that takes more memory than all before it.
fn add(cost: Cost, results: &mut Results) {
    let share = cost.share_of_memory();
    if share > results.most_memory() {
        let (percent, load) = (100.0 * share, &cost.candidate);
        log(&format!(
            "cost: {percent:.0} % of the memory that it may take: {load}"
        ));
    }
    results.add(cost);
}
