//! `connect` again on a socket that had a connection, or tried: each attempt is a connection of its own,
//! with its own name and port.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::lab::{Lab, Script};

fn name(timeline: &Value) -> &str {
    timeline["connection"].as_str().unwrap()
}

/// Each connection has a name of its own, and no end has an address that is not its own.
fn check_names(timelines: &[&Value]) {
    let names: BTreeSet<&str> = timelines.iter().map(|timeline| name(timeline)).collect();
    assert_eq!(names.len(), timelines.len(), "{names:?}");
    for timeline in timelines {
        for end in ["client", "server"] {
            assert_eq!(timeline[end].get("seen_as"), None, "{timeline:#}");
        }
    }
}

/// The client is refused until the server listens.
#[test]
fn after_a_refusal() {
    let lab = Lab::new();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4231"]);
    let mut script = Script::start(
        lab.inside("python3"),
        "
import socket
c = socket.socket()
print('ready')
for _ in range(3):
    try: c.connect(('127.0.0.1', 4231))
    except ConnectionRefusedError: pass
    input()
s = socket.create_server(('127.0.0.1', 4231))
c.connect(('127.0.0.1', 4231))
a, peer = s.accept()
print(peer[1])
c.sendall(b'x' * 100)
a.recv(100)
c.close()
a.recv(1)
a.close()
",
    );
    for _ in 0..3 {
        // Emitted, and out of the table, before the socket connects again.
        tracer.wait_for_timelines(1);
        script.send_line("again");
    }
    let port: u64 = script.line().parse().unwrap();
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    script.end();
    let timelines = trace.timelines();
    assert_eq!(timelines.len(), 4);
    check_names(&timelines);
    for refused in &timelines[..3] {
        assert_eq!(refused["phases"][0]["failure"], "refused");
    }
    let opened = timelines[3];
    assert_eq!(opened["client"]["port"], port);
    assert_eq!(opened["bytes"]["client_to_server"], 100);
    assert_eq!(opened["complete"], true, "{opened:#}");
    let ports: BTreeSet<u64> = timelines
        .iter()
        .map(|timeline| timeline["client"]["port"].as_u64().unwrap())
        .collect();
    assert_eq!(ports.len(), 4, "each attempt has a port of its own");
}

/// `connect` to AF_UNSPEC ends a connection, and so may a RST; then the socket is used again. What was
/// counted of the connection before does not count for the next.
#[test]
fn after_a_whole_connection() {
    const DISCONNECTS: &str = "
libc.connect(c.fileno(), bytes(16), 16)
try: a.recv(1)
except ConnectionResetError: pass
";
    const IS_RESET: &str = "
a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
a.close()
try: c.recv(1)
except ConnectionResetError: pass
libc.connect(c.fileno(), bytes(16), 16)
";
    for end in [DISCONNECTS, IS_RESET] {
        let lab = Lab::new();
        let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4232"]);
        let end = end.replace('\n', "\n    ");
        let mut script = Script::start(
            lab.inside("python3"),
            &format!(
                "
import ctypes, socket, struct
libc = ctypes.CDLL(None)
s = socket.create_server(('127.0.0.1', 4232))
c = socket.socket()
print('ready')
for turn in range(3):
    c.connect(('127.0.0.1', 4232))
    a, peer = s.accept()
    print(peer[1])
    request = b'PUT /turn%d HTTP/1.1\\r\\nHost: h\\r\\nContent-Length: 30000\\r\\n\\r\\n' % turn
    c.sendall(request + b'x' * 30000)
    left = len(request) + 30000
    while left: left -= len(a.recv(left))
    a.sendall(b'HTTP/1.1 201 Created\\r\\nContent-Length: 0\\r\\n\\r\\n')
    c.recv(100)
    {end}
    a.close()
    input()
"
            ),
        );
        let mut ports = Vec::new();
        for _ in 0..3 {
            ports.push(script.line().parse::<u64>().unwrap());
            tracer.wait_for_timelines(1);
            script.send_line("again");
        }
        let trace = tracer.stop();
        script.end();
        let timelines = trace.timelines();
        assert_eq!(timelines.len(), 3);
        check_names(&timelines);
        for (turn, timeline) in timelines.iter().enumerate() {
            assert_eq!(timeline["client"]["port"], ports[turn]);
            assert_eq!(timeline["client"]["owner_from"], "connect");
            assert_eq!(timeline["bytes"]["client_to_server"], 30_055);
            let upload = &timeline["uploads"][0];
            assert_eq!(upload["name"], format!("turn{turn}"), "{timeline:#}");
            assert_eq!(upload["bytes"], 30_000, "{timeline:#}");
            let steps = crate::trace::steps(timeline, 0);
            assert_eq!(steps, ["client SYN", "server SYN-ACK", "client ACK"]);
        }
    }
}

/// The filter decides again: only the port of each connection counts.
#[test]
fn to_another_port() {
    let lab = Lab::new();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4233"]);
    let script = Script::start(
        lab.inside("python3"),
        "
import ctypes, socket
libc = ctypes.CDLL(None)
servers = [socket.create_server(('127.0.0.1', port)) for port in (4233, 4234)]
c = socket.socket()
print('ready')
for turn in range(4):
    s = servers[turn % 2]
    c.connect(s.getsockname())
    a, _ = s.accept()
    c.sendall(b'x' * 100)
    a.recv(100)
    libc.connect(c.fileno(), bytes(16), 16)
    a.close()
c.close()
",
    );
    tracer.wait_for_timelines(2);
    let trace = tracer.stop();
    script.end();
    let timelines = trace.timelines();
    assert_eq!(timelines.len(), 2, "{timelines:#?}");
    check_names(&timelines);
    for timeline in timelines {
        assert_eq!(timeline["server"]["port"], 4233);
        assert_eq!(timeline["bytes"]["client_to_server"], 100);
    }
}

/// A socket is a client, then listens, then is a client again.
#[test]
fn as_a_listener_in_between() {
    let lab = Lab::new();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4235", "--port", "4236"]);
    let script = Script::start(
        lab.inside("python3"),
        "
import ctypes, socket
libc = ctypes.CDLL(None)
def disconnect(s): libc.connect(s.fileno(), bytes(16), 16)
def carry(client, server, answers):
    a, peer = server.accept()
    client.sendall(b'x' * 100)
    a.recv(100)
    return a
s = socket.create_server(('127.0.0.1', 4235))
one = socket.socket()
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
one.bind(('127.0.0.1', 4236))
print('ready')
one.connect(('127.0.0.1', 4235))
carry(one, s, True).close()
disconnect(one)
one.listen()
other = socket.create_connection(('127.0.0.1', 4236))
a = carry(other, one, True)
other.close()
a.recv(1)
a.close()
disconnect(one)
one.connect(('127.0.0.1', 4235))
carry(one, s, True).close()
one.close()
",
    );
    tracer.wait_for_timelines(3);
    let trace = tracer.stop();
    script.end();
    let timelines = trace.timelines();
    assert_eq!(timelines.len(), 3);
    check_names(&timelines);
    for timeline in timelines {
        assert_eq!(timeline["bytes"]["client_to_server"], 100, "{timeline:#}");
        let steps = crate::trace::steps(timeline, 0);
        assert_eq!(steps, ["client SYN", "server SYN-ACK", "client ACK"]);
        assert!(timeline["client"]["pid"].is_u64(), "{timeline:#}");
        assert!(timeline["server"]["pid"].is_u64(), "{timeline:#}");
    }
}
