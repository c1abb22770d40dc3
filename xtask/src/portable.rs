//! Builds the tracer where there is no eBPF, and tests it there as far as this machine can: for Windows under wine;
//! for macOS it is checked alone, since linking needs Apple's libraries.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use xtask::{
    command::{cargo, is_installed, log, run, target_dir, workspace},
    setup::{self, MACOS, WINDOWS},
};

const PACKAGE: [&str; 4] = ["--locked", "--package", "tracer", "--no-default-features"];

/// The cheap checks come first.
pub(crate) fn portable() -> Result<()> {
    setup::for_portable()?;
    clippy(&[])?;
    clippy(&["--target", MACOS])?;
    windows()
}

fn clippy(target: &[&str]) -> Result<()> {
    let mut command = cargo();
    command
        .arg("clippy")
        .args(PACKAGE)
        .args(["--lib", "--bins"]);
    run(command.args(target).args(["--", "-D", "warnings"]))
}

/// Unit tests, and the captures of the repository as they are shown.
fn windows() -> Result<()> {
    let mut test = cargo();
    test.arg("test").args(PACKAGE).args(["--target", WINDOWS]);
    test.args(["--lib", "--test", "captures"]);
    if !is_installed("wine") {
        log("wine is missing: the tests of the Windows program are built, and skipped");
        return run(test.arg("--no-run"));
    }
    let libraries = target_dir().join("wine-libraries");
    random_numbers(&libraries)?;
    test.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", "wine")
        .env("WINEPREFIX", target_dir().join("wine"))
        .env("WINEPATH", &libraries)
        .env("WINEDEBUG", "-all")
        // Neither .NET nor a browser is asked for.
        .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
        // No cargo runs there that insta could ask.
        .env("INSTA_WORKSPACE_ROOT", workspace())
        .env("INSTA_UPDATE", "no");
    run(&mut test)
}

/// Makes the library that Rust's standard library takes random numbers from: wine has it from version 9 on.
fn random_numbers(libraries: &Path) -> Result<()> {
    const SOURCE: &str = "#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T length) {
    return SystemFunction036(bytes, (ULONG)length);
}
";
    let library = libraries.join("bcryptprimitives.dll");
    if library.exists() {
        return Ok(());
    }
    fs::create_dir_all(libraries).with_context(|| libraries.display().to_string())?;
    let source = libraries.join("bcryptprimitives.c");
    fs::write(&source, SOURCE)?;
    let mut compiler = Command::new(setup::MINGW);
    compiler.args(["-shared", "-O1", "-o"]).arg(&library);
    run(compiler.arg(&source).arg("-ladvapi32"))
}
