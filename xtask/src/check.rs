//! What can be checked without running the programs: formatting, lints and documentation, warnings
//! denied; the core's purity; the dependencies.

mod core_purity;
mod dependencies;

use anyhow::Result;

use xtask::{
    command::{cargo, run, target_dir},
    setup,
};

/// The host crates; the eBPF programs, linted for the host, where clippy need not link them, and
/// without unwinding, which they do not have.
const CLIPPY: [&str; 2] = [
    "--workspace --all-targets",
    "--package tracer-ebpf --features programs --bins --config profile.dev.panic='abort'",
];

/// The cheap checks come first.
pub(crate) fn check() -> Result<()> {
    core_purity::check()?;
    setup::for_check()?;
    dependencies::fuzz_lock()?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args([
        "fmt",
        "--manifest-path",
        "tracer/fuzz/Cargo.toml",
        "--check",
    ]))?;
    for what in CLIPPY {
        run(cargo()
            .args(["clippy", "--locked"])
            .args(what.split(' '))
            .args(["--", "-D", "warnings"]))?;
    }
    // A workspace of its own, and the same dependencies: built once for both.
    run(cargo()
        .args(["clippy", "--locked", "--lib", "--examples"])
        .args(["--manifest-path", "tracer/fuzz/Cargo.toml", "--target-dir"])
        .arg(target_dir())
        .args(["--", "-D", "warnings"]))?;
    run(cargo().env("RUSTDOCFLAGS", "-D warnings").args([
        "doc",
        "--workspace",
        "--no-deps",
        "--locked",
    ]))?;
    dependencies::check()
}
