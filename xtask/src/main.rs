//! `cargo xtask VERB`: one file per verb. CI calls the same verbs.

mod check;
mod clients;
mod endless;
mod fuzz;
mod integrity;
mod lab;
mod portable;
mod run;
mod service;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::setup;

/// Run, test, check and measure the project
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start the upload server and the tracer; print a timeline per upload until Ctrl-C
    Run(run::Arguments),
    /// Run every test, those on the running kernel included
    Test(test::Arguments),
    /// Compare 10,000 stored uploads with what was sent, and let calls of the file system fail: some minutes
    Integrity(integrity::Arguments),
    /// Check that a million connections do not grow the tracer's memory: some minutes
    Endless(endless::Arguments),
    /// Check that each upload of two dozen clients is told: some minutes
    Clients,
    /// Measure what tracing costs and how fast the upload server is, side by side with their peers
    Bench(lab::Arguments),
    /// Compare what the tracer reads of captures with what tshark does, segment by segment
    Captures(lab::Arguments),
    /// Search for the requests that cost the upload server the most memory, disk or CPU time a byte
    Cost(lab::Arguments),
    /// Make uploads slow in known ways, and compare what the tracer says held each back: some minutes
    HeldBack(lab::Arguments),
    /// Upload through proxies, and compare the client that the tracer names with the one that uploaded
    Hops(lab::Arguments),
    /// Run kernel tests on Debian's kernels in virtual machines and on this kernel; print one table
    Kernels(lab::Arguments),
    /// Check formatting, lints, documentation and dependencies; warnings are errors
    Check,
    /// Build archives, packages and container images of both programs, and the source that needs no nightly toolchain
    Dist(lab::Arguments),
    /// Build the tracer for systems without eBPF: test it for Windows under wine, check it for macOS
    Portable,
    /// Fuzz the tracer's parsers, from the seeds in tracer/fuzz
    Fuzz(fuzz::Arguments),
    /// Install what building needs and this machine lacks
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
        Verb::Clients => clients::clients(),
        Verb::Bench(arguments) => match lab::run("bench", &arguments)? {},
        Verb::Captures(arguments) => match lab::run("captures", &arguments)? {},
        Verb::Cost(arguments) => match lab::run("cost", &arguments)? {},
        Verb::HeldBack(arguments) => match lab::run("held-back", &arguments)? {},
        Verb::Hops(arguments) => match lab::run("hops", &arguments)? {},
        Verb::Kernels(arguments) => match lab::run("kernels", &arguments)? {},
        Verb::Check => check::check(),
        Verb::Dist(arguments) => match lab::run("dist", &arguments)? {},
        Verb::Portable => portable::portable(),
        Verb::Fuzz(arguments) => fuzz::fuzz(&arguments),
        Verb::Setup => setup::for_build(),
    }
}

#[cfg(test)]
mod tests {
    use xtask::documents::{check, commands};

    use super::Cli;

    #[test]
    fn the_commands_in_the_documents_are_understood() {
        check::<Cli>(&commands("cargo xtask").unwrap()).unwrap();
    }
}
