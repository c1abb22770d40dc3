//! Sends thousands of uploads and compares each stored file with what was sent. Then lets each call of the file
//! system fail.

use anyhow::Result;
use clap::Args;

use xtask::command::{cargo, run};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Number of uploads
    #[arg(long, default_value_t = 10_000)]
    uploads: u32,
    /// Size of the largest file, in bytes
    #[arg(long, default_value_t = 64 << 20)]
    largest: u32,
}

/// Runs the server's tests of integrity with more and larger files, and with each fault.
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
        .env("FAULTS_STEP", "1")
        .args([
            "--test",
            "server",
            "--",
            "--nocapture",
            "--test-threads",
            "1",
        ])
        .args(["integrity::", "faults::"]))
}
