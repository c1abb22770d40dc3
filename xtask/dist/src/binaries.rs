//! The programs, linked with musl: they run on every distribution. zig compiles their C and links them, for each
//! architecture alike.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use memchr::memmem;
use xtask::{
    command::{cargo, output, run, target_dir, tool, workspace},
    ebpf_source::PREBUILT,
    setup::dist::Tools,
};

use crate::{
    ebpf_object::remapped,
    packed::packed,
    program::{Architecture, PROGRAMS},
    release::Release,
};

const TRACER: &str = "tracer";

/// Builds both, and returns the folder that they are in.
pub(crate) fn build(
    tools: &Tools,
    release: &Release,
    architecture: Architecture,
    is_quick: bool,
) -> Result<PathBuf> {
    let profile = if is_quick { "dev" } else { "shipped" };
    let sysroot =
        output(tool("rustc").args(["--print", "sysroot"])).context("rustc does not run")?;
    let library = PathBuf::from(sysroot.trim()).join("lib/rustlib/src/rust");
    let flags = remapped(&library)?;
    let mut command = cargo();
    command
        .args(["zigbuild", "--locked", "--profile", profile])
        .args(["--target", architecture.target()]);
    for program in &PROGRAMS {
        command.args(["--package", program.name, "--bin", program.name]);
    }
    command
        .env("PATH", tools.first_in_path()?)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f".as_ref()))
        .env("CFLAGS", compiler_flags(&flags)?)
        .env("SOURCE_COMMIT", &release.commit)
        .env("SOURCE_DATE_EPOCH", release.epoch.to_string());
    run(&mut command)?;
    let folder = if is_quick { "debug" } else { profile };
    let folder = target_dir().join(architecture.target()).join(folder);
    has_object(&folder.join(TRACER), &workspace().join(PREBUILT))?;
    Ok(folder)
}

/// Where the source changed meanwhile, the tracer's build has made an object of its own.
pub(crate) fn has_object(tracer: &Path, object: &Path) -> Result<()> {
    let object = fs::read(object).with_context(|| object.display().to_string())?;
    let program = fs::read(tracer).with_context(|| tracer.display().to_string())?;
    ensure!(
        memmem::find(&program, &packed(&object)?).is_some(),
        "the tracer has another object than the prebuilt one: the source changed while it was built"
    );
    Ok(())
}

/// The same names for the C compiler.
fn compiler_flags(remapped: &[OsString]) -> Result<OsString> {
    let mut flags = Vec::new();
    for option in remapped {
        let option = option.to_str().context("a folder's name is not UTF-8")?;
        let names = option.trim_start_matches("--remap-path-prefix=");
        flags.push(format!("-ffile-prefix-map={names}"));
    }
    let mut joined = flags.join(" ");
    if let Ok(own) = env::var("CFLAGS") {
        joined = format!("{joined} {own}");
    }
    Ok(joined.into())
}
