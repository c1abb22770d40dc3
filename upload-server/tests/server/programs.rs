//! Programs that the tests run: clients that people upload with.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::test_server::within_limit;

/// Python with the clients' packages.
pub(crate) fn python() -> Command {
    Command::new(installed("clients-python").join("bin/python"))
}

/// Python with requests as it was until 2018: a name of other than ASCII letters is sent as
/// `filename*` alone.
pub(crate) fn old_python() -> Command {
    let mut python = python();
    python.env("PYTHONPATH", installed("old-clients-python"));
    python
}

/// The folder from which Node.js loads this package.
pub(crate) fn node_package(name: &str) -> PathBuf {
    installed(name)
}

/// A file of the tests.
pub(crate) fn script(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

/// Runs a program to its successful end. Returns its output.
pub(crate) async fn run(command: &mut Command) -> String {
    let running = command.kill_on_drop(true).output();
    let output = within_limit(running).await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// A part of cargo's target folder.
fn installed(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(name);
    assert!(
        folder.exists(),
        "{name} is missing: `cargo xtask test` installs it"
    );
    folder
}
