//! What building the tracer takes; running it takes none of this.

use std::process::{Command, Stdio};

use super::Finding;

pub(super) fn examine() -> [Finding; 2] {
    [llvm(), linker()]
}

fn llvm() -> Finding {
    const WHAT: &str = "nightly LLVM";
    let version = said(Command::new("rustup").args(["run", "nightly", "rustc", "-vV"]));
    let llvm = version.as_ref().and_then(|version| {
        let mut lines = version.lines();
        lines.find_map(|line| line.strip_prefix("LLVM version: "))
    });
    match llvm {
        Some(llvm) => Finding::ok(WHAT, llvm),
        None => Finding::degraded(WHAT, to_build("a nightly toolchain")),
    }
}

fn linker() -> Finding {
    const WHAT: &str = "bpf-linker";
    match said(Command::new("bpf-linker").arg("--version")) {
        Some(version) => Finding::ok(WHAT, version.trim()),
        None => Finding::degraded(WHAT, to_build("bpf-linker")),
    }
}

fn to_build(what: &str) -> String {
    format!(
        "{what} is not found from here: the tracer cannot be built, only run; `cargo xtask setup` installs it"
    )
}

fn said(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let said = output.status.success().then_some(output.stdout)?;
    String::from_utf8(said).ok()
}
