//! The project's verbs. One file per verb; CI calls the same ones.

mod check;
mod endless;
mod fuzz;
mod integrity;
mod lab;
mod run;
mod service;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::setup;

/// The project's verbs
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start the upload server and the tracer; prints a timeline per upload until Ctrl-C
    Run(run::Arguments),
    /// Everything that a change must pass: unit tests, and tests on the running kernel
    Test(test::Arguments),
    /// Thousands of uploads to the server, each compared with what was sent: some minutes
    Integrity(integrity::Arguments),
    /// A million connections through one tracer, whose memory must not grow: some minutes
    Endless(endless::Arguments),
    /// What tracing costs, and how fast the upload server is, beside their peers
    Bench(lab::Arguments),
    /// The kernel tests on Debian's kernels, in virtual machines, and on the running one: one table
    Kernels(lab::Arguments),
    /// Formatting and lints, warnings denied
    Check,
    /// Feed hostile bytes to the tracer's parsers, from the seeds in tracer/fuzz
    Fuzz(fuzz::Arguments),
    /// Install what building needs, and nothing that is there already
    Setup,
}

fn main() -> ExitCode {
    match carry_out(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(verb: Verb) -> Result<()> {
    match verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Test(arguments) => test::test(&arguments),
        Verb::Integrity(arguments) => integrity::integrity(&arguments),
        Verb::Endless(arguments) => endless::endless(&arguments),
        Verb::Bench(arguments) => match lab::run("bench", &arguments)? {},
        Verb::Kernels(arguments) => match lab::run("kernels", &arguments)? {},
        Verb::Check => check::check(),
        Verb::Fuzz(arguments) => fuzz::fuzz(&arguments),
        Verb::Setup => setup::for_build(),
    }
}
