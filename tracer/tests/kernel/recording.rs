//! A recording gives the same output as the live run did.

use std::{fs, process::Command};

use crate::{
    lab::{Lab, run},
    trace::Trace,
};

#[test]
fn replay_equals_live() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let recording = lab.dir.path().join("uploads.trace");
    let mut recorder = lab.tracer(&["record", recording.to_str().unwrap()]);
    for (name, bytes) in [("empty", 0), ("small", 1000), ("large", 5_000_000)] {
        let file = lab.file(name, bytes);
        lab.upload(&file, &server.url(""));
    }
    recorder.wait_for_timelines(3);
    let live = recorder.stop();
    server.stop();

    let replayed = run(Command::new(env!("CARGO_BIN_EXE_tracer"))
        .args(["replay", "-o", "ndjson"])
        .arg(&recording));
    let replayed: Vec<&str> = replayed.lines().collect();
    assert_eq!(replayed, live.text);
}

#[test]
fn damage_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.trace");
    let cases: [(&[u8], &str); 5] = [
        (b"", "this is not a recording"),
        (b"GET / HTTP/1.1\r\n\r\n", "this is not a recording"),
        (
            b"tcptrace\xff\xff\x01\x00\x00",
            "replay it with the tracer that recorded it",
        ),
        (
            b"tcptrace\x01\x00\x02\x00\x00\x10\x00\x00\x00\x00abc",
            "ends in the middle of a frame",
        ),
        (
            b"tcptrace\x01\x00\x02\x00\x00\xff\xff\xff\xff\x00abc",
            "a frame of 4294967295 bytes",
        ),
    ];
    for (content, sentence) in cases {
        fs::write(&path, content).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_tracer"))
            .arg("replay")
            .arg(&path)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(sentence), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

/// A recording of uploads that end well, share a connection, or are cut off, of a page that is read,
/// and of a connection that is refused.
#[test]
fn a_recording_reads_the_same_for_ever() {
    let recording = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/recordings/uploads.trace"
    );
    let text = run(Command::new(env!("CARGO_BIN_EXE_tracer")).args(["replay", recording]));
    insta::assert_snapshot!("uploads", text);
    let explained =
        run(Command::new(env!("CARGO_BIN_EXE_tracer")).args(["replay", "--explain", recording]));
    insta::assert_snapshot!("uploads_explained", explained);
    let lines =
        run(Command::new(env!("CARGO_BIN_EXE_tracer")).args(["replay", "-o", "ndjson", recording]));
    let trace = Trace::new(lines.lines().map(str::to_owned).collect());
    assert!(!trace.timelines().is_empty());
}
