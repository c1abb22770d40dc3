//! The programs under test, as cargo builds them for `cargo xtask test`: nothing is built twice. For another architecture
//! they are linked with musl, as those that are shipped.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use xtask::{
    architecture::Architecture,
    command::{cargo, log, output, run},
    setup,
};

/// Where each was built.
pub(super) struct Binaries {
    /// The kernel tests.
    pub(super) kernel: PathBuf,
    /// What they start.
    started: Vec<PathBuf>,
    /// The machine's first process.
    pub(super) guest: PathBuf,
    /// Without debug information, which is nine tenths of their size.
    are_stripped: bool,
}

impl Binaries {
    /// Builds everything for this machine.
    pub(super) fn build() -> Result<Self> {
        log("building the kernel tests");
        let mut command = cargo();
        command.args(["test", "--no-run"]);
        let artifacts = Artifacts::by(&mut command)?;
        Self::found(&artifacts, env::current_exe()?, false)
    }

    /// Builds everything for another architecture.
    pub(super) fn build_for(architecture: Architecture) -> Result<Self> {
        let tools = setup::dist::for_other_architectures()?;
        log(&format!("building the kernel tests for {architecture}"));
        let mut command = cargo();
        command
            .args(["zigbuild", "--target", architecture.target()])
            .args(["--bin", "xtask-lab"])
            .env("PATH", tools.first_in_path()?)
            .env("CARGO_PROFILE_DEV_STRIP", "debuginfo");
        let artifacts = Artifacts::by(&mut command)?;
        let guest = artifacts.executable("xtask-lab", "bin")?;
        Self::found(&artifacts, guest, true)
    }

    fn found(artifacts: &Artifacts, guest: PathBuf, are_stripped: bool) -> Result<Self> {
        let kernel = artifacts.executable("kernel", "test")?;
        // Programs are one folder above the tests.
        let folder = kernel.parent().and_then(Path::parent);
        let folder = folder.context("the path of the tests has no parent folder")?;
        let started = ["tracer", "upload-server"].map(|name| folder.join(name));
        Ok(Self {
            kernel,
            started: started.into(),
            guest,
            are_stripped,
        })
    }

    /// The names of all kernel tests. Those for another architecture have the same.
    pub(super) fn tests(&self) -> Result<Vec<String>> {
        let list = output(Command::new(&self.kernel).arg("--list"))
            .context("the kernel tests cannot be listed")?;
        Ok(list
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .map(str::to_owned)
            .collect())
    }

    /// The binaries without debug information, copied to `folder` where they have it, each with the path where the tests
    /// look for it.
    pub(super) fn stripped(&self, folder: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        let mut stripped = Vec::new();
        for (number, place) in self.started.iter().chain([&self.kernel]).enumerate() {
            if self.are_stripped {
                stripped.push((place.clone(), place.clone()));
                continue;
            }
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

/// What cargo built.
struct Artifacts(Vec<Value>);

impl Artifacts {
    fn by(command: &mut Command) -> Result<Self> {
        let built = command
            .args(["--workspace", "--locked"])
            // Each has the programs of its crate built, too.
            .args(["--test", "kernel", "--test", "server"])
            .arg("--message-format=json-render-diagnostics")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cargo cannot be started")?;
        if !built.status.success() {
            bail!("the tests cannot be built");
        }
        let built = String::from_utf8(built.stdout)?;
        let artifacts = built.lines();
        Ok(Self(
            artifacts
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect(),
        ))
    }

    fn executable(&self, name: &str, kind: &str) -> Result<PathBuf> {
        let Self(artifacts) = self;
        artifacts
            .iter()
            .filter(|artifact| {
                artifact["target"]["name"] == name && artifact["target"]["kind"][0] == kind
            })
            .find_map(|artifact| artifact["executable"].as_str())
            .map(PathBuf::from)
            .with_context(|| format!("cargo built no {kind} {name}"))
    }
}
