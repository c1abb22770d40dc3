//! What `cargo xtask dist` needs: tools of cargo's that make packages, and zig, which compiles C for each architecture
//! and brings musl for it. The machines of `cargo xtask kernels` need zig, too.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    cargo_install, debian::install, for_programs, packages, python_packages, rust_targets,
};
use crate::{
    architecture::Architecture,
    command::{log, output, run, target_dir},
};

/// What makes packages: name, version, purpose. Another version may make other bytes.
const CARGO_TOOLS: [(&str, &str, &str); 2] = [
    ("cargo-deb", "3.8.0", "makes packages of Debian's"),
    ("cargo-generate-rpm", "0.21.1", "makes packages of rpm's"),
];

/// Python packages: the compiler, and what makes cargo use it.
const PYTHON: [&str; 2] = ["cargo-zigbuild==0.24.1", "ziglang==0.17.1"];

/// Where what was installed is.
pub struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// `PATH`, with these tools first.
    ///
    /// # Errors
    /// Where a folder's name has a colon.
    pub fn first_in_path(&self) -> Result<OsString> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = [self.folder.clone()];
        let folders = folders.into_iter().chain(env::split_paths(&path));
        env::join_paths(folders).context("PATH")
    }
}

/// Installs what is missing.
///
/// # Errors
/// Where that fails.
pub fn for_dist() -> Result<Tools> {
    for_programs()?;
    let tools = for_other_architectures()?;
    for (name, version, purpose) in CARGO_TOOLS {
        let installed = output(Command::new(tools.folder.join(name)).arg("--version"));
        if installed.is_some_and(|shown| shown.contains(version)) {
            continue;
        }
        log(&format!("{name} {version} is missing: it {purpose}"));
        run(cargo_install(name, version)
            .args(["--force", "--root"])
            .arg(folder()))?;
    }
    Ok(tools)
}

/// Installs what compiles for other architectures than this machine's.
///
/// # Errors
/// Where that fails.
pub fn for_other_architectures() -> Result<Tools> {
    rust_targets(&Architecture::ALL.map(Architecture::target))?;
    let folder = folder();
    let python = folder.join("bin/python");
    if !folder.join("bin/pip").exists() {
        log("zig is missing: it compiles C for each architecture");
        environment(&folder)?;
    }
    python_packages(&python, &folder, &PYTHON, &[])?;
    let folder = fs::canonicalize(folder.join("bin")).context("the folder of zig")?;
    Ok(Tools { folder })
}

/// Where the tools are installed.
fn folder() -> PathBuf {
    target_dir().join("dist-tools")
}

/// What the trial of the packages needs: containers of Debian's, and another processor.
///
/// # Errors
/// Where it cannot be installed.
pub fn for_trial() -> Result<()> {
    packages(&[
        ("lintian", "lintian"),
        ("mmdebstrap", "mmdebstrap"),
        ("qemu-aarch64-static", "qemu-user-static"),
        ("systemd-nspawn", "systemd-container"),
    ])
}

/// What the trial in a virtual machine needs.
///
/// # Errors
/// Where it cannot be installed.
pub fn for_machine() -> Result<()> {
    packages(&[
        ("mmdebstrap", "mmdebstrap"),
        ("qemu-system-x86_64", "qemu-system-x86"),
    ])
}

/// A virtual environment of Python's. Debian's Python comes without pip.
pub(super) fn environment(folder: &Path) -> Result<()> {
    let create = || run(Command::new("python3").args(["-m", "venv"]).arg(folder));
    if create().is_err() {
        install(&["python3-venv"])?;
        create()?;
    }
    Ok(())
}
