//! Fuzzes the tracer's parsers with cargo-fuzz, from the seeds in `tracer/fuzz`.
//!
//! Without AddressSanitizer, which needs a nightly toolchain: the parsers have no `unsafe` for it
//! to watch. The targets are built with the stable toolchain, with overflow checks.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use xtask::{
    command::{cargo, log, run, target_dir, workspace},
    setup,
};

const FOLDER: &str = "tracer/fuzz";
const TARGETS: [&str; 8] = [
    "btf",
    "capture",
    "event",
    "hidden",
    "segment",
    "payload",
    "recording",
    "two_captures",
];

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask fuzz                              each parser for a minute
  cargo xtask fuzz recording --seconds 3600     the whole core for an hour
  cargo xtask fuzz --seeds                      after a change of the record layout")]
pub(crate) struct Arguments {
    /// Fuzz only this parser
    #[arg(value_parser = TARGETS)]
    target: Option<String>,
    /// Fuzz each parser for N seconds
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// Only make the seeds again, from the tests' recordings and captures
    #[arg(long, conflicts_with_all = ["target", "seconds"])]
    seeds: bool,
}

pub(crate) fn fuzz(arguments: &Arguments) -> Result<()> {
    if arguments.seeds {
        setup::for_build()?;
        return make_seeds();
    }
    setup::for_fuzzing()?;
    run(cargo()
        .args(["fuzz", "build", "--fuzz-dir", FOLDER, "--sanitizer", "none"])
        .arg("--target-dir")
        .arg(build_dir()))?;
    let mut found = Vec::new();
    for target in TARGETS {
        if arguments
            .target
            .as_deref()
            .is_some_and(|only| only != target)
        {
            continue;
        }
        let seconds = arguments.seconds;
        match run_target(target, seconds) {
            Ok(()) => log(&format!("{target}: nothing found in {seconds} s")),
            Err(error) => {
                log(&format!("{target}: {error:#}"));
                found.push(target);
            }
        }
    }
    if !found.is_empty() {
        bail!(
            "the fuzzer found failures in {}: see above; the inputs are in {FOLDER}/artifacts. Make a test of each before fixing it",
            found.join(", ")
        );
    }
    Ok(())
}

/// The corpus stays in the target directory for the next run.
fn run_target(target: &str, seconds: u32) -> Result<()> {
    let corpus = build_dir().join("corpus").join(target);
    fs::create_dir_all(&corpus).with_context(|| corpus.display().to_string())?;
    run(cargo()
        .args(["fuzz", "run", "--fuzz-dir", FOLDER, "--sanitizer", "none"])
        .arg("--target-dir")
        .arg(build_dir())
        .arg(target)
        .arg(corpus)
        .arg(Path::new(FOLDER).join("seeds").join(target))
        .arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .args(["-timeout=10", "-verbosity=0", "-print_final_stats=1"]))
}

fn make_seeds() -> Result<()> {
    let manifest = workspace().join(FOLDER).join("Cargo.toml");
    run(cargo()
        .args(["run", "--quiet", "--locked", "--example", "seeds"])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(build_dir()))
}

fn build_dir() -> PathBuf {
    target_dir().join("fuzz")
}
