//! A virtual machine: emulated, so that it runs wherever this does, with one processor. Its clock
//! counts instructions and skips idle time: a busy host does not stretch a test's time, and an RTT
//! is exactly what netem was configured to. The first serial line is the console, the second
//! carries the reports.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::{debian::Kernel, report::Report};
use xtask::{architecture::Architecture, command::log};

/// A machine that runs longer hangs.
const LONGEST: &str = "3h";

/// Two nanoseconds for each instruction.
const CLOCK: &str = "shift=1,align=off,sleep=off";

/// Files take up to half of it.
const MEMORY: &str = "2048M";

/// What differs between the machines of the architectures.
struct Hardware {
    program: &'static str,
    options: &'static [&'static str],
    /// The device of the first serial line.
    console: &'static str,
    /// Makes the second serial line.
    reports: &'static [&'static str],
}

impl Hardware {
    const fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::X86_64 => Self {
                program: "qemu-system-x86_64",
                options: &["-cpu", "max"],
                console: "ttyS0",
                reports: &["-serial", "chardev:reports"],
            },
            // Kernels older than QEMU do not start on a processor that has all that QEMU can.
            Architecture::Aarch64 => Self {
                program: "qemu-system-aarch64",
                options: &["-machine", "virt", "-cpu", "cortex-a72"],
                console: "ttyAMA0",
                reports: &["-device", "pci-serial,chardev=reports"],
            },
        }
    }
}

pub(super) struct Machine {
    kernel: Kernel,
    /// Its initial RAM disk, which is all it has.
    image: PathBuf,
}

impl Machine {
    pub(super) const fn new(kernel: Kernel, image: PathBuf) -> Self {
        Self { kernel, image }
    }

    /// Starts it, hands every report to `each`, and waits for its end.
    pub(super) fn run(&self, mut each: impl FnMut(Report)) -> Result<()> {
        let console = self.kernel.folder.join("console.log");
        let hardware = Hardware::of(self.kernel.name.architecture);
        let mut child = Command::new("timeout")
            .args(["--foreground", "--kill-after=10", LONGEST])
            .arg(hardware.program)
            .args(hardware.options)
            .args(["-accel", "tcg,thread=single", "-icount", CLOCK])
            .args(["-smp", "1", "-m", MEMORY])
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-monitor", "none"])
            .args(["-chardev", "stdio,id=reports,signal=off"])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .args(hardware.reports)
            .arg("-kernel")
            .arg(&self.kernel.image)
            .arg("-initrd")
            .arg(&self.image)
            .arg("-append")
            .arg(format!(
                "console={} panic=-1 quiet rdinit=/init -- guest",
                hardware.console
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("qemu cannot be started")?;
        let reports = child.stdout.take().context("qemu has no standard output")?;
        let mut is_finished = false;
        for line in BufReader::new(reports).lines() {
            let line = line.context("reading the machine's reports")?;
            match serde_json::from_str::<Option<Report>>(&line) {
                Ok(Some(report)) => each(report),
                Ok(None) => is_finished = true,
                Err(_) => log(&format!("{}: {line}", self.kernel.name)),
            }
        }
        let status = child.wait()?;
        if !is_finished {
            bail!(
                "the machine ended before its tests did ({status}); the last lines of its console:\n{}",
                last_lines(&console).unwrap_or_default()
            );
        }
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.image) {
            log(&format!("{}: {error}", self.image.display()));
        }
    }
}

fn last_lines(console: &PathBuf) -> Result<String> {
    let lines: Vec<String> = BufReader::new(File::open(console)?)
        .lines()
        .map_while(Result::ok)
        .collect();
    Ok(lines[lines.len().saturating_sub(40)..].join("\n"))
}
