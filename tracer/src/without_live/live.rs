//! What needs the kernel cannot be done here.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cli::Cli;

pub fn live(_cli: &Cli) -> Result<ExitCode> {
    let why = if cfg!(target_os = "linux") {
        "is built without live tracing (feature `live`)"
    } else {
        "cannot trace live, which Linux alone can"
    };
    bail!(
        "this tracer {why}: it reads captures (`tracer read FILE`) and recordings (`tracer replay FILE`)"
    );
}

/// The exit status that an error asks for.
#[must_use]
pub const fn exit_code(_error: &anyhow::Error) -> ExitCode {
    ExitCode::FAILURE
}
