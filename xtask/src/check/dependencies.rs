//! The fuzz crate's own lock file.

use anyhow::{Context as _, Result};
use xtask::command::{cargo, output};

/// The fuzz crate is a workspace of its own: its lock file has to follow the others' dependencies.
pub(super) fn fuzz_lock() -> Result<()> {
    const MANIFEST: &str = "tracer/fuzz/Cargo.toml";
    output(cargo().args(["metadata", "--locked", "--format-version", "1"]).args(["--manifest-path", MANIFEST]))
        .map(drop)
        .with_context(|| format!("tracer/fuzz/Cargo.lock does not match: `cargo update --workspace --manifest-path {MANIFEST}`"))
}
