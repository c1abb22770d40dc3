//! Requests with heads of every length, on the first and the hundredth request of a connection, in
//! segments of every size, before and behind what proxies send.

use serde_json::Value;

use crate::{
    lab::{Lab, Neighbour, Script},
    trace::Trace,
};

/// A server that answers each request once its body has come. It keeps connections open.
const SERVER: &str = r"
import socket, sys, threading
listener = socket.create_server((ADDRESS, 5005), backlog=64)
def serve(end):
    data = b''
    while True:
        while b'\r\n\r\n' not in data:
            more = end.recv(1 << 16)
            if not more: return end.close()
            data += more
            if data.startswith(b'\r\n\r\n\0\r\nQUIT\n'): data = data[28:]
        head, _, data = data.partition(b'\r\n\r\n')
        if b'100-continue' in head: end.sendall(b'HTTP/1.1 100 Continue\r\n\r\n')
        length = int(head.rpartition(b'Content-Length: ')[2])
        body, data = data[:length], data[length:]
        left = length - len(body)
        while left > 0: left -= len(end.recv(min(left, 1 << 16)))
        cookies = int(head.rpartition(b'X-Cookies: ')[2].split(b'\r')[0] or 0) if b'X-Cookies' in head else 0
        fields = b''.join(b'Set-Cookie: ' + b'c' * 3000 + b'\r\n' for _ in range(cookies))
        end.sendall(b'HTTP/1.1 201 Created\r\n' + fields + b'Content-Length: 0\r\n\r\n')
print('ready')
while True: threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
";

/// `put` sends a request whose head has so many bytes, its length in the last field.
const CLIENT: &str = r"
import socket
def connect(): return socket.create_connection((ADDRESS, 5005))
def head(name, size, body):
    text = b'PUT /%s HTTP/1.1\r\nHost: h\r\n' % name.encode()
    end = b'Content-Length: %d\r\n\r\n' % body
    while len(text) + len(end) < size: text += b'X-Token: ' + b't' * max(1, min(4000, size - len(text) - len(end) - 11)) + b'\r\n'
    return text + end
def put(end, name, size, body, pieces=0):
    text = head(name, size, body)
    if pieces:
        end.setsockopt(6, 1, 1)
        for at in range(0, len(text), pieces): end.send(text[at:at + pieces])
        end.sendall(b'x' * body)
    else: end.sendall(text + b'x' * body)
    assert b' 201 ' in end.recv(999)
";

/// Name, bytes and status of each upload, in order.
fn uploads(trace: &Trace) -> Vec<(String, u64, u64)> {
    let lines = trace.of("upload");
    let one = |line: &&Value| {
        let name = line["name"].as_str().unwrap().to_owned();
        let number = |field: &str| {
            line[field]
                .as_u64()
                .unwrap_or_else(|| panic!("{trace_lines:#?}", trace_lines = trace.lines))
        };
        (name, number("bytes"), number("status"))
    };
    lines.iter().map(one).collect()
}

/// The trace of the requests of `words` on so many connections, between two namespaces or on loopback.
fn requested(words: &str, is_apart: bool, connections: usize) -> Trace {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let (address, program) = if is_apart {
        (Neighbour::ADDRESS, neighbour.inside("python3"))
    } else {
        ("127.0.0.1", lab.inside("python3"))
    };
    let set = format!("ADDRESS = '{address}'\n");
    let server = Script::start(program, &format!("{set}{SERVER}"));
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "5005"]);
    let client = format!("{set}{CLIENT}print('ready')\n{words}");
    Script::start(lab.inside("python3"), &client).end();
    tracer.wait_for_timelines(connections);
    drop(server);
    tracer.stop()
}

fn assert_complete(trace: &Trace) {
    for timeline in trace.timelines() {
        assert_eq!(timeline["complete"], true, "{timeline:#}");
    }
}

const SIZES: &str = "sizes = [200, 1000, 1100, 2000, 2100, 4000, 9000, 17000, 33000, 60000, 65000]";

fn expected(prefix: &str) -> Vec<(String, u64, u64)> {
    let sizes = [
        200, 1000, 1100, 2000, 2100, 4000, 9000, 17000, 33000, 60000, 65000,
    ];
    sizes
        .iter()
        .map(|size| (format!("{prefix}{size}"), 20_000, 201))
        .collect()
}

#[test]
fn a_head_is_read_to_its_end_on_a_new_connection() {
    let words = format!(
        "
{SIZES}
for size in sizes:
    end = connect()
    put(end, 'n%d' % size, size, 20000)
    end.close()
"
    );
    for is_apart in [false, true] {
        let trace = requested(&words, is_apart, 11);
        let mut found = uploads(&trace);
        found.sort_unstable();
        let mut expected = expected("n");
        expected.sort_unstable();
        assert_eq!(found, expected);
        assert_complete(&trace);
    }
}

#[test]
fn a_head_is_read_to_its_end_on_a_kept_connection() {
    let words = format!(
        "
{SIZES}
end = connect()
for size in sizes: put(end, 'k%d' % size, size, 20000)
end.close()
"
    );
    for is_apart in [false, true] {
        let trace = requested(&words, is_apart, 1);
        assert_eq!(uploads(&trace), expected("k"));
        assert_complete(&trace);
    }
}

/// A head in many small segments, as clients send that write each field.
#[test]
fn a_head_in_pieces_is_read_to_its_end() {
    let words = "
end = connect()
for pieces in 7, 100, 999, 1460: put(end, 'p%d' % pieces, 8000, 20000, pieces)
end.close()
";
    let trace = requested(words, true, 1);
    let expected: Vec<(String, u64, u64)> = [7, 100, 999, 1460]
        .iter()
        .map(|pieces| (format!("p{pieces}"), 20_000, 201))
        .collect();
    assert_eq!(uploads(&trace), expected);
    assert_complete(&trace);
}

/// The hundredth request is read like the first.
#[test]
fn a_long_head_after_a_hundred_requests() {
    let words = "
end = connect()
for number in range(100): put(end, 's', 150, 10)
put(end, 'late', 30000, 20000)
end.close()
";
    let trace = requested(words, false, 1);
    let last = uploads(&trace).pop();
    assert_eq!(last, Some(("late".to_owned(), 20_000, 201)));
    assert_eq!(uploads(&trace).len(), 101);
}

/// More than servers take is not read, and is listed as left out.
#[test]
fn a_head_that_is_too_long_is_left_out() {
    let words = "
end = connect()
put(end, 'long', 90000, 20000)
put(end, 'short', 150, 20000)
end.close()
";
    let trace = requested(words, false, 1);
    let timeline = trace.timelines()[0];
    assert_eq!(timeline["complete"], false);
    assert_eq!(
        timeline["left_out"][0]["what"],
        "HTTP heads not read to their end"
    );
    assert_eq!(trace.summary()["left_out"], 1);
    let uploads = timeline["uploads"].as_array().unwrap();
    assert_eq!(uploads[0]["name"], "long");
    assert_eq!(uploads[0]["bytes"], Value::Null);
    assert_eq!(uploads[1]["name"], "short");
    assert_eq!(uploads[1]["bytes"], 20_000);
}

#[test]
fn a_request_behind_the_proxy_protocol() {
    let words = r"
import struct
v2 = b'\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c' + bytes(12)
for name, before in ('line', b'\r\n'), ('v1', b'PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n'), ('v2', v2):
    for size in 150, 9000:
        end = connect()
        end.sendall(before)
        put(end, name + str(size), size, 20000)
        end.close()
        end = connect()
        end.sendall(before + head('with' + name + str(size), size, 20000) + b'x' * 20000)
        assert b' 201 ' in end.recv(999)
        end.close()
";
    let trace = requested(words, false, 12);
    let mut names: Vec<String> = uploads(&trace).into_iter().map(|(name, ..)| name).collect();
    let mut expected: Vec<String> = ["line", "v1", "v2"]
        .iter()
        .flat_map(|kind| {
            [150, 9000]
                .iter()
                .flat_map(move |size| [format!("{kind}{size}"), format!("with{kind}{size}")])
        })
        .collect();
    // Connections that end at the same time are reported in any order.
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_complete(&trace);
}

/// Answers with many cookies: the next request is found, and the status of each.
#[test]
fn an_answer_with_a_long_head() {
    let words = r"
end = connect()
for cookies in 1, 7, 20, 1:
    name = b'c%d' % cookies
    end.sendall(b'PUT /%s HTTP/1.1\r\nHost: h\r\nX-Cookies: %d\r\nContent-Length: 20000\r\n\r\n' % (name, cookies) + b'x' * 20000)
    answer = b''
    while b'\r\n\r\n' not in answer: answer += end.recv(1 << 16)
end.close()
";
    for is_apart in [false, true] {
        let trace = requested(words, is_apart, 1);
        let expected: Vec<(String, u64, u64)> = [1, 7, 20, 1]
            .iter()
            .map(|cookies| (format!("c{cookies}"), 20_000, 201))
            .collect();
        assert_eq!(uploads(&trace), expected);
        assert_complete(&trace);
    }
}

/// The body comes in a burst of its own, after `100 Continue`; it is text that looks like a head.
#[test]
fn a_long_head_that_waits_for_100_continue() {
    let words = r"
end = connect()
for number in range(3):
    text = head('e%d' % number, 12000, 30000).replace(b'Host: h', b'Expect: 100-continue')
    end.sendall(text)
    assert b' 100 ' in end.recv(999)
    end.sendall((b'PUT /no HTTP/1.1\r\nNo: head\r\n' * 2000)[:30000])
    assert b' 201 ' in end.recv(999)
end.close()
";
    for is_apart in [false, true] {
        let trace = requested(words, is_apart, 1);
        let expected: Vec<(String, u64, u64)> = (0..3)
            .map(|number| (format!("e{number}"), 30_000, 201))
            .collect();
        assert_eq!(uploads(&trace), expected);
        assert_complete(&trace);
    }
}

/// The second request lies deep in the burst of the first: it is not read, and that is listed.
#[test]
fn a_request_behind_another_is_left_out() {
    let words = r"
end = connect()
end.sendall(head('first', 150, 60000) + b'x' * 60000 + head('behind', 150, 10) + b'x' * 10)
answers = b''
while answers.count(b' 201 ') < 2: answers += end.recv(999)
end.close()
";
    let trace = requested(words, false, 1);
    let timeline = trace.timelines()[0];
    assert_eq!(timeline["complete"], false);
    assert_eq!(timeline["left_out"][0]["count"], 1, "{timeline:#}");
}
