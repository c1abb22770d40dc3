//! The commands: live tracing, recording and replaying, each from its source through the pipeline
//! to the sink.

pub mod command;
mod outputs;
mod plan;
mod unmatched;

use std::{fs::File, io::BufReader, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};

pub use self::command::CannotStart;
use crate::{
    caller::Caller,
    cli::{OutputArgs, TraceArgs},
    core::input::{Flow, Input},
    message,
    session::{
        outputs::Outputs,
        plan::{Ended, Plan},
    },
    sink::{RecordingFile, WhenBehind, output_file::OutputFile, survive_file_size_limit},
    source::recording::Recording,
};

pub async fn trace(arguments: &TraceArgs, output: &OutputArgs) -> Result<ExitCode> {
    survive_file_size_limit()?;
    let caller = Caller::find()?;
    let plan = Plan::choose(arguments, output, &caller).await?;
    let mut outputs = Outputs::open(
        output,
        plan.scope,
        Some(arguments),
        &caller,
        WhenBehind::Drop,
    )?
    .with_web(plan.server())?;
    let ended = plan.run(arguments, |input| outputs.take(input)).await?;
    explain_nothing(&outputs, arguments, &ended);
    outputs.finish()?;
    Ok(ended.status)
}

/// Traces live, and records the inputs into `file`.
pub async fn record(file: &Path, arguments: &TraceArgs, output: &OutputArgs) -> Result<ExitCode> {
    survive_file_size_limit()?;
    let caller = Caller::find()?;
    let unwritable = || caller.cannot(&format!("the recording {}", file.display()), "written");
    let created = OutputFile::create(file, &caller).with_context(unwritable)?;
    let plan = Plan::choose(arguments, output, &caller).await?;
    let recording = RecordingFile::begin(file, created, plan.scope).with_context(unwritable)?;
    let mut outputs = Outputs::open(
        output,
        plan.scope,
        Some(arguments),
        &caller,
        WhenBehind::Drop,
    )?
    .with_recording(recording)
    .with_web(plan.server())?;
    let ended = plan.run(arguments, |input| outputs.take(input)).await?;
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

pub fn replay(file: &Path, output: &OutputArgs) -> Result<()> {
    survive_file_size_limit()?;
    let caller = Caller::find()?;
    let named = file.to_owned();
    let opened = caller
        .act(move || File::open(named))
        .with_context(|| caller.cannot(&file.display().to_string(), "opened"))?;
    let mut recording = Recording::open(BufReader::new(opened))
        .with_context(|| format!("{} cannot be replayed", file.display()))?;
    let mut outputs = Outputs::open(output, recording.scope(), None, &caller, WhenBehind::Wait)?;
    let damage = loop {
        match recording.read() {
            Ok(Some(input)) => {
                if outputs.take(input) == Flow::Enough {
                    break None;
                }
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    let _ = outputs.take(Input::Shutdown);
    outputs.finish()?;
    damage.map_or(Ok(()), |error| {
        Err(error).with_context(|| format!("{} is damaged or incomplete", file.display()))
    })
}
