//! Parse, run, report.

use std::process::ExitCode;

use anyhow::Result;
use tracer::{
    cli::{Cli, Command},
    stderr,
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// Every event makes and frees a few small things, on two threads.
#[cfg(not(target_os = "macos"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    stderr::report_panics();
    let cli = Cli::of_process().unwrap_or_else(|error| stderr::refuse(&error));
    log_to_stderr(cli.verbose);
    match run(&cli) {
        Ok(status) => status,
        Err(error) => {
            stderr::message(&format!("{error:#}"));
            tracer::exit_code(&error)
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    match &cli.command {
        Some(Command::Read(arguments)) => tracer::read(arguments).map(|()| ExitCode::SUCCESS),
        Some(Command::Replay { file, output }) => {
            tracer::replay(file, output).map(|()| ExitCode::SUCCESS)
        }
        None | Some(Command::Record(_) | Command::Doctor) => tracer::live(cli),
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
        .with_ansi(stderr::is_terminal());
    tracing_subscriber::registry()
        .with(lines)
        .with(targets)
        .init();
}
