//! The dependencies: their licences, sources and known vulnerabilities (cargo-deny,
//! `.config/deny.toml`), and the fuzz crate's own lock file.

use anyhow::{Context as _, Result};
use xtask::command::{cargo, log, output, run};

const CHECKS: [&str; 3] = ["bans", "licenses", "sources"];

/// Runs cargo-deny. Where the advisory database cannot be fetched, reports that and checks the
/// rest.
pub(super) fn check() -> Result<()> {
    let mut checks = CHECKS.to_vec();
    if run(deny("fetch").arg("db")).is_ok() {
        checks.push("advisories");
    } else {
        log("the advisory database cannot be fetched: known vulnerabilities are not checked");
    }
    run(deny("check").args(checks))
}

/// The fuzz crate is a workspace of its own: its lock file has to follow the others' dependencies.
pub(super) fn fuzz_lock() -> Result<()> {
    const MANIFEST: &str = "tracer/fuzz/Cargo.toml";
    let mut metadata = cargo();
    metadata.args(["metadata", "--locked", "--format-version", "1"]);
    metadata.args(["--manifest-path", MANIFEST]);
    output(&mut metadata).map(drop).with_context(|| {
        format!(
            "tracer/fuzz/Cargo.lock is outdated: \
             run `cargo update --workspace --manifest-path {MANIFEST}`"
        )
    })
}

fn deny(verb: &str) -> std::process::Command {
    let mut command = cargo();
    command.args(["deny", "--locked", "--config", ".config/deny.toml", verb]);
    command
}
