//! The commands in the documents: the tracer understands each, and replays work as they stand there.

use std::{fs, process::Command};

use tracer::cli::Cli;
use xtask::{
    command::workspace,
    documents::{self, check},
};

use crate::lab::{Lab, run, skip};

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

/// The programs for `jq`, as the shell gets them.
fn jq_programs() -> Vec<String> {
    let text = fs::read_to_string(workspace().join("tracer/docs/output.md")).unwrap();
    let blocks = text.split("\n\n").map(str::to_owned);
    blocks
        .filter(|block| block.starts_with("    jq "))
        .collect()
}

/// On the lines of an upload whose server did not read for more than a second.
#[test]
fn the_jq_programs_work() {
    if commands().is_none() {
        return;
    }
    let lab = Lab::new();
    let lines = run(lab.inside(env!("CARGO_BIN_EXE_tracer")).args([
        "-o",
        "ndjson",
        "--",
        "python3",
        "-c",
        r"
import socket, threading, time
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
listener.bind(('127.0.0.1', 0))
listener.listen()
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
head = b'PUT /f HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n'
threading.Thread(target=client.sendall, args=(head + bytes(1000000),)).start()
time.sleep(1.2)
got = 0
while got < len(head) + 1000000:
    got += len(server.recv(65536))
server.sendall(b'HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n')
client.recv(100)
client.close()
server.close()
",
    ]));
    fs::write(lab.dir.path().join("uploads.ndjson"), lines).unwrap();
    let expected = [
        // The bundled server alone knows its disk.
        "[]",
        "\"seconds\": 1.",
        "\"server_not_reading\": 1.",
        "[]",
        "{\"name\":\"f\",\"from_s\":0.",
    ];
    let programs = jq_programs();
    assert_eq!(programs.len(), expected.len(), "{programs:#?}");
    for (program, part) in programs.iter().zip(expected) {
        let mut shell = Command::new("sh");
        let found = run(shell.args(["-c", program]).current_dir(lab.dir.path()));
        assert!(found.contains(part), "{program}: {found}");
    }
}
