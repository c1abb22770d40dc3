//! The programs under test, as cargo builds them for `cargo xtask test`: nothing is built twice.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use xtask::command::{cargo, log, output, run};

/// Where each was built.
pub(super) struct Binaries {
    /// The kernel tests.
    pub(super) kernel: PathBuf,
    /// What they start.
    pub(super) started: Vec<PathBuf>,
}

impl Binaries {
    /// Builds everything.
    pub(super) fn build() -> Result<Self> {
        let mut command = cargo();
        command.args(["test", "--workspace", "--locked", "--no-run"]);
        // Each has the programs of its crate built, too.
        command.args(["--test", "kernel", "--test", "server"]);
        log("building the kernel tests");
        let built = command
            .arg("--message-format=json-render-diagnostics")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cargo cannot be started")?;
        if !built.status.success() {
            bail!("the tests cannot be built");
        }
        let built = String::from_utf8(built.stdout)?;
        let artifacts: Vec<Value> = built
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let find = |name: &str, kind: &str| {
            artifacts
                .iter()
                .filter(|artifact| {
                    artifact["target"]["name"] == name && artifact["target"]["kind"][0] == kind
                })
                .find_map(|artifact| artifact["executable"].as_str())
                .map(PathBuf::from)
                .with_context(|| format!("cargo built no {kind} {name}"))
        };
        let kernel = find("kernel", "test")?;
        // Programs are one folder above the tests.
        let folder = kernel.parent().and_then(Path::parent);
        let folder = folder.context("the path of the tests has no parent folder")?;
        let started = ["tracer", "upload-server"].map(|name| folder.join(name));
        Ok(Self {
            kernel,
            started: started.into(),
        })
    }

    /// The names of all kernel tests.
    pub(super) fn tests(&self) -> Result<Vec<String>> {
        let list = output(Command::new(&self.kernel).arg("--list"))
            .context("the kernel tests cannot be listed")?;
        Ok(list
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .map(str::to_owned)
            .collect())
    }

    /// Copies of the binaries in `folder` without debug information, which is nine tenths of their
    /// size, each with the path where the tests look for it.
    pub(super) fn stripped(&self, folder: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        let mut stripped = Vec::new();
        for (number, place) in self.started.iter().chain([&self.kernel]).enumerate() {
            let small = folder.join(format!("stripped-{number}"));
            run(Command::new("strip")
                .args(["--strip-debug", "-o"])
                .arg(&small)
                .arg(place))?;
            stripped.push((small, place.clone()));
        }
        Ok(stripped)
    }
}
