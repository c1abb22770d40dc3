//! Everything that a change must pass.

use anyhow::Result;
use clap::Args;

use xtask::{
    command::{cargo, is_root, run},
    setup,
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only tests whose name contains this
    filter: Option<String>,
}

/// The tests on the running kernel need root: each test binary is started with sudo where this is
/// not root already.
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
