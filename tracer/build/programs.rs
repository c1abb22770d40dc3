//! Puts the object of the eBPF programs into `OUT_DIR`, compressed: the one in `prebuilt`, if it was built from this very
//! source. Or else builds it with the nightly toolchain.

use std::{env, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};
use aya_build::{Package, Toolchain, build_ebpf};

use crate::{
    nightly::{LLVM, Nightly, output_of},
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
    let linker = output_of(Command::new("bpf-linker").arg("--version"));
    let nightly = match (Nightly::find(), linker.is_some()) {
        (Some(nightly), true) if nightly.has_source() => nightly,
        (nightly, has_linker) => bail!(
            "to build the eBPF programs this machine lacks {}: run `cargo xtask setup`, which installs it",
            missing(nightly.as_ref(), has_linker).join(" and ")
        ),
    };
    let root_dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../tracer-ebpf");
    build_ebpf(
        [Package {
            name: "tracer-ebpf",
            root_dir,
            no_default_features: false,
            features: &["programs"],
        }],
        Toolchain::Custom(nightly.name),
    )
    .with_context(|| format!(
        "building the eBPF programs with the toolchain {}; if it is bpf-linker that failed, it may not match the toolchain's LLVM {}: `cargo uninstall bpf-linker`, then `cargo xtask setup`",
        nightly.name, nightly.llvm
    ))
}

fn missing(nightly: Option<&Nightly>, has_linker: bool) -> Vec<String> {
    let toolchain = match nightly {
        None => Some(format!("a nightly toolchain with LLVM {LLVM}")),
        Some(nightly) if nightly.has_source() => None,
        Some(nightly) => Some(format!("rust-src on the toolchain {}", nightly.name)),
    };
    let linker = (!has_linker).then(|| "bpf-linker".to_owned());
    toolchain.into_iter().chain(linker).collect()
}
