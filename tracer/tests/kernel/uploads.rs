//! Each upload lands on the timeline of its own connection.

use std::{
    collections::HashSet,
    fs,
    io::{Read as _, Write as _},
    process::Command,
};

use serde_json::Value;

use crate::{
    lab::{Lab, Server, is_emulated},
    trace::{number, steps},
};

#[test]
fn one_upload_from_syn_to_last_ack() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let mut tracer = lab.tracer(&[]);
    let file = lab.file("cat.png", 3_400_000);
    lab.upload(&file, &server.url(""));
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();

    let timeline = trace.only_upload();
    let upload = &timeline["uploads"][0];
    assert_eq!(upload["name"], "cat.png");
    assert_eq!(upload["bytes"], 3_400_000);
    assert_eq!(upload["status"], 201);
    assert_eq!(upload["outcome"], "complete");
    assert_eq!(
        fs::read(lab.uploads().join("cat.png")).unwrap(),
        fs::read(file).unwrap()
    );

    let phases: Vec<&str> = timeline["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|phase| phase["name"].as_str().unwrap())
        .collect();
    assert_eq!(phases, ["initiation", "maintenance", "termination"]);
    assert_eq!(
        steps(timeline, 0),
        ["client SYN", "server SYN-ACK", "client ACK"]
    );
    for phase in [0, 2] {
        for step in timeline["phases"][phase]["steps"].as_array().unwrap() {
            assert_eq!(step["certainty"], "observed", "{step}");
            assert!(
                step["known_by"].as_str().unwrap().starts_with("cgroup_skb"),
                "{step}"
            );
        }
    }
    let options = &timeline["phases"][0]["options"];
    assert_eq!(options["mss"], 65495, "loopback's MTU less the headers");
    assert_eq!(options["sack_permitted"], true);

    let exchange = &timeline["phases"][1]["exchanges"][0];
    assert_eq!(exchange["request"]["method"], "PUT");
    assert_eq!(exchange["request"]["target"], "/cat.png");
    assert_eq!(exchange["body"]["bytes"], 3_400_000);
    assert_eq!(exchange["body"]["acknowledged"], 3_400_000);
    assert_eq!(exchange["response"]["status"], 201);
    assert_eq!(exchange["sequence"], 1);
    in_order(timeline);

    assert_eq!(timeline["phases"][2]["closed_first"], "client");
    assert_eq!(timeline["phases"][2]["how"], "fin");
    assert_eq!(timeline["phases"][2]["time_wait"], "client");
    assert!(number(&timeline["bytes"]["client_to_server"]) > 3_400_000);
    assert_eq!(timeline["complete"], true);
    assert_eq!(timeline["lost"], 0);

    assert_eq!(timeline["client"]["comm"], "curl");
    assert_eq!(timeline["client"]["owner_from"], "connect");
    assert_eq!(timeline["server"]["comm"], "upload-server");
    assert_eq!(number(&timeline["server"]["pid"]), u64::from(server.pid()));
    server.stop();
}

/// The times of one exchange follow one another, after the handshake and before the first FIN.
fn in_order(timeline: &Value) {
    let phases = &timeline["phases"];
    let exchange = &phases[1]["exchanges"][0];
    let times = [
        number(&phases[0]["start_ns"]),
        number(&phases[0]["end_ns"]),
        number(&exchange["request"]["start_ns"]),
        number(&exchange["request"]["end_ns"]),
        number(&exchange["body"]["start_ns"]),
        number(&exchange["body"]["end_ns"]),
        number(&exchange["response"]["start_ns"]),
        number(&exchange["response"]["end_ns"]),
        number(&phases[2]["end_ns"]),
    ];
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn two_uploads_on_one_connection() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let mut tracer = lab.tracer(&[]);
    let (one, two) = (lab.file("one", 1000), lab.file("two", 2000));
    let uploaded = lab.curl(&[
        "--upload-file",
        one.to_str().unwrap(),
        &server.url("one"),
        "--upload-file",
        two.to_str().unwrap(),
        &server.url("two"),
    ]);
    assert!(uploaded.status.success(), "{uploaded:?}");
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();

    let timeline = trace.only_upload();
    let sequence: Vec<(u64, u64, &str)> = timeline["phases"][1]["exchanges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|exchange| {
            (
                number(&exchange["sequence"]),
                number(&exchange["body"]["bytes"]),
                exchange["request"]["target"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(sequence, [(1, 1000, "/one"), (2, 2000, "/two")]);
    assert_eq!(trace.of("upload").len(), 2);
    for line in trace.of("upload") {
        assert_eq!(line["connection"], timeline["connection"]);
    }
    server.stop();
}

#[test]
fn an_upload_that_is_cut_off() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let mut tracer = lab.tracer(&[]);
    let script = format!(
        "import socket, struct
s = socket.create_connection(('127.0.0.1', {port}))
s.sendall(b'PUT /cut HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 1000000\\r\\n\\r\\n' + b'x' * 5000)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
s.close()",
        port = server.address.port()
    );
    crate::lab::run(lab.inside("python3").args(["-c", &script]));
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();

    let timeline = trace.only_upload();
    assert_eq!(timeline["uploads"][0]["outcome"], "reset");
    assert_eq!(timeline["uploads"][0]["status"], Value::Null);
    assert_eq!(timeline["phases"][2]["how"], "rst");
    assert_eq!(timeline["phases"][2]["closed_first"], "client");
    assert_eq!(steps(timeline, 2), ["client RST"]);
    assert!(!lab.uploads().join("cut").exists());
    server.stop();
}

#[test]
fn a_thousand_in_a_row_and_a_hundred_at_once() {
    // An emulated processor is slow.
    let (in_a_row, at_once) = if is_emulated() {
        (200, 50)
    } else {
        (1000, 100)
    };
    let lab = Lab::new();
    let server = lab.server(&[]);
    let mut tracer = lab.tracer(&[]);
    let file = lab.file("small", 10_000);
    let upload = |name: String| {
        let mut curl = lab.inside("curl");
        curl.args(["--silent", "--show-error", "--fail", "--upload-file"])
            .arg(&file)
            .arg(server.url(&name))
            .stdout(std::process::Stdio::null());
        curl
    };
    for number in 0..in_a_row {
        assert!(upload(format!("row-{number}")).status().unwrap().success());
    }
    let running: Vec<_> = (0..at_once)
        .map(|number| upload(format!("once-{number}")).spawn().unwrap())
        .collect();
    for mut curl in running {
        assert!(curl.wait().unwrap().success());
    }
    tracer.wait_for_timelines(in_a_row + at_once);
    let trace = tracer.stop();

    let timelines = trace.timelines();
    assert_eq!(timelines.len(), in_a_row + at_once);
    let timeline_count = timelines.len() as u64;
    let mut names = HashSet::new();
    for timeline in timelines {
        assert_eq!(timeline["uploads"].as_array().unwrap().len(), 1);
        assert_eq!(
            timeline["phases"][1]["exchanges"].as_array().unwrap().len(),
            1
        );
        let upload = &timeline["uploads"][0];
        assert_eq!(upload["bytes"], 10_000);
        assert_eq!(upload["status"], 201);
        assert_eq!(timeline["complete"], true);
        let name = upload["name"].as_str().unwrap().to_owned();
        let target = timeline["phases"][1]["exchanges"][0]["request"]["target"].as_str();
        assert_eq!(target, Some(format!("/{name}").as_str()));
        assert!(names.insert(name), "an upload on two timelines");
        in_order(timeline);
    }
    assert_eq!(trace.of("lost").len(), 0);
    assert_eq!(trace.summary()["lost"], 0);
    assert_eq!(number(&trace.summary()["uploads"]), timeline_count);
    server.stop();
}

/// A script that uploads a directory: only the first uploads of a connection are kept, and each is counted.
#[test]
fn thousands_on_one_connection() {
    const ALL: usize = 5_000;
    let lab = Lab::new();
    let server = lab.server(&[]);
    let mut tracer = lab.tracer(&[]);
    let script = format!(
        "import http.client
kept = http.client.HTTPConnection('127.0.0.1', {})
for number in range({ALL}):
    kept.request('PUT', f'/file-{{number}}', b'hello')
    answer = kept.getresponse()
    answer.read()
    assert answer.status == 201, answer.status",
        server.address.port()
    );
    crate::lab::run(lab.inside("python3").args(["-c", &script]));
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    let timeline = trace.only_upload();
    assert_eq!(timeline["uploads"].as_array().unwrap().len(), 1_000);
    let left_out = timeline["left_out"].as_array().unwrap();
    let uploads = left_out
        .iter()
        .find(|one| one["what"] == "uploads after the first 1,000");
    assert_eq!(uploads.unwrap()["count"], ALL - 1_000);
    assert_eq!(trace.of("upload").len(), ALL);
    let summary = trace.summary();
    assert_eq!(number(&summary["uploads"]), ALL as u64);
    assert_eq!(
        (number(&summary["lost"]), number(&summary["left_out"])),
        (0, 1)
    );
    server.stop();
}

#[test]
fn an_open_connection_is_reported_at_the_end() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let mut tracer = lab.tracer(&[]);
    let mut client = KeepAlive::connect(&lab, &server);
    client.put("kept", b"hello");
    tracer.wait_for("upload", 1);
    let trace = tracer.stop();
    let timeline = trace.only_upload();
    assert_eq!(timeline["open"], true);
    assert_eq!(timeline["complete"], false);
    assert_eq!(timeline["phases"][2]["closed_first"], Value::Null);
    assert_eq!(timeline["phases"][2]["how"], Value::Null);
    assert_eq!(timeline["bytes"]["client_to_server"], Value::Null);
    assert_eq!(
        timeline["phases"][1]["exchanges"][0]["body"]["acknowledged"],
        5
    );
    drop(client);
    server.stop();
}

/// A client that keeps its connection open: `nc`'s ends, since the socket must be born within the
/// namespace.
pub(crate) struct KeepAlive {
    child: std::process::Child,
}

impl KeepAlive {
    pub(crate) fn connect(lab: &Lab, server: &Server) -> Self {
        let script = format!(
            "import socket, sys
s = socket.create_connection(('127.0.0.1', {}))
while True:
    request = sys.stdin.buffer.raw.read(65536)
    if not request:
        break
    s.sendall(request)
    sys.stdout.buffer.write(s.recv(65536))
    sys.stdout.buffer.flush()",
            server.address.port()
        );
        let mut command: Command = lab.inside("python3");
        let child = command
            .args(["-c", &script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        Self { child }
    }

    pub(crate) fn put(&mut self, name: &str, body: &[u8]) {
        let mut request = format!(
            "PUT /{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(&request)
            .unwrap();
        let mut response = [0; 65536];
        let length = self
            .child
            .stdout
            .as_mut()
            .unwrap()
            .read(&mut response)
            .unwrap();
        let response = String::from_utf8_lossy(&response[..length]);
        assert!(response.starts_with("HTTP/1.1 201"), "{response}");
    }
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
