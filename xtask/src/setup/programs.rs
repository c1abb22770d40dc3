//! What builds the eBPF programs: a nightly toolchain with the source of `core`, and bpf-linker.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, Result};

use super::cargo_install;
use crate::{
    command::{log, output, run, tool},
    nightly::{DATED, LLVM, Nightly},
};

/// bpf-linker reads the bitcode that rustc writes: it is linked with the very LLVM of the toolchain.
const BPF_LINKER: &str = "0.13.0";
/// What building the eBPF programs needs: a nightly toolchain with rust-src, and bpf-linker.
pub fn for_programs() -> Result<()> {
    let nightly = nightly()?;
    rust_src(&nightly)?;
    bpf_linker(&nightly)
}

/// Whether `for_programs` has nothing to install.
pub(super) fn are_ready_to_build() -> bool {
    Nightly::find().is_some_and(|nightly| nightly.has_source()) && has_bpf_linker()
}

fn nightly() -> Result<Nightly> {
    if let Some(nightly) = Nightly::find() {
        return Ok(nightly);
    }
    log(&format!(
        "a nightly toolchain with LLVM {LLVM} is missing: it builds the eBPF programs"
    ));
    run(Command::new("rustup")
        .args(["toolchain", "install", DATED, "--profile", "minimal"])
        .args(["--component", "rust-src"]))?;
    Nightly::find()
        .with_context(|| format!("the toolchain {DATED} does not run, or has not LLVM {LLVM}"))
}

fn rust_src(nightly: &Nightly) -> Result<()> {
    if nightly.has_source() {
        return Ok(());
    }
    log("rust-src is missing: the eBPF programs are built with their own `core`");
    run(Command::new("rustup").args(["component", "add", "rust-src", "--toolchain", nightly.name]))
}

/// Its library is found where the toolchain has it: once another version of the toolchain has replaced that one, bpf-linker
/// does not run, and is installed anew.
fn bpf_linker(nightly: &Nightly) -> Result<()> {
    if has_bpf_linker() {
        return Ok(());
    }
    let llvm = &nightly.llvm;
    log(&format!(
        "bpf-linker {BPF_LINKER} is missing: it links the eBPF programs, with LLVM {llvm} of the toolchain {}",
        nightly.name
    ));
    let library = llvm_library(nightly).with_context(|| {
        format!("install a prebuilt bpf-linker {BPF_LINKER}, with `cargo binstall bpf-linker`")
    })?;
    let folder = library.parent().context("a library is in a folder")?;
    let mut flags =
        ["-Lnative=", "-Clink-arg=-Wl,-rpath,", "-ldylib:+verbatim="].map(OsString::from);
    flags[0].push(folder);
    flags[1].push(folder);
    flags[2].push(library.file_name().context("a library has a name")?);
    run(cargo_install("bpf-linker", BPF_LINKER)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\x1f")))
        // With a target, the options are for bpf-linker alone: what runs while it is built does without LLVM.
        .args(["--target", host()?.trim()])
        .args(["--force", "--no-default-features", "--features"])
        .arg(format!("no-llvm-linking,llvm-{LLVM}")))?;
    output(tool("bpf-linker").arg("--version"))
        .map(drop)
        .context("bpf-linker was installed and does not run")
}

/// This machine, as rustc calls it.
pub fn host() -> Result<String> {
    output(Command::new("rustc").args(["--print", "host-tuple"]))
        .context("rustc does not name its host")
}

/// LLVM, as rustc itself loads it.
fn llvm_library(nightly: &Nightly) -> Result<PathBuf> {
    let folder = nightly.sysroot.join("lib");
    let files = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    files
        .filter_map(|file| Some(file.ok()?.path()))
        .find(|path| {
            let name = path.file_name().map(OsStr::as_encoded_bytes);
            name.is_some_and(|name| name.starts_with(b"libLLVM.so."))
        })
        .with_context(|| {
            format!(
                "the toolchain {} has no LLVM of its own to link with",
                nightly.name
            )
        })
}

/// One that was installed otherwise is assumed to match the LLVM of the toolchain.
fn has_bpf_linker() -> bool {
    output(tool("bpf-linker").arg("--version")).is_some_and(|version| version.contains(BPF_LINKER))
}
