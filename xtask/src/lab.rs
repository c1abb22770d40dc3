//! Hands `bench`, `captures`, `cost`, `held-back`, `hops` and `kernels` to `xtask-lab`, and `dist` to `xtask-dist`:
//! packages of their own, so that running and testing do not have to wait for their dependencies.

use std::{convert::Infallible, ffi::OsString, os::unix::process::CommandExt as _};

use anyhow::{Context as _, Result};
use clap::Args;
use xtask::command::{cargo_here, workspace};

/// Passed on unchanged, `--help` included.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    arguments: Vec<OsString>,
}

/// Becomes the other program, so that signals and the exit status are its own.
pub(crate) fn run(verb: &str, arguments: &Arguments) -> Result<Infallible> {
    let package = match verb {
        "dist" => "xtask-dist",
        _ => "xtask-lab",
    };
    let mut command = cargo_here();
    command
        .args(["run", "--locked", "--package", package])
        // A client must cost less than the server that it measures.
        .args((verb == "bench").then_some("--release"))
        .arg("--manifest-path")
        .arg(workspace().join("Cargo.toml"))
        .args(["--", verb])
        .args(&arguments.arguments);
    Err(command.exec()).context("cargo cannot be started")
}
