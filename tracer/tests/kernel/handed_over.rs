//! Sockets that more than one process uses, and sockets that were there before the tracer.

use serde_json::Value;

use crate::lab::{Lab, Script};

fn pids(others: &Value) -> Vec<u64> {
    let others = others.as_array().map(Vec::as_slice).unwrap_or_default();
    others
        .iter()
        .map(|other| other["pid"].as_u64().unwrap())
        .collect()
}

/// The parent connects and the child speaks; on the other side the parent accepts, and the child
/// answers.
#[test]
fn a_socket_inherited_over_fork() {
    let lab = Lab::new();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4101"]);
    let script = Script::start(
        lab.inside("python3"),
        "
import os, socket
s = socket.socket()
s.bind(('127.0.0.1', 4101))
s.listen()
c = socket.create_connection(('127.0.0.1', 4101))
a, _ = s.accept()
print('ready')
def in_child(act):
    pid = os.fork()
    if pid == 0:
        act()
        os._exit(0)
    print(pid)
    os.waitpid(pid, 0)
in_child(lambda: c.sendall(b'hello'))
in_child(lambda: (a.recv(5), a.sendall(b'hello to you')))
c.recv(12)
c.close()
a.recv(1)
a.close()
",
    );
    let parent = u64::from(script.pid());
    let client: u64 = script.line().parse().unwrap();
    let server: u64 = script.line().parse().unwrap();
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    script.end();
    let timeline = trace.only_to(4101);
    assert_eq!(timeline["client"]["pid"], parent);
    assert_eq!(timeline["client"]["owner_from"], "connect");
    assert_eq!(pids(&timeline["client"]["also"]), [client]);
    assert_eq!(timeline["client"]["also"][0]["owner_from"], "send");
    assert_eq!(timeline["server"]["pid"], server);
    assert_eq!(timeline["server"]["owner_from"], "read");
    assert_eq!(pids(&timeline["server"]["also"]), [parent]);
}

/// A process that never reads and never sends is known by letting go.
#[test]
fn a_socket_that_is_only_closed() {
    let lab = Lab::new();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4102"]);
    let script = Script::start(
        lab.inside("python3"),
        "
import socket, struct
s = socket.socket()
s.bind(('127.0.0.1', 4102))
s.listen()
c = socket.create_connection(('127.0.0.1', 4102))
a, _ = s.accept()
print('ready')
c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
c.close()
a.close()
",
    );
    let pid = u64::from(script.pid());
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    script.end();
    let timeline = trace.only_to(4102);
    assert_eq!(timeline["client"]["owner_from"], "connect");
    assert_eq!(timeline["server"]["pid"], pid);
    assert_eq!(timeline["server"]["owner_from"], "close");
}

/// What began before the tracer is said to have; whose it is is known from `/proc`.
#[test]
fn a_connection_that_was_open_already() {
    let lab = Lab::new();
    let mut script = Script::start(
        lab.inside("python3"),
        "
import socket, sys
s = socket.socket()
s.bind(('127.0.0.1', 4103))
s.listen()
c = socket.create_connection(('127.0.0.1', 4103))
a, _ = s.accept()
print('ready')
sys.stdin.readline()
c.close()
a.recv(1)
a.close()
",
    );
    let pid = u64::from(script.pid());
    let own = script.pid().to_string();
    for filter in [["--port", "4103"], ["--pid", &own]] {
        let tracer = lab.tracer_alone(&[&["-o", "ndjson"], &filter[..]].concat());
        let trace = tracer.stop();
        assert!(trace.timelines().is_empty(), "nothing has happened on it");
    }
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--pid", &own]);
    script.send_line("go on");
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    script.end();
    let timeline = trace.only_to(4103);
    for end in ["client", "server"] {
        assert_eq!(timeline[end]["pid"], pid, "{end}");
        assert_eq!(timeline[end]["owner_from"], "proc", "{end}");
        assert!(timeline[end]["cookie"].is_string(), "{end}");
    }
    assert_eq!(timeline["phases"][0]["certainty"], "unknown");
    assert_eq!(timeline["complete"], false);
    assert_eq!(timeline["incomplete"][0], "it began before the tracer did");
    assert_eq!(timeline["phases"][2]["closed_first"], "client");
}
