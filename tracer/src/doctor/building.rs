//! What is needed to build the tracer. Running it needs none of this.

use std::process::Command;

use super::Finding;

#[path = "../../build/nightly.rs"]
mod nightly;

use nightly::{LLVM, Nightly, output_of};

pub(super) fn examine() -> [Finding; 2] {
    [toolchain(), linker()]
}

fn toolchain() -> Finding {
    const CHECK: &str = "nightly LLVM";
    let lacking = match Nightly::find() {
        Some(nightly) if nightly.has_source() => {
            return Finding::ok(CHECK, format!("{}, of {}", nightly.llvm, nightly.name));
        }
        Some(nightly) => format!("rust-src on the toolchain {}", nightly.name),
        None => format!("a nightly toolchain with LLVM {LLVM}"),
    };
    Finding::degraded(CHECK, to_build(&lacking))
}

fn linker() -> Finding {
    const CHECK: &str = "bpf-linker";
    match output_of(Command::new("bpf-linker").arg("--version")) {
        Some(version) => Finding::ok(CHECK, version.trim()),
        None => Finding::degraded(CHECK, to_build("bpf-linker")),
    }
}

fn to_build(tool: &str) -> String {
    format!(
        "{tool} is not found: the tracer runs but cannot be built; `cargo xtask setup` installs it"
    )
}
