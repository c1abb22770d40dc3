//! The first process of the virtual machine: mounts the usual file systems, runs the tests, and
//! switches the machine off.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result};
use rustix::{
    mount::{MountFlags, mount},
    process::{WaitOptions, getpid, wait},
    system::{RebootCommand, reboot},
};

use super::report::Job;

/// The job's path in the image.
pub(super) const JOB: &str = "/job.json";

/// The second serial line. That of an ARM machine is the first of its kind.
const REPORTS: &str = if cfg!(target_arch = "x86_64") {
    "/dev/ttyS1"
} else {
    "/dev/ttyS0"
};

const MOUNTS: [(&str, &str); 9] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("devpts", "/dev/pts"),
    ("tmpfs", "/dev/shm"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("bpf", "/sys/fs/bpf"),
    ("debugfs", "/sys/kernel/debug"),
    ("tracefs", "/sys/kernel/tracing"),
];

/// What `/dev` has beside devices.
const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

pub(crate) fn guest() -> Result<()> {
    if getpid().as_raw_nonzero().get() != 1 {
        return run_tests();
    }
    let outcome = begin().and_then(|()| until_tests_end());
    if let Err(error) = outcome {
        eprintln!("xtask: {error:#}");
    }
    reboot(RebootCommand::PowerOff).context("the machine cannot be switched off")
}

fn begin() -> Result<()> {
    for (kind, place) in MOUNTS {
        fs::create_dir_all(place).context(place)?;
        mount(kind, place, kind, MountFlags::empty(), None).context(place)?;
    }
    for (to, link) in LINKS {
        std::os::unix::fs::symlink(to, link).context(link)?;
    }
    let status = tool("ip").args(["link", "set", "lo", "up"]).status()?;
    anyhow::ensure!(status.success(), "the loopback device does not come up");
    // `/dev/net/tun` appears with its driver. Where that is missing, tests that need it are skipped.
    tool("modprobe").arg("tun").status()?;
    Ok(())
}

/// Runs the tests in a process of their own: as the first one, this is the heir of every orphan,
/// and waits for each.
fn until_tests_end() -> Result<()> {
    let child = tool("/init").arg("guest").spawn()?;
    let tests = i32::try_from(child.id())?;
    loop {
        let ended = wait(WaitOptions::empty())?;
        if ended.is_some_and(|(pid, _)| pid.as_raw_nonzero().get() == tests) {
            return Ok(());
        }
    }
}

fn run_tests() -> Result<()> {
    let job: Job = serde_json::from_reader(File::open(JOB).context(JOB)?)?;
    let mut reports = OpenOptions::new()
        .write(true)
        .open(REPORTS)
        .context(REPORTS)?;
    let mut failed = Ok(());
    job.run(|report| {
        let line = serde_json::to_string(&report).map_err(anyhow::Error::from);
        let written = line.and_then(|line| Ok(writeln!(reports, "{line}")?));
        if written.is_err() {
            failed = written;
        }
    });
    failed?;
    writeln!(reports, "null")?;
    rustix::termios::tcdrain(&reports).context(REPORTS)
}

fn tool(program: impl AsRef<Path>) -> Command {
    let path = "/usr/sbin:/usr/bin:/sbin:/bin";
    // Its own children look there, too.
    let mut command = Command::new(program.as_ref());
    command.env("PATH", path).env("HOME", "/root");
    command.env(
        "LANG",
        env::var_os("LANG").unwrap_or_else(|| "C.UTF-8".into()),
    );
    command
}
