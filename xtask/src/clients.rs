//! Uploads with each client that people use: 20 files from 1 kB to 20 MB, each of which the tracer must
//! tell. The test suite runs the same tests, those of slow clients with fewer files.

use anyhow::Result;

use xtask::{
    command::{cargo, is_root, run},
    setup,
};

const TESTS: &str = "clients::";
const ALL_SIZES: &str = "CLIENTS_ALL_SIZES";

/// The tracer needs root.
pub(crate) fn clients() -> Result<()> {
    setup::for_build()?;
    setup::for_tests()?;
    let mut command = cargo();
    command.args(["test", "--locked", "--package", "tracer"]);
    command.args(["--test", "kernel"]);
    if !is_root() {
        command.args(["--config", "target.'cfg(all())'.runner = ['sudo', '-E']"]);
    }
    command.env(ALL_SIZES, "1");
    run(command.args([TESTS, "--", "--nocapture"]))
}
