//! Openings without a listener: both ends at once, a socket to itself, a socket that a process restored.

use serde_json::Value;

use crate::{
    lab::{Lab, Neighbour, Script, run},
    trace::{Trace, number, steps},
};

fn count(trace: &Trace, is_it: impl Fn(&Value) -> bool) -> usize {
    trace
        .of("segment")
        .into_iter()
        .filter(|line| is_it(line))
        .count()
}

fn has_flag(segment: &Value, flag: &str) -> bool {
    segment["flags"]
        .as_array()
        .unwrap()
        .iter()
        .any(|one| one == flag)
}

/// Both sockets call each other while nothing comes through.
const CALL_EACH_OTHER: &str = "
import select, socket
one, other = socket.socket(), socket.socket()
for s, host in ((one, '127.0.0.1'), (other, '127.0.0.2')):
    s.bind((host, 0))
    s.setblocking(False)
ends = one.getsockname(), other.getsockname()
print('ready')
print(ends[0][1])
print(ends[1][1])
input()
for s, to in ((one, ends[1]), (other, ends[0])):
    try: s.connect(to)
    except BlockingIOError: pass
print('called')
select.select([], [one], [])
select.select([], [other], [])
one.setblocking(True)
other.setblocking(True)
one.sendall(b'A' * 1000)
left = 1000
while left: left -= len(other.recv(left))
other.sendall(b'B' * 300)
left = 300
while left: left -= len(one.recv(left))
one.close()
other.recv(1)
other.close()
";

/// The one that called first is called the client.
#[test]
fn both_ends_at_once() {
    for both in [true, false] {
        let lab = Lab::new();
        let mut script = Script::start(lab.inside("python3"), CALL_EACH_OTHER);
        let pid = u64::from(script.pid());
        let ports = [script.line(), script.line()];
        let lose = format!(
            "add table ip lossy; add chain ip lossy in {{ type filter hook input priority 0; }}; add rule ip lossy in tcp dport {{ {}, {} }} drop",
            ports[0], ports[1]
        );
        run(lab.inside("nft").arg(lose));
        let mut filter = vec!["-o", "ndjson", "--segments", "--port", &ports[0]];
        if both {
            filter.extend(["--port", &ports[1]]);
        }
        let mut tracer = lab.tracer_alone(&filter);
        script.send_line("call");
        assert_eq!(script.line(), "called");
        run(lab.inside("nft").arg("delete table ip lossy"));
        tracer.wait_for_timelines(1);
        let trace = tracer.stop();
        script.end();
        assert_eq!(trace.timelines().len(), 1, "{:#?}", trace.timelines());
        let timeline = trace.timelines()[0];
        for (end, port) in [("client", &ports[0]), ("server", &ports[1])] {
            assert_eq!(timeline[end]["port"].to_string(), *port);
            assert_eq!(timeline[end]["pid"], pid);
            assert_eq!(timeline[end].get("seen_as"), None);
        }
        assert_eq!(timeline["roles"], "inferred");
        assert_eq!(timeline["roles_from"], "simultaneous");
        assert_eq!(timeline["bytes"]["client_to_server"], 1000);
        assert_eq!(timeline["bytes"]["server_to_client"], 300);
        assert_eq!(timeline["complete"], true);
        let opening = steps(timeline, 0);
        assert_eq!(opening[..2], ["client SYN", "server SYN"], "{opening:?}");
        for step in ["client SYN-ACK", "server SYN-ACK"] {
            assert_eq!(opening.iter().filter(|one| *one == step).count(), 1);
        }
        // The client's first data follow much later, and are no third ACK.
        assert!(!opening.contains(&"client ACK".to_owned()), "{opening:?}");
        let last = timeline["phases"][0]["steps"].as_array().unwrap().last();
        assert!(
            timeline["phases"][0]["end_ns"].as_u64()
                < Some(number(&last.unwrap()["at_ns"]) + 100_000_000)
        );
        let payload = |segment: &Value| number(&segment["len"]) > 0;
        assert_eq!(count(&trace, payload), 2);
    }
}

/// Of the two processes one alone is traced: the filter follows to the other end.
#[test]
fn both_ends_at_once_of_two_processes() {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let peer = |own: &str, other: &str, acts: &str| {
        format!(
            "
import select, socket
s = socket.socket()
s.bind(('{own}', 4241))
s.setblocking(False)
print('ready')
input()
try: s.connect(('{other}', 4241))
except BlockingIOError: pass
print('called')
select.select([], [s], [])
s.setblocking(True)
{acts}
s.close()
"
        )
    };
    let mut here = Script::start(
        lab.inside("python3"),
        &peer(Lab::ADDRESS, Neighbour::ADDRESS, "s.sendall(b'x' * 100)"),
    );
    let mut there = Script::start(
        neighbour.inside("python3"),
        &peer(Neighbour::ADDRESS, Lab::ADDRESS, "while s.recv(100): pass"),
    );
    let lose = "add table ip lossy; add chain ip lossy in { type filter hook input priority 0; }; add rule ip lossy in tcp dport 4241 drop";
    for mut nft in [lab.inside("nft"), neighbour.inside("nft")] {
        run(nft.arg(lose));
    }
    let (pid, peer_pid) = (here.pid().to_string(), there.pid());
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--pid", &pid]);
    for script in [&mut here, &mut there] {
        script.send_line("call");
        assert_eq!(script.line(), "called");
    }
    for mut nft in [lab.inside("nft"), neighbour.inside("nft")] {
        run(nft.arg("delete table ip lossy"));
    }
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    here.end();
    there.end();
    assert_eq!(trace.timelines().len(), 1, "{:#?}", trace.timelines());
    let timeline = trace.timelines()[0];
    assert_eq!(timeline["client"]["addr"], Lab::ADDRESS);
    assert_eq!(timeline["client"]["pid"].to_string(), pid);
    assert_eq!(timeline["roles_from"], "simultaneous");
    assert_eq!(timeline["server"]["pid"], peer_pid);
    assert_eq!(timeline["bytes"]["client_to_server"], 100);
    assert_eq!(timeline["complete"], true, "{timeline:#}");
}

#[test]
fn a_socket_that_is_connected_to_itself() {
    for (host, bound) in [("127.0.0.1", true), ("::1", true), ("127.0.0.1", false)] {
        let lab = Lab::new();
        // With one port to choose from, a client gets the one that it calls.
        run(lab.inside("sh").args([
            "-c",
            "echo 4251 4251 >/proc/sys/net/ipv4/ip_local_port_range",
        ]));
        let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--segments", "--port", "4251"]);
        let bind = if bound {
            format!("s.bind(('{host}', 4251))")
        } else {
            String::new()
        };
        let family = if host.contains(':') {
            "socket.AF_INET6"
        } else {
            "socket.AF_INET"
        };
        let script = Script::start(
            lab.inside("python3"),
            &format!(
                "
import socket
s = socket.socket({family})
{bind}
s.connect(('{host}', 4251))
print('ready')
s.sendall(b'x' * 500)
left = 500
while left: left -= len(s.recv(left))
s.close()
"
            ),
        );
        let pid = u64::from(script.pid());
        tracer.wait_for_timelines(1);
        let trace = tracer.stop();
        script.end();
        let timeline = trace.only_to(4251);
        for end in ["client", "server"] {
            assert_eq!(timeline[end]["pid"], pid, "{timeline:#}");
            assert_eq!(timeline[end]["addr"], host);
            assert_eq!(timeline[end]["port"], 4251);
        }
        assert_eq!(timeline["client"]["cookie"], timeline["server"]["cookie"]);
        assert_eq!(steps(timeline, 0), ["client SYN", "client SYN-ACK"]);
        assert_eq!(timeline["bytes"]["client_to_server"], 500);
        assert_eq!(timeline["bytes"]["server_to_client"], 0);
        assert_eq!(timeline["roles_from"], "simultaneous");
        assert_eq!(timeline["complete"], true);
        assert_eq!(steps(timeline, 2), ["client FIN", "client ACK"]);
        assert_eq!(timeline["phases"][2]["how"], "fin");
        assert_eq!(timeline["phases"][2]["missing"], serde_json::json!([]));
        for flag in ["SYN", "FIN"] {
            let expected = if flag == "SYN" { 2 } else { 1 };
            let found = count(&trace, |segment| has_flag(segment, flag));
            assert_eq!(found, expected, "{flag}");
        }
        let payload = |segment: &Value| number(&segment["len"]) > 0;
        assert_eq!(count(&trace, payload), 1);
    }
}

/// As CRIU does: the state of one socket is given to another, and no segment is sent for it.
#[test]
fn a_restored_socket() {
    let lab = Lab::new();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4261"]);
    let script = Script::start(
        lab.inside("python3"),
        "
import socket, struct
REPAIR, QUEUE, QUEUE_SEQ, RECV, SEND = 19, 20, 21, 1, 2
def option(s, name, value): s.setsockopt(socket.IPPROTO_TCP, name, value)
s = socket.create_server(('127.0.0.1', 4261))
c = socket.create_connection(('127.0.0.1', 4261))
a, _ = s.accept()
print('ready')
c.sendall(b'x' * 1000)
left = 1000
while left: left -= len(a.recv(left))
own = c.getsockname()
option(c, REPAIR, 1)
numbers = {}
for queue in (SEND, RECV):
    option(c, QUEUE, queue)
    numbers[queue] = c.getsockopt(socket.IPPROTO_TCP, QUEUE_SEQ)
c.close()
r = socket.socket()
option(r, REPAIR, 1)
r.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
r.bind(own)
for queue in (SEND, RECV):
    option(r, QUEUE, queue)
    option(r, QUEUE_SEQ, struct.pack('I', numbers[queue] & 0xffffffff))
r.connect(('127.0.0.1', 4261))
option(r, REPAIR, 0)
r.sendall(b'y' * 50)
left = 50
while left: left -= len(a.recv(left))
a.sendall(b'z' * 20)
left = 20
while left: left -= len(r.recv(left))
r.close()
a.recv(1)
a.close()
",
    );
    tracer.wait_for_timelines(2);
    let trace = tracer.stop();
    script.end();
    let timelines = trace.timelines();
    assert_eq!(timelines.len(), 2);
    let is_restored = |timeline: &&&Value| timeline["server"]["cookie"].is_null();
    let restored = timelines.iter().find(is_restored).unwrap();
    assert_eq!(steps(restored, 0), [""; 0]);
    assert_eq!(restored["phases"][0]["certainty"], "unknown");
    assert!(restored["phases"][0]["options"].is_null());
    assert_eq!(restored["bytes"]["client_to_server"], 50);
    assert_eq!(restored["bytes"]["server_to_client"], 20);
    assert_eq!(
        restored["incomplete"][0],
        "a process restored its socket (TCP_REPAIR): another socket opened it"
    );
    let whole = timelines.iter().find(|timeline| !is_restored(timeline));
    let whole = whole.unwrap();
    assert_eq!(whole["bytes"]["client_to_server"], 1050);
    assert_eq!(
        steps(whole, 0),
        ["client SYN", "server SYN-ACK", "client ACK"]
    );
    assert_ne!(whole["connection"], restored["connection"]);
}
