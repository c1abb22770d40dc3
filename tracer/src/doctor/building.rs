//! What is needed to build the tracer. Running it needs none of this.

use std::process::{Command, Stdio};

use super::Finding;

pub(super) fn examine() -> [Finding; 2] {
    [llvm(), linker()]
}

fn llvm() -> Finding {
    const CHECK: &str = "nightly LLVM";
    let version = output_of(Command::new("rustup").args(["run", "nightly", "rustc", "-vV"]));
    let llvm = version.as_ref().and_then(|version| {
        let mut lines = version.lines();
        lines.find_map(|line| line.strip_prefix("LLVM version: "))
    });
    match llvm {
        Some(llvm) => Finding::ok(CHECK, llvm),
        None => Finding::degraded(CHECK, to_build("a nightly toolchain")),
    }
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

fn output_of(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let stdout = output.status.success().then_some(output.stdout)?;
    String::from_utf8(stdout).ok()
}
