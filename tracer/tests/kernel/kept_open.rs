//! Uploads on connections that stay open: shown once they are over, and counted once.

use crate::lab::{Lab, Script};

/// A client and a server in one process. Each line of its input is a step of the script.
const ENDS: &str = r"
import socket, sys
listener = socket.create_server(('127.0.0.1', 5006))
client = socket.create_connection(('127.0.0.1', 5006))
server, _ = listener.accept()
print('ready')
def send(end, text):
    end.sendall(text)
    other, left = (server if end is client else client), len(text)
    while left: left -= len(other.recv(min(left, 1 << 16)))
def put(name, size):
    send(client, b'PUT /%s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n' % (name.encode(), size) + b'x' * size)
    send(server, b'HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n')
for line in sys.stdin: exec(line)
client.close()
server.close()
";

#[test]
fn an_upload_in_clear_text() {
    let lab = Lab::new();
    let mut tracer = lab.tracer_alone(&["--port", "5006"]);
    let mut ends = Script::start(lab.inside("python3"), ENDS);
    ends.send_line("put('first', 50000)");
    tracer.wait_for_text("upload (inferred)  first  50.0 kB  201 Created  open for");
    ends.send_line("put('second', 60000)");
    tracer.wait_for_text("upload (inferred)  second  60.0 kB  201 Created  open for");
    ends.end();
    tracer.wait_for_text("its connection closed after");
    let text = tracer.stop_text();
    assert_eq!(text.matches("upload (inferred)").count(), 2, "{text}");
    assert!(text.contains("1 connection, 2 uploads"), "{text}");
}

/// The line of each upload comes while the connection is open, and once.
#[test]
fn the_line_of_an_upload() {
    let lab = Lab::new();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "5006"]);
    let mut ends = Script::start(lab.inside("python3"), ENDS);
    ends.send_line("put('first', 50000)");
    tracer.wait_for("upload", 1);
    ends.send_line("put('second', 10)");
    tracer.wait_for("upload", 1);
    ends.send_line(
        "client.sendall(b'PUT /third HTTP/1.1\\r\\nHost: h\\r\\nContent-Length: 9\\r\\n\\r\\nabc')",
    );
    ends.end();
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    let names: Vec<&str> = trace
        .of("upload")
        .iter()
        .map(|line| line["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["first", "second", "third"]);
    assert_eq!(trace.summary()["uploads"], 3);
    let listed = trace.only_upload()["uploads"].as_array().unwrap().len();
    assert_eq!(listed, 3);
}

/// The bytes are those that were acknowledged, until the connection is over.
#[test]
fn an_upload_that_is_not_read() {
    let lab = Lab::new();
    let mut tracer = lab.tracer_alone(&["--port", "5006"]);
    let mut ends = Script::start(lab.inside("python3"), ENDS);
    ends.send_line("send(client, b'\\x01' * 400000); send(server, b'\\x01ok')");
    tracer.wait_for_text("upload (inferred)    400 kB  open for");
    ends.send_line("send(client, b'\\x01' * 400000); send(server, b'\\x01ok')");
    ends.end();
    tracer.wait_for_text("upload (inferred)    800 kB");
    let text = tracer.stop_text();
    assert!(text.contains("1 connection, 1 upload"), "{text}");
}

/// 1,500 requests: each upload has its line, and the timeline lists what it leaves out.
#[test]
fn more_requests_than_a_timeline_keeps() {
    let lab = Lab::new();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "5006"]);
    let mut ends = Script::start(lab.inside("python3"), ENDS);
    ends.send_line("[put('f%d' % number, 100) for number in range(1500)]");
    ends.end();
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    let names: Vec<String> = trace
        .of("upload")
        .iter()
        .map(|line| line["name"].as_str().unwrap().to_owned())
        .collect();
    let expected: Vec<String> = (0..1500).map(|number| format!("f{number}")).collect();
    assert_eq!(names, expected);
    let timeline = trace.only_upload();
    assert_eq!(timeline["uploads"].as_array().unwrap().len(), 1000);
    assert_eq!(timeline["complete"], false);
    assert_eq!(
        timeline["left_out"],
        serde_json::json!([{ "what": "requests after the first 1,000", "count": 500 }])
    );
    assert_eq!(trace.summary()["uploads"], 1500);
    assert_eq!(trace.summary()["left_out"], 1);
}
