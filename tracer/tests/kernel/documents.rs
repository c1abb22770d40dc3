//! The commands in the documents: the tracer understands each, and replays work as they stand there.

use std::process::Command;

use tracer::cli::Cli;
use xtask::{
    command::workspace,
    documents::{self, check},
};

use crate::lab::{run, skip};

/// The commands; `None` in a virtual machine, which has the tests alone.
fn commands() -> Option<Vec<documents::Command>> {
    if workspace().join("README.md").is_file() {
        return Some(documents::commands("tracer").unwrap());
    }
    skip("the documents are not in this machine");
    None
}

#[test]
fn the_commands_are_understood() {
    let Some(commands) = commands() else { return };
    check::<Cli>(&commands).unwrap();
}

/// Those of a recording in the repository: the first that a newcomer types.
#[test]
fn the_replays_work() {
    let Some(commands) = commands() else { return };
    let is_here = |word: &String| workspace().join(word).is_file();
    let replays: Vec<_> = commands
        .iter()
        .filter(|command| command.words.get(1).is_some_and(|verb| verb == "replay"))
        .filter(|command| command.words.iter().any(is_here))
        .collect();
    assert!(!replays.is_empty(), "no document replays a recording");
    for replay in replays {
        let text = run(Command::new(env!("CARGO_BIN_EXE_tracer"))
            .args(&replay.words[1..])
            .current_dir(workspace()));
        assert!(text.contains("initiation"), "{}: {text}", replay.place);
    }
}
