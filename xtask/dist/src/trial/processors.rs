//! The programs of the packages, started: those for another architecture than this machine's are emulated (`qemu-user`).
//! What the tracer prints of a recording is the same on each.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use xtask::command::{log, run, workspace};

use crate::{
    debian,
    program::{Architecture, PROGRAMS},
    release::Release,
};

/// Beneath the workspace.
const RECORDING: &str = "tracer/tests/recordings/uploads.trace";

pub(super) fn check(release: &Release, architectures: &[Architecture], out: &Path) -> Result<()> {
    let mut first = None;
    for &architecture in architectures {
        let replayed = replay(release, architecture, out)?;
        ensure!(
            replayed == *first.get_or_insert_with(|| replayed.clone()),
            "a replay differs on {}",
            architecture.name()
        );
        log(&format!(
            "{}: {} bytes of a replay",
            architecture.name(),
            replayed.len()
        ));
    }
    Ok(())
}

/// What the tracer of a package prints of the recording.
fn replay(release: &Release, architecture: Architecture, out: &Path) -> Result<Vec<u8>> {
    let unpacked = tempfile::tempdir().context("no temporary directory")?;
    let unpacked = unpacked.path();
    let started = |program: &str, arguments: &[&str]| {
        let path = unpacked.join("usr/bin").join(program);
        let mut command = match architecture == Architecture::of_this_machine()? {
            true => Command::new(path),
            false => {
                let mut emulator = Command::new(format!("qemu-{}-static", architecture.name()));
                emulator.arg(path);
                emulator
            }
        };
        let ended = command
            .args(arguments)
            .output()
            .with_context(|| format!("{command:?}"))?;
        ensure!(
            ended.status.success() && !ended.stdout.is_empty(),
            "{command:?} failed: {}",
            String::from_utf8_lossy(&ended.stderr)
        );
        Ok(ended.stdout)
    };
    for program in &PROGRAMS {
        let package = out.join(debian::file_name(program, release, architecture));
        run(Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&package)
            .arg(unpacked))?;
        let version = started(program.name, &["--version"])?;
        ensure!(
            String::from_utf8_lossy(&version).contains(&release.commit),
            "{} does not name its commit",
            program.name
        );
        started(program.name, &["--help"])?;
    }
    let recording = workspace().join(RECORDING);
    let recording = recording.to_str().context("a path that is not UTF-8")?;
    started("tracer", &["replay", recording, "-o", "ndjson"])
}
