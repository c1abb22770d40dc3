//! Which cause held an upload back when, held against when it did.

use std::{collections::HashMap, fs};

use upload_protocol::timeline::{CauseSpan, Timeline, consistency::contradictions};

use crate::{
    lab::{Lab, run},
    trace::Trace,
};

/// An upload that goes fast at first. Then its client pauses, its server does not read, and its server works,
/// each for a while. When each began and ended is written into a file, in CLOCK_MONOTONIC.
const UPLOAD: &str = r"
import json, socket, sys, threading, time

moments = {}

def during(cause, seconds):
    begun = time.monotonic_ns()
    time.sleep(seconds)
    moments[cause] = [begun, time.monotonic_ns()]

def serve(server, length):
    got = 0
    while got < length:
        if got > 15_000_000 and 'server_not_reading' not in moments:
            during('server_not_reading', 0.9)
        got += len(server.recv(65536))
    during('server_thinks', 0.5)
    server.sendall(b'HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n')

listener = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
head = b'PUT /f HTTP/1.1\r\nContent-Length: 80000000\r\n\r\n'
thread = threading.Thread(target=serve, args=(server, len(head) + 80_000_000))
thread.start()
client.sendall(head + bytes(10_000_000))
during('client_application', 0.7)
client.sendall(bytes(70_000_000))
client.recv(100)
thread.join()
client.close()
server.close()
json.dump(moments, open(sys.argv[1], 'w'))
";

/// What rules too short is measured once more: on a busy machine, an end does not run when it could.
#[test]
fn each_cause_rules_when_it_did() {
    let first = too_short();
    if !first.is_empty() {
        let again = too_short();
        assert!(again.is_empty(), "{first}\n{again}");
    }
}

/// The causes that rule for less than they did, each with the course.
fn too_short() -> String {
    let lab = Lab::new();
    let moments = lab.dir.path().join("moments");
    let lines = run(lab
        .inside(env!("CARGO_BIN_EXE_tracer"))
        .args(["-o", "ndjson", "--", "python3", "-c", UPLOAD])
        .arg(&moments));
    let trace = Trace::new(lines.lines().map(str::to_owned).collect());
    let timeline = trace.only_upload();
    let moments: HashMap<String, (u64, u64)> =
        serde_json::from_slice(&fs::read(&moments).unwrap()).unwrap();
    assert_eq!(moments.len(), 3);

    let read: Timeline = serde_json::from_value(timeline.clone()).unwrap();
    assert_eq!(contradictions(&read), Vec::<String>::new());
    let course = &read.uploads[0].diagnosis.as_ref().unwrap().course;
    let began = read.at.mono_ns;
    let short = moments.into_iter().filter(|(cause, (begun, ended))| {
        let ruled = ruled(course, cause, (begun - began, ended - began));
        // A piece of the measurement is a tenth of a second, and may reach beyond either end.
        ruled < (ended - begun) * 8 / 10
    });
    let short =
        short.map(|(cause, (begun, ended))| format!("{cause} {begun} {ended}: {course:#?}"));
    short.collect::<Vec<_>>().join("\n")
}

/// For how long a cause ruled between two moments.
fn ruled(course: &[CauseSpan], cause: &str, (from, to): (u64, u64)) -> u64 {
    let own = course.iter().filter(|span| span.cause.name() == cause);
    own.map(|span| span.end_ns.min(to).saturating_sub(span.start_ns.max(from)))
        .sum()
}
