//! The tracer's core reads no clock, opens no file and no socket, and prints nothing: time and
//! bytes come in with its input. So a recording gives the same output as the live run did.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use xtask::command::workspace;

const CORE: &str = "tracer/src/core";

/// Words that stand for something outside the core, by what they would bring in. A path to a file
/// or a socket passes through one of them, however it is imported.
const FORBIDDEN: [(&str, &[&str]); 6] = [
    ("a clock", &["Instant", "SystemTime", "clock_gettime"]),
    ("files", &["fs"]),
    (
        "sockets",
        &[
            "TcpListener",
            "TcpStream",
            "UdpSocket",
            "UnixDatagram",
            "UnixListener",
            "UnixStream",
        ],
    ),
    ("the asynchronous runtime", &["tokio"]),
    ("the kernel", &["aya", "nix", "procfs", "rustix"]),
    (
        "input and output",
        &[
            "dbg", "eprint", "eprintln", "print", "println", "stderr", "stdin", "stdout",
        ],
    ),
];

/// Fails with every place where the core mentions something outside it.
pub(super) fn check() -> Result<()> {
    let core = workspace().join(CORE);
    let mut files = vec![core.with_extension("rs")];
    sources(&core, &mut files)?;
    let mut found = Vec::new();
    for file in files {
        let source = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let file = file.strip_prefix(workspace()).unwrap_or(&file);
        found.extend(mentions(&source).map(|(line, word, what)| {
            format!("{}:{line}: `{word}` brings in {what}", file.display())
        }));
    }
    if !found.is_empty() {
        bail!(
            "{CORE} must be free of clocks, files, sockets and output; pass these in as input:\n{}",
            found.join("\n")
        );
    }
    Ok(())
}

/// The sources below `folder`, without tests: these may read recordings.
fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// Line, word, and what the word would bring in.
fn mentions(source: &str) -> impl Iterator<Item = (usize, &str, &'static str)> {
    let code = source
        .lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    code.flat_map(|(number, line)| {
        let mentioned = words(line).filter_map(move |word| {
            let (what, _) = FORBIDDEN.iter().find(|(_, words)| words.contains(&word))?;
            Some((number + 1, word, *what))
        });
        mentioned.chain(leaves_core(line).then_some((number + 1, "crate", "another layer")))
    })
}

/// Whether a line's code has a path to a module of this crate outside the core.
fn leaves_core(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let mut paths = code.split("crate::").skip(1);
    paths.any(|path| !path.starts_with("core::"))
}

/// The words of a line's code: what is neither quoted nor a comment.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    let unquoted = code.split('"').step_by(2);
    unquoted.flat_map(|code| {
        code.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .filter(|word| !word.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[track_caller]
    fn check(source: &str, expected: &[(usize, &str)]) {
        let found: Vec<(usize, &str)> = mentions(source)
            .map(|(line, word, _)| (line, word))
            .collect();
        assert_eq!(found, expected, "{source}");
    }

    #[test]
    fn however_it_is_imported() {
        check("use std::fs::File;", &[(1, "fs")]);
        check(
            "use std::{\n    fs,\n    io::{self, stdout},\n};",
            &[(2, "fs"), (3, "stdout")],
        );
        check("let now = std::time::Instant::now();", &[(1, "Instant")]);
        check("println!(\"{x}\");", &[(1, "println")]);
        check("use tokio::sync::mpsc;", &[(1, "tokio")]);
        check("use rustix::time::ClockId;", &[(1, "rustix")]);
        check("use crate::kernel::Probe;", &[(1, "crate")]);
        check("use crate::{\n    core::event,\n};", &[(1, "crate")]);
        check("let x = crate::message(a);", &[(1, "crate")]);
    }

    #[test]
    fn what_is_no_code_and_what_is_pure_are_left_alone() {
        check("/// println!, as tokio would", &[]);
        check("let text = \"read from fs\"; // Instant", &[]);
        check("use std::{net::{IpAddr, SocketAddr}, time::Duration};", &[]);
        check("use linux_raw_sys::errno::ECONNREFUSED;", &[]);
        check("use crate::core::event::Event;", &[]);
        check(
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}",
            &[],
        );
    }
}
