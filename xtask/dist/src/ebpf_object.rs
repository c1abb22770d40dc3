//! The object of the eBPF programs, built once for every architecture and kept where the tracer's build looks for it. It
//! names no folder of this machine, and has no DWARF: the loader reads BTF alone.

use std::{ffi::OsString, fs, io::ErrorKind, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};
use xtask::{
    command::{log, run, target_dir, workspace},
    ebpf_source::{PREBUILT, PREBUILT_FROM, digest, prebuilt},
    nightly::Nightly,
};

const TARGET: &str = "bpfel-unknown-none";

/// As `aya-build` builds it for debugging, but for the names of folders.
const RUSTFLAGS: [&str; 3] = [
    // Registers of other processors have other names: no program reads one.
    "--cfg=bpf_target_arch=\"x86_64\"",
    "-Cdebuginfo=2",
    "-Clink-arg=--btf",
];

/// Builds the object, unless there is one of this very source.
pub(crate) fn build() -> Result<()> {
    let workspace = workspace();
    if prebuilt(&workspace)?.is_some() {
        log("the eBPF object is of this source");
        return Ok(());
    }
    let nightly = Nightly::find().context("no nightly toolchain was found")?;
    let folder = target_dir().join("dist-ebpf");
    let mut flags: Vec<OsString> = RUSTFLAGS.map(OsString::from).into();
    flags.extend(remapped(&nightly.sysroot.join("lib/rustlib/src/rust"))?);
    let mut cargo = Command::new("rustup");
    cargo
        .args(["run", nightly.name, "cargo", "build", "--locked"])
        .args(["--package", "tracer-ebpf", "--bins"])
        .args(["--features", "programs"])
        .args(["--release", "--target", TARGET, "-Zbuild-std=core"])
        .arg("--target-dir")
        .arg(&folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f".as_ref()))
        .env_remove("RUSTC")
        .current_dir(&workspace);
    run(&mut cargo)?;
    let built = folder.join(TARGET).join("release/programs");
    let stripped = folder.join("programs");
    let objcopy = format!(
        "lib/rustlib/{}/bin/rust-objcopy",
        xtask::setup::host()?.trim()
    );
    run(Command::new(nightly.sysroot.join(objcopy))
        .arg("--strip-debug")
        .args([&built, &stripped]))?;
    let place = workspace.join(PREBUILT);
    fs::copy(&stripped, &place).with_context(|| place.display().to_string())?;
    let from = workspace.join(PREBUILT_FROM);
    fs::write(&from, digest(&workspace)? + "\n").with_context(|| from.display().to_string())
}

/// Options of rustc that give the folders of this machine one name everywhere. `library` is the source of `core`.
pub(crate) fn remapped(library: &std::path::Path) -> Result<Vec<OsString>> {
    // The last that fits counts.
    let mut names: Vec<(PathBuf, &str)> = vec![
        (fs::canonicalize(workspace())?, "/source"),
        (target_dir(), "/target"),
        (library.to_owned(), "/rustc"),
    ];
    let registries = cargo_home()?.join("registry/src");
    let mut found: Vec<PathBuf> = match fs::read_dir(&registries) {
        Ok(found) => found
            .map(|registry| Ok(registry?.path()))
            .collect::<Result<_>>()?,
        // Where all dependencies come from a folder of the user's.
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| registries.display().to_string()),
    };
    found.sort();
    names.extend(found.into_iter().map(|registry| (registry, "/cargo")));
    Ok(names
        .into_iter()
        .map(|(folder, name)| {
            let mut option = OsString::from("--remap-path-prefix=");
            option.push(folder);
            option.push("=");
            option.push(name);
            option
        })
        .collect())
}

/// Where cargo keeps the source of dependencies.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")
}
