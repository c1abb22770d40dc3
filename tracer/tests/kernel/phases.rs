//! Each phase ends where its cause ends.

use crate::{
    lab::{Lab, Script, run},
    raw_peer::RAW,
    trace::{Trace, number},
};

/// The pause of a client, in seconds; a tenth of it the server's.
const PAUSE_S: f64 = 1.0;
const PAUSE_NS: u64 = 1_000_000_000;

/// An HTTP server that answers a tenth of a pause after the last byte, and a client that does this with
/// the socket `c`, the request's head and its body of 5,000 bytes.
fn traced(sysctl: &str, listener: &str, client: &str) -> Trace {
    let lab = Lab::new();
    run(lab.inside("sh").args(["-ec", sysctl]));
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4720"]);
    let script = format!(
        "
import socket, threading, time
s = socket.socket()
{listener}
s.bind(('127.0.0.1', 4720))
s.listen()
def serve():
    a, _ = s.accept()
    got = b''
    while len(got) < 5000 + len(head): got += a.recv(65536)
    time.sleep({PAUSE_S} / 10)
    a.sendall(b'HTTP/1.1 201 Created\\r\\nContent-Length: 0\\r\\n\\r\\n')
    assert a.recv(1) == b''
    a.close()
head, body = b'PUT /file HTTP/1.1\\r\\nHost: h\\r\\nContent-Length: 5000\\r\\n\\r\\n', b'x' * 5000
thread = threading.Thread(target=serve)
thread.start()
c = socket.socket()
PAUSE, ADDRESS = {PAUSE_S}, ('127.0.0.1', 4720)
{client}
assert c.recv(100).startswith(b'HTTP/1.1 201')
c.close()
thread.join()
"
    );
    run(lab.inside("python3").args(["-c", &script]));
    tracer.wait_for_timelines(1);
    tracer.stop()
}

/// The server answers a tenth of a pause after the last byte, whatever the client did before.
fn check_wait(trace: &Trace) {
    let exchange = &trace.only_to(4720)["phases"][1]["exchanges"][0];
    let [start, end] = ["start_ns", "end_ns"].map(|at| number(&exchange["wait"][at]));
    let wait = end - start;
    let expected = PAUSE_NS / 10..PAUSE_NS / 2;
    assert!(expected.contains(&wait), "{wait} {exchange:#}");
    assert_eq!(exchange["body"]["bytes"], 5000);
    assert_eq!(trace.only_upload()["uploads"][0]["name"], "file");
}

/// Apache's default. The server's end is there with the first data; the handshake was over long before.
#[test]
fn a_listener_that_waits_for_data() {
    let trace = traced(
        "true",
        "s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)",
        "
c.connect(ADDRESS)
time.sleep(PAUSE)
c.sendall(head + body)",
    );
    check_wait(&trace);
    let timeline = trace.only_to(4720);
    let initiation = number(&timeline["phases"][0]["end_ns"]);
    assert!(initiation < PAUSE_NS / 2, "{timeline:#}");
    assert_eq!(timeline["phases"][1]["start_ns"], initiation);
    let request = &timeline["phases"][1]["exchanges"][0]["request"];
    assert!(number(&request["start_ns"]) >= PAUSE_NS);
}

/// A SYN with payload (RFC 7413): all of the request, its head, half of that, or some of the body too.
#[test]
fn payload_in_the_syn() {
    const FAST_OPEN: &str = "echo 0x607 >/proc/sys/net/ipv4/tcp_fastopen";
    for (first, rest) in [
        ("head", "body"),
        ("head[:19]", "head[19:] + body"),
        ("head + body[:1000]", "body[1000:]"),
        ("head + body", ""),
    ] {
        let then = if rest.is_empty() {
            String::new()
        } else {
            format!("time.sleep(PAUSE)\nc.sendall({rest})")
        };
        let trace = traced(
            FAST_OPEN,
            "s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)",
            &format!("c.sendto({first}, socket.MSG_FASTOPEN, ADDRESS)\n{then}"),
        );
        let timeline = trace.only_to(4720);
        let syn = &timeline["phases"][0]["steps"][0];
        assert!(number(&syn["len"]) > 0, "{syn:#}");
        check_wait(&trace);
        let exchange = &timeline["phases"][1]["exchanges"][0];
        assert_eq!(
            exchange["request"]["start_ns"], syn["at_ns"],
            "{exchange:#}"
        );
    }
}

/// `close` puts a socket into FIN_WAIT1 at once; its FIN leaves after all the data before it.
#[test]
fn a_close_with_data_to_send() {
    let lab = Lab::new();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4720"]);
    let script = "
import socket, time
s = socket.create_server(('127.0.0.1', 4720))
c = socket.create_connection(('127.0.0.1', 4720))
a, _ = s.accept()
a.setblocking(False)
c.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n')
while True:
    try: a.recv(100); break
    except BlockingIOError: pass
sent = a.send(b'HTTP/1.1 200 OK\\r\\n\\r\\n')
try:
    while True: sent += a.send(bytes(65536))
except BlockingIOError: pass
a.close()
time.sleep(.3)
while got := len(c.recv(65536)): sent -= got
assert sent == 0
c.close()
";
    run(lab.inside("python3").args(["-c", script]));
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    let timeline = trace.only_to(4720);
    let termination = &timeline["phases"][2];
    assert_eq!(termination["closed_first"], "server");
    assert_eq!(termination["steps"][0]["at_ns"], termination["start_ns"]);
    let response = &timeline["phases"][1]["exchanges"][0]["response"];
    let took = number(&response["end_ns"]) - number(&response["start_ns"]);
    assert!(took >= 300_000_000, "{timeline:#}");
}

/// Only the server's end is seen: its SYN comes before its socket.
#[test]
fn a_server_whose_client_is_elsewhere() {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let server = Script::start(
        lab.inside("python3"),
        "
import socket
s = socket.create_server(('0.0.0.0', 4720))
print('ready')
a, _ = s.accept()
assert a.recv(1) == b''
a.close()
",
    );
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4720"]);
    let client = "
import time
print('ready')
say(40000, 4720, 1000, 0, SYN)
_, seq, _ = hear(40000, SYN | ACK)
time.sleep(.3)
say(40000, 4720, 1001, seq + 1, ACK)
say(40000, 4720, 1001, seq + 1, FIN | ACK)
hear(40000, FIN | ACK)
say(40000, 4720, 1002, seq + 2, ACK)
";
    let client = Script::start(neighbour.inside("python3"), &format!("{RAW}{client}"));
    client.end();
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    server.end();
    let initiation = &trace.only_to(4720)["phases"][0];
    let at = |step: usize| number(&initiation["steps"][step]["at_ns"]);
    assert_eq!(at(0), 0);
    assert!(at(2) >= 300_000_000, "{initiation:#}");
    assert_eq!(number(&initiation["end_ns"]), at(2));
    assert_eq!(initiation["certainty"], "unknown");
}
