//! Debian in a virtual machine, with its own kernel, emulated by QEMU so that it runs wherever this does. Whatever the
//! steps change is gone with the machine.

use std::{
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use xtask::command::{log, run};

use super::{debian_12::Disk, steps::Steps};

/// A machine that runs longer hangs.
const LONGEST: &str = "15m";

const MEMORY: &str = "2G";

const SIZE_OF_STEPS: &str = "64M";

pub(super) fn run_steps(disk: &Disk, steps: &Steps) -> Result<()> {
    log(&format!("{} in a virtual machine", steps.script));
    let own = tempfile::tempdir().context("no temporary directory")?;
    let (second, console) = (own.path().join("steps"), own.path().join("console"));
    let reports = own.path().join("reports");
    run(Command::new("mke2fs")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["-q", "-F", "-t", "ext4", "-d"])
        .args([steps.folder(), &second])
        .arg(SIZE_OF_STEPS))?;
    let mut machine = Command::new("timeout");
    machine
        .args(["--foreground", "--kill-after=10", LONGEST])
        .arg("qemu-system-x86_64")
        .args(["-accel", "tcg", "-cpu", "max"])
        .args(["-smp", "2", "-m", MEMORY, "-snapshot"])
        .args(["-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-display", "none", "-monitor", "none"]);
    for file in [&console, &reports] {
        machine
            .arg("-serial")
            .arg(format!("file:{}", file.display()));
    }
    for file in [&disk.image, &second] {
        let drive = format!("file={},format=raw,if=virtio", file.display());
        machine.arg("-drive").arg(drive);
    }
    machine
        .arg("-kernel")
        .arg(&disk.kernel)
        .arg("-initrd")
        .arg(&disk.initial_ram_disk)
        .args([
            "-append",
            "root=/dev/vda rw console=ttyS0 quiet systemd.wants=trial.service",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let status = machine.status().context("qemu-system-x86_64")?;
    let printed = fs::read(&reports).unwrap_or_default();
    steps
        .judge(&String::from_utf8_lossy(&printed))
        .with_context(|| {
            let console = fs::read(&console).unwrap_or_default();
            let console = String::from_utf8_lossy(&console).into_owned();
            let lines: Vec<&str> = console.lines().collect();
            let last = lines[lines.len().saturating_sub(30)..].join("\n");
            format!("the machine ended ({status}); the last lines of its console:\n{last}\n")
        })
}
