//! A package of cargo's that has nothing but files: what cargo-deb and cargo-generate-rpm make a package of.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use xtask::command::target_dir;

use crate::{program::Program, release::Release, tree::Tree};

/// The folder of files, beneath that of the package.
const FILES: &str = "files";

/// Writes the package and returns its folder. `table` is the tool's own.
pub(crate) fn write(
    tree: &Tree,
    release: &Release,
    program: &Program,
    tool: &str,
    table: &str,
) -> Result<PathBuf> {
    let folder = target_dir()
        .join("dist-work")
        .join(format!("{}-{tool}", program.name));
    tree.write(&folder.join(FILES))?;
    let manifest = format!(
        "[workspace]\n\n[package]\nname = {name:?}\nversion = {version:?}\nedition = \"2024\"\n\
         description = {summary:?}\nlicense = \"MIT OR Apache-2.0\"\n{table}",
        name = program.name,
        version = release.version,
        summary = program.summary,
    );
    put(&folder.join("Cargo.toml"), &manifest)?;
    fs::create_dir_all(folder.join("src"))?;
    put(&folder.join("src/main.rs"), "fn main() {}\n")?;
    Ok(folder)
}

/// A file of the package.
pub(crate) struct Asset {
    /// Where it is, from the package's folder.
    pub(crate) from: String,
    /// Where it is installed.
    pub(crate) to: String,
    pub(crate) mode: u32,
}

impl Asset {
    pub(crate) fn is_document(&self) -> bool {
        self.to.starts_with("/usr/share/doc/")
    }
}

/// All files of the tree, as `row` has each of them, in TOML.
pub(crate) fn assets(tree: &Tree, row: impl Fn(Asset) -> String) -> String {
    let rows = tree.files.iter().map(|(path, file)| Asset {
        from: format!("{FILES}/{path}"),
        to: format!("/usr/{path}"),
        mode: file.mode(),
    });
    let rows: String = rows.map(|asset| format!("  {},\n", row(asset))).collect();
    format!("assets = [\n{rows}]\n")
}

pub(crate) fn put(place: &Path, content: &str) -> Result<()> {
    fs::write(place, content).with_context(|| place.display().to_string())
}
