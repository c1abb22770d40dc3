//! Sends a million connections through one tracer: its memory must not grow, and every record must
//! be accounted for. The test suite runs the same test with fewer.

use anyhow::Result;
use clap::Args;

use xtask::{
    command::{cargo, is_root, run},
    setup,
};

const TEST: &str = "endless::memory_does_not_grow_with_the_connections";
const CONNECTIONS: &str = "ENDLESS_CONNECTIONS";

#[derive(Args)]
pub(crate) struct Arguments {
    /// Number of connections
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    connections: u32,
}

/// The tracer needs root.
pub(crate) fn endless(arguments: &Arguments) -> Result<()> {
    setup::for_build()?;
    setup::for_tests()?;
    let mut command = cargo();
    command.args(["test", "--release", "--locked", "--package", "tracer"]);
    command.args(["--test", "kernel"]);
    if !is_root() {
        command.args(["--config", "target.'cfg(all())'.runner = ['sudo', '-E']"]);
    }
    command.env(CONNECTIONS, arguments.connections.to_string());
    run(command.args([TEST, "--", "--exact", "--nocapture"]))
}
