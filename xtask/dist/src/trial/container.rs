//! Debian in a container, with systemd as its first process (`systemd-nspawn`). The kernel is this machine's. Whatever the
//! steps change is gone with the container.

use std::{fs, path::Path, process::Stdio};

use anyhow::{Context as _, Result};
use xtask::command::{as_root, log};

use super::steps::{Steps, service};

/// Seconds. A container that runs longer hangs.
const LONGEST: &str = "600";

/// What starts the service of the steps.
const WANTED: &str = "[Unit]\nWants=trial.service\n";

const LOG: &str = "log";

pub(super) fn run(root: &Path, steps: &Steps) -> Result<()> {
    log(&format!("{} in a container", steps.script));
    let folder = steps.folder();
    let service = service(steps.script, &format!("/trial/{LOG}"), "");
    fs::write(folder.join("trial.service"), service)?;
    fs::write(folder.join("wanted.conf"), WANTED)?;
    let units = "/etc/systemd/system";
    let bound =
        |file: &str, place: &str| format!("--bind-ro={}/{file}:{units}/{place}", folder.display());
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
    container.status().context("systemd-nspawn")?;
    let printed = fs::read_to_string(folder.join(LOG));
    steps.judge(&printed.context("the container did not start its service")?)
}
