//! What needs the kernel: live tracing, recording, and the check that both work here.

use std::{path::Path, process::ExitCode};

use anyhow::{Context as _, Result};
use tokio::runtime;

use super::{
    command::CannotStart,
    live_outputs::LiveOutputs,
    outputs::Outputs,
    plan::{Ended, Plan},
    unmatched,
};
use crate::{
    caller::Caller,
    cli::{Cli, Command, OutputArgs, TraceArgs},
    doctor::doctor,
    ending::Ending,
    message,
    sink::{
        Interfaces, MetricsListener, RecordingFile, Screen, WhenBehind, output_file::OutputFile,
    },
    system::survive_file_size_limit,
};

/// Carries out a command that needs the kernel.
pub fn live(cli: &Cli) -> Result<ExitCode> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let status = match &cli.command {
        Some(Command::Doctor) => return doctor(),
        Some(Command::Record(record)) => {
            runtime.block_on(self::record(&record.file, &record.trace, &record.output))
        }
        _ => runtime.block_on(trace(&cli.trace, &cli.output)),
    };
    // Unlike dropping it, this does not wait for threads that list sockets.
    runtime.shutdown_background();
    status
}

/// The exit status that an error asks for.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    error
        .downcast_ref()
        .map_or(ExitCode::FAILURE, |error: &CannotStart| {
            error.exit_code().into()
        })
}

async fn trace(arguments: &TraceArgs, output: &OutputArgs) -> Result<ExitCode> {
    survive_file_size_limit()?;
    let caller = Caller::find()?;
    let metrics = metrics(arguments, &caller)?;
    let plan = Plan::choose(arguments, output, &caller)
        .await?
        .leaving_out(metrics.as_ref().map(MetricsListener::address))?;
    let ending = Ending::default();
    let mut outputs = Outputs::open(
        output,
        plan.scope,
        pcapng(arguments),
        &caller,
        WhenBehind::Drop,
        &ending,
    )?
    .with_live(
        LiveOutputs::default()
            .with_count(arguments.count)
            .with_screen(screen(arguments, output, &ending)?)
            .with_web(plan.server(), &ending)?
            .with_metrics(metrics)?,
    );
    let ended = plan
        .run(arguments, ending, |input| outputs.take(input))
        .await?;
    explain_nothing(&outputs, arguments, &ended);
    outputs.finish()?;
    Ok(ended.status)
}

/// The view on the terminal, if it is asked for.
fn screen(arguments: &TraceArgs, output: &OutputArgs, ending: &Ending) -> Result<Option<Screen>> {
    if !arguments.top {
        return Ok(None);
    }
    Screen::start(output.choice(), output.explain, ending.clone()).map(Some)
}

/// Where packets are written, as each end saw them.
fn pcapng(arguments: &TraceArgs) -> Option<(&Path, Interfaces)> {
    let path = arguments.pcapng.as_deref()?;
    Some((path, Interfaces::Ends))
}

/// Where scrapers are answered. It listens before anything is traced.
fn metrics(arguments: &TraceArgs, caller: &Caller) -> Result<Option<MetricsListener>> {
    let address = arguments.metrics.as_deref();
    address
        .map(|address| MetricsListener::bind(address, caller))
        .transpose()
}

/// Traces live, and records the inputs into `file`.
async fn record(file: &Path, arguments: &TraceArgs, output: &OutputArgs) -> Result<ExitCode> {
    survive_file_size_limit()?;
    let caller = Caller::find()?;
    let unwritable = || caller.cannot(&format!("the recording {}", file.display()), "written");
    let created = OutputFile::create(file, &caller).with_context(unwritable)?;
    let metrics = metrics(arguments, &caller)?;
    let plan = Plan::choose(arguments, output, &caller)
        .await?
        .with_samples()
        .leaving_out(metrics.as_ref().map(MetricsListener::address))?;
    let ending = Ending::default();
    let recording = RecordingFile::begin(file, created, plan.scope, plan.chosen_ports(), &ending)
        .with_context(unwritable)?;
    let mut outputs = Outputs::open(
        output,
        plan.scope,
        pcapng(arguments),
        &caller,
        WhenBehind::Drop,
        &ending,
    )?
    .with_live(
        LiveOutputs::default()
            .with_count(arguments.count)
            .with_screen(screen(arguments, output, &ending)?)
            .with_recording(recording)
            .with_web(plan.server(), &ending)?
            .with_metrics(metrics)?,
    );
    let ended = plan
        .run(arguments, ending, |input| outputs.take(input))
        .await?;
    explain_nothing(&outputs, arguments, &ended);
    outputs.finish()?;
    Ok(ended.status)
}

/// Explains why nothing was traced, unless something was, or the kernel lost some of it.
fn explain_nothing(outputs: &Outputs, arguments: &TraceArgs, ended: &Ended) {
    if outputs.traced_nothing()
        && let Some(sentence) = unmatched::explain(arguments, ended.refused)
    {
        message(&sentence);
    }
}
