//! The source that is shipped, built with a stable toolchain alone: rustup, with its nightly, and bpf-linker cannot be
//! found.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use flate2::read::GzDecoder;
use xtask::{
    command::{log, output, run, target_dir, tool},
    ebpf_source::PREBUILT,
};

use crate::{binaries, release::Release, source_package};

/// What must not be found.
const ABSENT: [&str; 2] = ["rustup", "bpf-linker"];

/// Installs the tracer from the archive in `out`.
pub(super) fn build(release: &Release, out: &Path) -> Result<()> {
    let folder = tempfile::tempdir_in(target_dir()).context("a directory in cargo's")?;
    let folder = fs::canonicalize(folder.path())?;
    let name = source_package::name(release);
    let archive = out.join(format!("{name}.tar.gz"));
    let archive = fs::File::open(&archive).with_context(|| archive.display().to_string())?;
    tar::Archive::new(GzDecoder::new(archive)).unpack(&folder)?;
    let source = folder.join(name);
    let installed = folder.join("installed");
    let toolchain = toolchain()?;
    let programs = folder.join("programs");
    link_programs(&programs)?;
    for program in ABSENT {
        let found = [&toolchain, &programs].map(|place| place.join(program));
        ensure!(
            !found.iter().any(|place| place.exists()),
            "{program} is in the way of this trial"
        );
    }
    let path = env::join_paths([&toolchain, &programs])?;
    log("cargo install, from the source that is shipped");
    run(Command::new(toolchain.join("cargo"))
        .args(["install", "--locked", "--path", "tracer", "--root"])
        .arg(&installed)
        .current_dir(&source)
        .env("PATH", path)
        .env_remove("RUSTUP_HOME")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO_TARGET_DIR"))?;
    let tracer = installed.join("bin/tracer");
    binaries::has_object(&tracer, &source.join(PREBUILT))?;
    let version = output(Command::new(&tracer).arg("--version"));
    ensure!(
        version.is_some_and(|shown| shown.contains(&release.commit)),
        "the tracer that was built does not name its commit"
    );
    Ok(())
}

/// Fills `folder` with links to this machine's programs, all but [`ABSENT`].
fn link_programs(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    for program in fs::read_dir("/usr/bin")? {
        let name = program?.file_name();
        let is_absent = ABSENT
            .iter()
            .any(|absent| name.as_encoded_bytes().starts_with(absent.as_bytes()));
        if !is_absent {
            symlink(Path::new("/usr/bin").join(&name), folder.join(&name))?;
        }
    }
    Ok(())
}

/// The programs of the toolchain that this was built with.
fn toolchain() -> Result<PathBuf> {
    let sysroot =
        output(tool("rustc").args(["--print", "sysroot"])).context("rustc does not run")?;
    Ok(PathBuf::from(sysroot.trim()).join("bin"))
}
