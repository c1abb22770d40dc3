//! The commands: live tracing, recording and replaying, each from its source through the pipeline
//! to the sink.

pub mod command;
mod outputs;
mod plan;
mod unmatched;

use std::{
    fs::File,
    io::{BufReader, BufWriter},
    path::Path,
    process::ExitCode,
};

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
    sink::{Recorder, WhenBehind, output_file::OutputFile},
    source::recording::Recording,
};

/// How often a recording is flushed, and its file checked for rotation.
const RENEW_EVERY_NS: u64 = 1_000_000_000;

pub async fn trace(arguments: &TraceArgs, output: &OutputArgs) -> Result<ExitCode> {
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
    let unwritable = || format!("the recording {} cannot be written", file.display());
    let caller = Caller::find()?;
    let created = OutputFile::create(file, &caller).with_context(unwritable)?;
    let plan = Plan::choose(arguments, output, &caller).await?;
    let mut recorder = Recorder::new(BufWriter::new(created), plan.scope)?;
    let mut outputs = Outputs::open(
        output,
        plan.scope,
        Some(arguments),
        &caller,
        WhenBehind::Drop,
    )?
    .with_web(plan.server())?;
    let mut written = Ok(());
    let mut records = 0_u64;
    let mut renewed_ns = 0;
    let ended = plan
        .run(arguments, |input| {
            records += u64::from(matches!(input, Input::Kernel(_)));
            if written.is_ok() {
                written = recorder.write(&input);
            }
            if let Input::Tick(tick) = &input
                && written.is_ok()
                && tick.mono_ns.saturating_sub(renewed_ns) >= RENEW_EVERY_NS
            {
                renewed_ns = tick.mono_ns;
                written = recorder.renew();
            }
            match outputs.take(input) {
                _ if written.is_err() => Flow::Enough,
                flow => flow,
            }
        })
        .await?;
    explain_nothing(&outputs, arguments, &ended);
    outputs.finish()?;
    written.with_context(unwritable)?;
    message(&format!(
        "recorded {records} records into {}",
        file.display()
    ));
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
    let caller = Caller::find()?;
    let named = file.to_owned();
    let opened = caller
        .act(move || File::open(named))
        .with_context(|| format!("{} cannot be opened", file.display()))?;
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
