//! Files that the tracer writes: whose they are, and that they may be rotated.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::lab::{Lab, Server, run, wait_until};

/// No user of the machine needs this id.
const CALLER: u32 = 4_000_123;

fn upload_until(lab: &Lab, server: &Server, done: impl Fn() -> bool) {
    let file = lab.file("small", 100);
    wait_until(|| {
        lab.upload(&file, &server.url("small"));
        done()
    });
}

/// Frames of a capture file, as tshark reads it; `None` where it cannot.
fn frames(path: &Path) -> Option<usize> {
    let read = Command::new("tshark")
        .args(["-n", "-T", "fields", "-e", "frame.number", "-r"])
        .arg(path)
        .output()
        .unwrap();
    read.status
        .success()
        .then(|| String::from_utf8(read.stdout).unwrap().lines().count())
}

#[test]
fn files_belong_to_the_caller_of_sudo() {
    let lab = Lab::new();
    let paths: Vec<PathBuf> = ["trace", "pcapng"]
        .iter()
        .map(|name| lab.dir.path().join(name))
        .collect();
    let [recording, capture] = &paths[..] else {
        unreachable!()
    };
    let there = lab.file("there", 1);
    for (recording, owner) in [(recording, CALLER), (&there, 0)] {
        run(Command::new(env!("CARGO_BIN_EXE_tracer"))
            .args(["record", recording.to_str().unwrap(), "--port", "5000"])
            .args(["--pcapng", capture.to_str().unwrap(), "--duration", "0"])
            .env("SUDO_UID", CALLER.to_string())
            .env("SUDO_GID", CALLER.to_string()));
        let found = fs::metadata(recording).unwrap();
        assert_eq!((found.uid(), found.gid()), (owner, owner), "{recording:?}");
    }
    let found = fs::metadata(capture).unwrap();
    assert_eq!((found.uid(), found.gid()), (CALLER, CALLER));
}

/// Moved away and emptied: each piece is whole, and the tracer goes on.
#[test]
fn files_are_rotated_under_way() {
    let lab = Lab::new();
    let server = lab.server(&["--on-duplicate", "overwrite"]);
    let path = |name: &str| lab.dir.path().join(name);
    let (recording, capture) = (path("trace"), path("pcapng"));
    let tracer = lab.tracer_alone(&[
        "record",
        recording.to_str().unwrap(),
        "--pcapng",
        capture.to_str().unwrap(),
        "--port",
        "5000",
        "-o",
        "ndjson",
    ]);
    let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let empty = length(&capture);
    upload_until(&lab, &server, || length(&capture) > empty);
    let (old_recording, old_capture) = (path("trace.1"), path("pcapng.1"));
    fs::rename(&recording, &old_recording).unwrap();
    fs::rename(&capture, &old_capture).unwrap();
    upload_until(&lab, &server, || {
        length(&recording) > 4096 && length(&capture) > empty
    });
    for path in [&recording, &capture] {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(0).unwrap();
    }
    upload_until(&lab, &server, || {
        let begins =
            |path: &Path, magic: &[u8]| fs::read(path).is_ok_and(|bytes| bytes.starts_with(magic));
        begins(&recording, b"tcptrace") && begins(&capture, b"\x0a\x0d\x0d\x0a")
    });
    tracer.stop();
    for path in [&old_capture, &capture] {
        assert!(frames(path) > Some(0), "{path:?}");
    }
    for path in [&old_recording, &recording] {
        let stdout = run(Command::new(env!("CARGO_BIN_EXE_tracer"))
            .args(["replay", "-o", "ndjson"])
            .arg(path));
        assert!(
            stdout.contains(r#""type":"timeline""#),
            "{path:?}: {stdout}"
        );
    }
    server.stop();
}

/// `copytruncate` of what stdout goes to.
#[test]
fn stdout_in_a_file_that_is_emptied() {
    let lab = Lab::new();
    let server = lab.server(&["--on-duplicate", "overwrite"]);
    let path = lab.dir.path().join("lines");
    let arguments = ["-o", "ndjson", "--port", "5000"];
    let tracer = lab.tracer_into(&arguments, fs::File::create(&path).unwrap());
    let has_line = || fs::read_to_string(&path).is_ok_and(|text| text.starts_with("{\"type\""));
    upload_until(&lab, &server, has_line);
    fs::File::options()
        .write(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    upload_until(&lab, &server, has_line);
    drop(tracer);
    server.stop();
}
