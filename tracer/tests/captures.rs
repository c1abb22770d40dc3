//! The captures beside this file are shown as ever, on each system that the tracer is built for.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Where a person reads how they were made.
const README: &str = "README.md";

#[test]
fn each_is_shown_as_ever() {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        for file in captures() {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            insta::assert_snapshot!(name, shown(&file));
        }
    });
}

/// A capture in a pipe is read as its file is: no byte of it is taken for the end of a line.
#[test]
fn a_stream_is_shown_as_its_file() {
    for file in captures() {
        let mut command = tracer();
        let stream = fs::File::open(&file).unwrap();
        let output = command.arg("-").stdin(stream).output().unwrap();
        assert_eq!(text(&output), shown(&file), "{}", file.display());
    }
}

fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.file_name().unwrap() != README);
    files.sort();
    assert!(!files.is_empty());
    files
}

fn tracer() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command.arg("read");
    command
}

fn shown(file: &Path) -> String {
    let output = tracer().arg(file).output().unwrap();
    assert!(output.status.success(), "{}: {output:?}", file.display());
    text(&output)
}

fn text(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}
