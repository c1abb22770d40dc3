//! Parse, run, report.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use anyhow::Result;
use clap::Parser as _;
use mimalloc::MiMalloc;
use tracer::{
    CannotStart,
    cli::{Cli, Command},
};
use tracing_subscriber::EnvFilter;

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
            let _ = writeln!(io::stderr(), "tracer: {error:#}");
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
    let filter = match verbose {
        0 => "warn",
        1 => "warn,tracer=debug",
        _ => "warn,tracer=trace,aya=debug,programs=trace",
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}
