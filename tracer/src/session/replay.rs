//! Shows a recording as it was shown live.

use std::{
    fs::File,
    io::BufReader,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use anyhow::{Context as _, Result};

use super::{outputs::Outputs, stopped::stopped_by_signal};
use crate::{
    caller::Caller,
    cli::OutputArgs,
    core::input::{Flow, Input},
    ending::Ending,
    sink::WhenBehind,
    source::recording::Recording,
    system::survive_file_size_limit,
};

/// Shows the recording in this file.
pub fn replay(file: &Path, output: &OutputArgs) -> Result<()> {
    survive_file_size_limit()?;
    let caller = Caller::find()?;
    let named = file.to_owned();
    let opened = caller
        .act(move || File::open(named))
        .with_context(|| caller.cannot(&file.display().to_string(), "opened"))?;
    let mut recording = Recording::open(BufReader::new(opened))
        .with_context(|| format!("{} cannot be replayed", file.display()))?;
    // A document is whole at the end alone, and spans may wait: then a signal ends the reading. Else it ends the
    // tracer at once.
    let is_stopped = if output.has_documents() || output.otlp.is_some() {
        stopped_by_signal()?
    } else {
        Arc::default()
    };
    let mut outputs = Outputs::open(
        output,
        recording.scope(),
        None,
        &caller,
        WhenBehind::Wait,
        &Ending::default(),
    )?;
    let damage = loop {
        if is_stopped.load(Ordering::Relaxed) {
            break None;
        }
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
