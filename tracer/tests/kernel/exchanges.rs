//! Exchanges with a server that reports nothing, where their bodies are easily told wrong.

use serde_json::{Value, json};

use crate::{
    lab::{Lab, run},
    trace::Trace,
};

const BOTH_ENDS: &str = r"
import socket
listener = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
def head(line, *fields): return '\r\n'.join([line, *fields, '', '']).encode()
def say(end, text):
    end.sendall(text)
    left = len(text)
    while left: left -= len((server if end is client else client).recv(left))
";

const END: &str = "
client.close()
assert server.recv(10) == b''
server.close()
";

/// What each end says, heard by the other before the next word; then the client closes.
fn exchanged(words: &str) -> Value {
    let lab = Lab::new();
    let script = format!("{BOTH_ENDS}{words}{END}");
    let stdout = run(lab
        .inside(env!("CARGO_BIN_EXE_tracer"))
        .args(["-o", "ndjson", "--", "python3", "-c", &script]));
    let trace = Trace::new(stdout.lines().map(str::to_owned).collect());
    let timelines = trace.timelines();
    assert_eq!(timelines.len(), 1, "{:#?}", trace.lines);
    timelines[0].clone()
}

fn body(timeline: &Value, exchange: usize) -> &Value {
    &timeline["phases"][1]["exchanges"][exchange]["body"]["bytes"]
}

/// Bytes and outcome of each upload.
fn uploads(timeline: &Value) -> Vec<(&Value, &Value)> {
    let uploads = timeline["uploads"].as_array().unwrap();
    uploads
        .iter()
        .map(|upload| (&upload["bytes"], &upload["outcome"]))
        .collect()
}

#[test]
fn a_body_that_was_announced_and_never_came() {
    let timeline = exchanged(
        "
say(client, head('PUT /f HTTP/1.1', 'Content-Length: 5000000', 'Expect: 100-continue'))
say(server, head('HTTP/1.1 413 Too Large', 'Content-Length: 0'))
",
    );
    assert_eq!(uploads(&timeline), [(&json!(0), &json!("too_large"))]);
}

#[test]
fn chunks_are_not_counted() {
    let timeline = exchanged(
        "
say(client, head('PUT /f HTTP/1.1', 'Transfer-Encoding: chunked') + b'5\\r\\nhello\\r\\n0\\r\\n\\r\\n')
say(server, head('HTTP/1.1 201 Created', 'Content-Length: 0'))
",
    );
    assert_eq!(uploads(&timeline), [(&json!(null), &json!("complete"))]);
}

#[test]
fn each_body_of_a_kept_connection() {
    let timeline = exchanged(
        "
for name, size in ('a', 5000), ('b', 7):
    say(client, head('PUT /' + name + ' HTTP/1.1', 'Content-Length: ' + str(size)))
    say(client, b'x' * size)
    say(server, head('HTTP/1.1 201 Created', 'Content-Length: 0'))
",
    );
    let complete = json!("complete");
    assert_eq!(
        uploads(&timeline),
        [(&json!(5000), &complete), (&json!(7), &complete)]
    );
}

/// The second request begins deep within the first one's burst, where nothing is looked at; the
/// third shows that the first was not the connection's last.
#[test]
fn a_body_with_another_request_behind_it() {
    let timeline = exchanged(
        "
put = lambda name, size: head('PUT /' + name + ' HTTP/1.1', 'Content-Length: ' + str(size)) + b'x' * size
created = head('HTTP/1.1 201 Created', 'Content-Length: 0')
say(client, put('a', 300000) + put('b', 400000))
say(server, created + created)
say(client, put('c', 7))
say(server, created)
",
    );
    let complete = json!("complete");
    assert_eq!(
        uploads(&timeline),
        [(&json!(300_000), &complete), (&json!(7), &complete)]
    );
    // Somewhere in the middle of the burst.
    let first = &timeline["phases"][1]["exchanges"][0]["body"];
    assert_eq!(first["end_ns"], Value::Null, "{first:#}");
    assert_eq!(first["bytes_per_second"], Value::Null);
}

#[test]
fn bytes_after_a_body_are_not_counted() {
    let timeline = exchanged(
        "
say(client, head('PUT /f HTTP/1.1', 'Content-Length: 3') + b'abcde')
say(server, head('HTTP/1.1 201 Created', 'Content-Length: 0'))
",
    );
    assert_eq!(body(&timeline, 0), 3);
    assert_eq!(uploads(&timeline), [(&json!(3), &json!("complete"))]);
}

#[test]
fn a_response_ends_where_another_protocol_begins() {
    let timeline = exchanged(
        "
import time
say(client, head('GET / HTTP/1.1', 'Connection: upgrade', 'Upgrade: websocket'))
say(server, head('HTTP/1.1 101 Switching Protocols', 'Connection: upgrade', 'Upgrade: websocket'))
time.sleep(0.1)
say(server, b'\\x81\\x05hello')
say(client, b'\\x88\\x80abcd')
",
    );
    let response = &timeline["phases"][1]["exchanges"][0]["response"];
    assert_eq!(response["status"], 101);
    assert_eq!(response["start_ns"], response["end_ns"], "{response:#}");
}

/// It takes a sequence number, as a byte does.
#[test]
fn a_fin_before_the_answer_is_no_byte_of_the_body() {
    for announced in [5, 9] {
        let length = format!("Content-Length: {announced}");
        let timeline = exchanged(&format!(
            "
say(client, head('PUT /f HTTP/1.1', '{length}') + b'hello')
client.shutdown(socket.SHUT_WR)
assert server.recv(10) == b''
say(server, head('HTTP/1.1 400 Bad Request', 'Content-Length: 0'))
"
        ));
        let body = &timeline["phases"][1]["exchanges"][0]["body"];
        assert_eq!(
            (&body["bytes"], &body["acknowledged"]),
            (&json!(5), &json!(5))
        );
    }
}
