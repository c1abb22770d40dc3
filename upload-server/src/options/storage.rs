//! Storage on the command line.

use std::time::Duration;

use clap::{Args, ValueEnum};
use upload_server::server::{Config, OnDuplicate};

use super::limits::seconds;

/// How files are stored.
#[derive(Debug, Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct StorageOptions {
    /// What becomes of a file whose name is taken
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    on_duplicate: Duplicate,

    /// Say that an upload is complete only once it is on the disk: slower, and safe from a power
    /// failure
    #[arg(long)]
    pub(crate) fsync: bool,

    /// Compute the SHA-256 of every file, and not only where the client asks for it: slower
    #[arg(long)]
    sha256: bool,

    /// How long an interrupted upload may be resumed (tus, at /tus/)
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "86400")]
    resume_within: Duration,

    /// How many uploads are kept in --state over restarts; 0 for none
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) history: u32,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Duplicate {
    /// It is refused
    Error,
    /// It gets another name, such as "cat (1).png"
    #[default]
    Rename,
    /// The older file is lost
    Overwrite,
}

impl StorageOptions {
    /// Makes it the server's way.
    pub(crate) fn apply(&self, config: &mut Config) {
        config.on_duplicate = match self.on_duplicate {
            Duplicate::Error => OnDuplicate::Error,
            Duplicate::Rename => OnDuplicate::Rename,
            Duplicate::Overwrite => OnDuplicate::Overwrite,
        };
        config.fsync = self.fsync;
        config.sha256 = self.sha256;
        config.resume_within = self.resume_within;
    }
}
