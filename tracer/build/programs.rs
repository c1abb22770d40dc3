//! Puts the object of the eBPF programs into `OUT_DIR`, compressed: the one in `prebuilt`, if it was built from this very
//! source. Or else builds it with the nightly toolchain.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use aya_build::{Package, Toolchain, build_ebpf};

use crate::{
    packed::packed,
    source::{SOURCE, prebuilt},
};

/// As `aya-build` puts it into `OUT_DIR`.
const OBJECT: &str = "programs";
/// As the tracer includes it.
const PACKED: &str = "programs.zlib";

pub fn put() -> Result<()> {
    let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    println!("cargo::rerun-if-changed=prebuilt");
    for path in SOURCE {
        println!("cargo::rerun-if-changed=../{path}");
    }
    let out = env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?;
    let out = Path::new(&out);
    let object = match prebuilt(workspace).context("looking for a prebuilt object")? {
        Some(object) => object,
        None => {
            build()?;
            out.join(OBJECT)
        }
    };
    let content = fs::read(&object).with_context(|| object.display().to_string())?;
    fs::write(out.join(PACKED), packed(&content)?).context(PACKED)
}

fn build() -> Result<()> {
    let missing = missing_tools();
    if !missing.is_empty() {
        bail!(
            "to build the eBPF programs this machine lacks {}: run `cargo xtask setup`, which installs it",
            missing.join(" and ")
        );
    }
    let root_dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../tracer-ebpf");
    build_ebpf(
        [Package {
            name: "tracer-ebpf",
            root_dir,
            no_default_features: false,
            features: &["programs"],
        }],
        Toolchain::Nightly,
    )
    .context("building the eBPF programs; if it is bpf-linker that failed, it may not match the nightly's LLVM: `cargo uninstall bpf-linker`, then `cargo xtask setup`")
}

fn missing_tools() -> Vec<&'static str> {
    let mut missing = Vec::new();
    match nightly_sysroot() {
        None => missing.push("a nightly toolchain (rustup toolchain nightly)"),
        Some(sysroot) => {
            let library = Path::new(&sysroot).join("lib/rustlib/src/rust/library/core");
            if !library.exists() {
                missing.push("rust-src on the nightly toolchain");
            }
        }
    }
    if !runs("bpf-linker", &["--version"]) {
        missing.push("bpf-linker");
    }
    missing
}

fn nightly_sysroot() -> Option<String> {
    let output = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--print", "sysroot"])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
