//! Resets, each with the end that sent it and its kernel's reason.

use serde_json::{Value, json};

use crate::{
    lab::{Lab, Script, has_reset_reasons, run},
    trace::{Trace, number, steps},
};

/// Both ends in one script: `server` is the accepted socket, `client` the other.
fn traced(sysctl: &str, script: &str) -> Trace {
    const PRELUDE: &str = "
import socket, struct, subprocess
def until(state, there=True):
    query = ['ss', '-Htn', 'state', state, 'dport', '= 4710']
    while bool(subprocess.run(query, capture_output=True).stdout) != there: pass
def linger(end):
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
listener = socket.create_server(('127.0.0.1', 4710))
client = socket.create_connection(('127.0.0.1', 4710))
server, _ = listener.accept()
client.send(b'?')
assert server.recv(1) == b'?'
";
    let lab = Lab::new();
    let sysctl = format!("cd /proc/sys/net/ipv4; {sysctl}");
    run(lab.inside("sh").args(["-ec", &sysctl]));
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4710"]);
    run(lab
        .inside("python3")
        .args(["-c", &format!("{PRELUDE}{script}")]));
    tracer.wait_for_timelines(1);
    tracer.stop()
}

/// Who closed first and who reset it, with its reason.
fn check(trace: &Trace, closed_first: &str, by: &str, reason: &str) -> Value {
    let timeline = trace.only_to(4710);
    let termination = &timeline["phases"][2];
    assert_eq!(termination["how"], "rst", "{termination:#}");
    assert_eq!(termination["closed_first"], closed_first, "{termination:#}");
    assert_eq!(termination["ended_by"], by, "{termination:#}");
    let expected = has_reset_reasons().then_some(reason);
    assert_eq!(
        termination["reset_reason"],
        json!(expected),
        "{termination:#}"
    );
    assert_eq!(termination["timer"], Value::Null);
    let last = steps(timeline, 2);
    assert_eq!(last.last().unwrap(), &format!("{by} RST"), "{last:?}");
    timeline.clone()
}

#[test]
fn close_with_so_linger_and_0_seconds() {
    for (end, other) in [("client", "server"), ("server", "client")] {
        let script =
            format!("linger({end}); {end}.close()\ntry: {other}.recv(1)\nexcept OSError: pass");
        check(&traced("", &script), end, end, "TCP_STATE");
    }
}

#[test]
fn close_with_data_unread() {
    let trace = traced("", "client.send(b'unread'); server.close()");
    let timeline = check(&trace, "server", "server", "TCP_ABORT_ON_CLOSE");
    assert_eq!(steps(&timeline, 2), ["server RST"]);
}

/// The process closes one direction, and then does not wait for the other.
#[test]
fn close_without_patience_for_the_peers_fin() {
    let trace = traced(
        "",
        "
client.shutdown(socket.SHUT_WR)
until('fin-wait-2')
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_LINGER2, -1)
client.close()
",
    );
    check(&trace, "client", "client", "TCP_ABORT_ON_LINGER");
}

/// Data reach a socket whose process has closed it: that end resets, though its kernel's own event
/// reads as if it had received a RST.
#[test]
fn data_after_close() {
    let trace = traced(
        "echo 100 >tcp_fin_timeout",
        "
client.close()
until('fin-wait-2')
server.send(b'late')
until('fin-wait-2', there=False)
",
    );
    let timeline = check(&trace, "client", "client", "TCP_ABORT_ON_DATA");
    assert!(!steps(&timeline, 2).contains(&"server RST".to_owned()));
}

/// `connect` to AF_UNSPEC.
#[test]
fn disconnected() {
    let trace = traced(
        "",
        "
import ctypes
libc = ctypes.CDLL(None)
assert libc.connect(client.fileno(), bytes(16), 16) == 0
try: server.recv(1)
except OSError: pass
",
    );
    check(&trace, "client", "client", "TCP_STATE");
}

#[test]
fn destroyed_from_outside() {
    let trace = traced(
        "",
        "
subprocess.run(['ss', '-K', 'dport', '= 4710'], check=True, capture_output=True)
try: server.recv(1)
except OSError: pass
client.close()
",
    );
    let timeline = trace.only_to(4710);
    let termination = &timeline["phases"][2];
    if termination["error"] == Value::Null {
        // Without CONFIG_INET_DIAG_DESTROY, `ss -K` does nothing.
        assert_eq!(termination["how"], "fin", "{termination:#}");
        crate::lab::skip("this kernel destroys no sockets");
        return;
    }
    assert_eq!(termination["error"], "ECONNABORTED");
    check(&trace, "client", "client", "TCP_STATE");
}

/// The listener's queue is full when the third ACK comes, and the kernel is told to say so.
#[test]
fn no_room_in_the_accept_queue() {
    let lab = Lab::new();
    run(lab
        .inside("sh")
        .args(["-c", "echo 1 >/proc/sys/net/ipv4/tcp_abort_on_overflow"]));
    let tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4710"]);
    let listener = Script::start(
        lab.inside("python3"),
        "
import socket, sys
# There is room for two. With one there, two more SYNs are answered before either takes its place.
s = socket.socket()
s.bind(('127.0.0.1', 4710))
s.listen(1)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
connect = lambda: socket.create_connection(('127.0.0.1', 4710))
first = connect()
first.send(b'x')
second, third = connect(), connect()
print('ready')
second.send(b'x')
third.send(b'x')
try: print(third.recv(1))
except ConnectionResetError: print('reset')
",
    );
    assert_eq!(listener.line(), "reset");
    listener.end();
    let trace = tracer.stop();
    // The others have sockets, which the process closed with them unaccepted.
    let reset: Vec<&Value> = trace
        .timelines()
        .into_iter()
        .filter(|timeline| timeline["server"]["cookie"].is_null())
        .collect();
    assert_eq!(reset.len(), 1, "{:#?}", trace.lines);
    let termination = &reset[0]["phases"][2];
    assert_eq!(termination["how"], "rst");
    assert_eq!(termination["ended_by"], "server");
    // The listener's socket sent it, not one of this connection.
    assert_eq!(termination["reset_reason"], Value::Null);
    assert!(number(&termination["end_ns"]) >= number(&termination["start_ns"]));
}
