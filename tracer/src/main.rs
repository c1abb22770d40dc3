//! Parse, run, report.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use anyhow::Result;
use clap::Parser as _;
use mimalloc::MiMalloc;
use tracer::{
    CannotStart,
    cli::{Cli, Command},
    stderr,
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// Every event makes and frees a few small things, on two threads.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.verbose);
    match run(&cli).await {
        Ok(status) => status,
        Err(error) => {
            stderr::message(&format!("{error:#}"));
            error
                .downcast_ref()
                .map_or(ExitCode::FAILURE, |error: &CannotStart| {
                    error.exit_code().into()
                })
        }
    }
}

async fn run(cli: &Cli) -> Result<ExitCode> {
    match &cli.command {
        None => tracer::trace(&cli.trace, &cli.output).await,
        Some(Command::Doctor) => tracer::doctor(),
        Some(Command::Record(record)) => {
            tracer::record(&record.file, &record.trace, &record.output).await
        }
        Some(Command::Replay { file, output }) => {
            tracer::replay(file, output).map(|()| ExitCode::SUCCESS)
        }
    }
}

fn log_to_stderr(verbose: u8) {
    let targets = Targets::new().with_default(LevelFilter::WARN);
    let targets = match verbose {
        0 => targets,
        1 => targets.with_target("tracer", LevelFilter::DEBUG),
        _ => targets
            .with_target("tracer", LevelFilter::TRACE)
            .with_target("aya", LevelFilter::DEBUG)
            .with_target("programs", LevelFilter::TRACE),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| stderr::Log)
        .with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(lines)
        .with(targets)
        .init();
}
