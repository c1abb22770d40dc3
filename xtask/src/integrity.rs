//! Thousands of uploads, each compared with what was sent.

use anyhow::Result;
use clap::Args;

use xtask::command::{cargo, run};

#[derive(Args)]
pub(crate) struct Arguments {
    #[arg(long, default_value_t = 10_000)]
    uploads: u32,
    /// The most bytes of a file
    #[arg(long, default_value_t = 64 << 20)]
    largest: u32,
}

/// The test of the same name, at length.
pub(crate) fn integrity(arguments: &Arguments) -> Result<()> {
    run(cargo()
        .env("INTEGRITY_UPLOADS", arguments.uploads.to_string())
        .env("INTEGRITY_LARGEST", arguments.largest.to_string())
        .args([
            "test",
            "--release",
            "--locked",
            "--package",
            "upload-server",
        ])
        .args(["--test", "server", "integrity", "--", "--nocapture"]))
}
