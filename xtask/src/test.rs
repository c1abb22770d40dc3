//! Runs every test.

use anyhow::Result;
use clap::Args;

use xtask::{
    command::{cargo, is_root, run},
    setup,
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Run only tests whose name contains FILTER
    filter: Option<String>,
}

/// The tests on the running kernel need root: without it, each test binary is started with sudo.
pub(crate) fn test(arguments: &Arguments) -> Result<()> {
    setup::for_build()?;
    setup::for_tests()?;
    let mut command = cargo();
    command.args(["test", "--workspace", "--locked"]);
    if !is_root() {
        command.args(["--config", "target.'cfg(all())'.runner = ['sudo', '-E']"]);
    }
    run(command.args(&arguments.filter))
}
