//! The verbs of `cargo xtask` that measure, compare with tshark, and test in virtual machines.

mod bench;
mod captures;
mod cost;
mod held_back;
mod hops;
mod kernels;
mod under_test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Measure what tracing costs and how fast the upload server is, side by side with their peers
    Bench(bench::Arguments),
    /// Compare what the tracer reads of captures with what tshark does, segment by segment
    Captures(captures::Arguments),
    /// Search for the requests that cost the upload server the most memory, disk or CPU time a byte
    Cost(cost::Arguments),
    /// Make uploads slow in known ways, and compare what the tracer says held each back
    HeldBack(held_back::Arguments),
    /// Upload through proxies, and compare the client that the tracer names with the one that uploaded
    Hops(hops::Arguments),
    /// Run kernel tests on Debian's kernels in virtual machines and on this kernel; print one table
    Kernels(kernels::Arguments),
    /// The first process of such a machine
    #[command(hide = true)]
    Guest,
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
        Verb::Bench(arguments) => bench::bench(&arguments),
        Verb::Captures(arguments) => captures::captures(&arguments),
        Verb::Cost(arguments) => cost::cost(&arguments),
        Verb::HeldBack(arguments) => held_back::held_back(&arguments),
        Verb::Hops(arguments) => hops::hops(&arguments),
        Verb::Kernels(arguments) => kernels::kernels(&arguments),
        Verb::Guest => kernels::guest::guest(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use xtask::documents::{check, commands};

    use super::Cli;

    #[test]
    fn the_commands_in_the_documents_are_understood() {
        let mut commands = commands("cargo xtask").unwrap();
        commands.retain(|command| {
            let verb = command.words.get(1);
            verb.is_some_and(|verb| Cli::command().find_subcommand(verb).is_some())
        });
        check::<Cli>(&commands).unwrap();
    }
}
