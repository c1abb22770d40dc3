//! The nightly toolchain that builds the eBPF programs: their `core` is built with them, which no stable one does. The
//! tracer's build, its doctor and xtask use this file.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// Installed where no nightly is, or one with another LLVM.
pub const DATED: &str = "nightly-2026-05-08";
/// The major version of its LLVM. What LLVM 23 made of the programs before they were verified in parts loaded on Linux 6.1,
/// too, but its verifier followed 890,000 instructions of it instead of 520,000, of the million that it follows at most.
pub const LLVM: u32 = 22;

/// One that is installed, and has LLVM [22](LLVM).
pub struct Nightly {
    /// As rustup calls it.
    pub name: &'static str,
    /// The version of its LLVM, as rustc has it.
    pub llvm: String,
    /// Its folder.
    pub sysroot: PathBuf,
}

impl Nightly {
    /// The user's own, or else the dated one.
    pub fn find() -> Option<Self> {
        ["nightly", DATED].into_iter().find_map(Self::named)
    }

    fn named(name: &'static str) -> Option<Self> {
        let version = rustc(name, &["-vV"])?;
        let llvm = version
            .lines()
            .find_map(|line| line.strip_prefix("LLVM version: "))?;
        let major: u32 = llvm.split('.').next()?.parse().ok()?;
        (major == LLVM).then_some(())?;
        Some(Self {
            name,
            llvm: llvm.to_owned(),
            sysroot: PathBuf::from(rustc(name, &["--print", "sysroot"])?.trim()),
        })
    }

    /// Whether it has the source of `core`.
    pub fn has_source(&self) -> bool {
        let library = "lib/rustlib/src/rust/library/core";
        self.sysroot.join(library).exists()
    }
}

fn rustc(toolchain: &str, arguments: &[&str]) -> Option<String> {
    output_of(
        Command::new("rustup")
            .args(["run", toolchain, "rustc"])
            .args(arguments),
    )
}

/// What a program prints; `None` where it fails, or is not found.
pub fn output_of(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let stdout = output.status.success().then_some(output.stdout)?;
    String::from_utf8(stdout).ok()
}
