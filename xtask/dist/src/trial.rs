//! The packages in use: Debian in a container, with systemd as its first process. They are installed, an upload gets its
//! timeline, and nothing of them is left once they are purged: `trial.sh`. The kernel is this machine's.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use xtask::{
    command::{as_root, log, run, target_dir},
    setup,
};

use crate::{
    debian,
    program::{Architecture, PROGRAMS},
    release::Release,
};

const RELEASE_OF_DEBIAN: &str = "bookworm";

/// What the steps of the trial call.
const PACKAGES: &str = "--include=systemd-sysv,dbus,curl,diffutils,procps";

/// Where apt finds Debian, if this machine has it.
const SOURCES: &str = "/etc/apt/sources.list.d/debian.sources";

/// A container that runs longer hangs.
const LONGEST: &str = "180";

const UNIT: &str = "\
[Unit]
After=multi-user.target
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
ExecStart=/bin/sh /trial/trial.sh
StandardOutput=file:/trial/log
StandardError=file:/trial/log
";

/// What starts it.
const WANTED: &str = "[Unit]\nWants=trial.service\n";

/// Tries the packages for this machine's architecture, which are in `out`.
pub(crate) fn run_in_container(release: &Release, out: &Path) -> Result<()> {
    let architecture = Architecture::of_this_machine()?;
    setup::dist::for_trial()?;
    let root = debian_12()?;
    let folder = tempfile::tempdir().context("no temporary directory")?;
    let folder = folder.path();
    for program in &PROGRAMS {
        let package = out.join(debian::file_name(program, release, architecture));
        let place = folder.join(format!("{}.deb", program.name));
        fs::copy(&package, place).with_context(|| package.display().to_string())?;
    }
    fs::write(folder.join("trial.sh"), include_str!("trial.sh"))?;
    fs::write(folder.join("trial.service"), UNIT)?;
    fs::write(folder.join("wanted.conf"), WANTED)?;
    let units = "/etc/systemd/system";
    let bound =
        |file: &str, place: &str| format!("--bind-ro={}/{file}:{units}/{place}", folder.display());
    // Whatever the trial changes is gone with the container.
    let mut container = as_root("timeout");
    container
        .args(["--foreground", LONGEST, "systemd-nspawn", "--quiet"])
        .args(["--register=no", "--keep-unit", "--private-network"])
        .args(["--volatile=overlay", "--capability=all"])
        .arg("--system-call-filter=bpf perf_event_open")
        .arg(format!("--directory={}", root.display()))
        .arg(format!("--bind={}:/trial", folder.display()))
        .arg(bound("trial.service", "trial.service"))
        .arg(bound("wanted.conf", "graphical.target.d/trial.conf"))
        .arg("--boot")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let status = container.status().context("systemd-nspawn")?;
    if folder.join("passed").exists() {
        log("the packages were installed, used and purged");
        return Ok(());
    }
    let steps = fs::read_to_string(folder.join("log")).unwrap_or_default();
    bail!("the packages failed in the container ({status}):\n{steps}")
}

/// Debian's files, kept in cargo's target directory.
fn debian_12() -> Result<PathBuf> {
    let root = target_dir().join("dist-debian");
    if !root.exists() {
        let unfinished = target_dir().join("dist-debian-unfinished");
        if unfinished.exists() {
            run(as_root("rm").arg("--recursive").arg(&unfinished))?;
        }
        let mut make: Command = as_root("mmdebstrap");
        make.args(["--variant=minbase", PACKAGES, RELEASE_OF_DEBIAN])
            .arg(&unfinished);
        if Path::new(SOURCES).exists() {
            make.arg(SOURCES);
        }
        run(&mut make)?;
        run(as_root("mv").arg(&unfinished).arg(&root))?;
    }
    fs::canonicalize(&root).with_context(|| root.display().to_string())
}
