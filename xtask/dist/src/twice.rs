//! Everything built again: from a clone in another folder, with another home, another folder of cargo's and another time
//! zone. The digests must be the same.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use xtask::command::{log, run, target_dir, tool, workspace};

use crate::{Arguments, SUMS, ebpf_object::cargo_home, release::git};

/// What cargo may share between its folders: what it downloads, and where from. What it unpacks and builds is not.
const DOWNLOADS: [&str; 3] = ["registry/cache", "registry/index", "config.toml"];

/// Builds in a clone, and compares the result with what is in `out`.
pub(crate) fn compare(arguments: &Arguments, out: &Path) -> Result<()> {
    ensure!(
        git(&["status", "--porcelain"])?.is_empty(),
        "files differ from the commit, and a clone would not have them: commit first"
    );
    let folder = tempfile::Builder::new()
        .prefix("dist-twice-")
        .tempdir_in(target_dir())
        .context("no folder for a clone")?;
    let again = build(arguments, &fs::canonicalize(folder.path())?)?;
    let sums = |out: &Path| {
        let place = out.join(SUMS);
        fs::read_to_string(&place).with_context(|| place.display().to_string())
    };
    let (first, second) = (sums(out)?, sums(&again)?);
    let differ: Vec<&str> = first
        .lines()
        .filter(|line| !second.lines().any(|other| other == *line))
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    ensure!(
        differ.is_empty() && first == second,
        "built twice, these have other bytes: {}",
        differ.join(", ")
    );
    log(&format!(
        "built twice, {} files are the same",
        first.lines().count()
    ));
    Ok(())
}

/// Returns the folder of what was built.
fn build(arguments: &Arguments, folder: &Path) -> Result<PathBuf> {
    let (clone, home, cargo) = (
        folder.join("another/clone"),
        folder.join("home"),
        folder.join("cargo"),
    );
    run(Command::new("git")
        .args(["clone", "--quiet"])
        .args([&workspace(), &clone]))?;
    fs::create_dir(&home)?;
    let own = fs::canonicalize(cargo_home()?)?;
    for downloads in DOWNLOADS {
        link(&own.join(downloads), &cargo.join(downloads))?;
    }
    let tools = fs::canonicalize(target_dir())?.join("dist-tools");
    link(&tools, &clone.join("target/dist-tools"))?;
    let mut again = tool("cargo");
    again
        .args(["xtask", "dist"])
        .args(arguments.quick.then_some("--quick"));
    for architecture in &arguments.architecture {
        again.args(["--architecture", architecture.name()]);
    }
    run(again
        .current_dir(&clone)
        .env("HOME", &home)
        .env("CARGO_HOME", &cargo)
        .env("RUSTUP_HOME", rustup_home()?)
        .env("TZ", "Pacific/Kiritimati")
        .env_remove("CARGO_TARGET_DIR"))?;
    Ok(clone.join("target/dist"))
}

/// Nothing where the place is not used.
fn link(place: &Path, name: &Path) -> Result<()> {
    if place.exists() {
        let parent = name.parent().context("a path without a folder")?;
        fs::create_dir_all(parent)?;
        symlink(place, name).with_context(|| name.display().to_string())?;
    }
    Ok(())
}

fn rustup_home() -> Result<PathBuf> {
    let named = env::var_os("RUSTUP_HOME").map(PathBuf::from);
    let usual = || Some(PathBuf::from(env::var_os("HOME")?).join(".rustup"));
    named
        .or_else(usual)
        .context("neither RUSTUP_HOME nor HOME is set")
}
