//! MPTCP: the kernel's own sockets carry a process's connection.

use serde_json::Value;

use crate::{
    lab::{Lab, Neighbour, Script, run, skip},
    trace::Trace,
};

/// Answers one connection; says its MPTCP token (`MPTCP_INFO`), as `ss` prints it.
const SERVER: &str = "
import socket, struct
MPTCP = 262
def token(s): return '%x' % struct.unpack_from('I', s.getsockopt(284, 1, 200), 12)
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('0.0.0.0', 4221))
s.listen()
print('ready')
a, _ = s.accept()
print(token(a))
left = 100000
while left: left -= len(a.recv(left))
ANSWER
a.recv(1)
a.close()
";

const CLIENT: &str = "
import socket, struct, sys
MPTCP = 262
def info(s): return s.getsockopt(284, 1, 200)
print('ready')
sys.stdin.readline()
c = socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP)
c.connect(('HOST', 4221))
print('%x' % struct.unpack_from('I', info(c), 12))
c.sendall(b'x' * 1000)
while info(c)[0] < SUBFLOWS: pass
c.sendall(b'x' * 99000)
if ANSWERS: c.recv(100)
c.close()
";

struct Run {
    trace: Trace,
    pids: [u64; 2],
    tokens: [String; 2],
}

fn traced(lab: &Lab, neighbour: &Neighbour, more_subflows: usize, answers: bool) -> Run {
    let answer = if answers { "a.sendall(b'ok')" } else { "" };
    let server = Script::start(
        neighbour.inside("python3"),
        &SERVER.replace("ANSWER", answer),
    );
    let text = CLIENT
        .replace("HOST", Neighbour::ADDRESS)
        .replace("SUBFLOWS", &more_subflows.to_string())
        .replace("ANSWERS", if answers { "True" } else { "False" });
    let mut client = Script::start(lab.inside("python3"), &text);
    let pids = [client.pid(), server.pid()].map(u64::from);
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4221"]);
    client.send_line("go");
    tracer.wait_for_timelines(1 + more_subflows);
    let trace = tracer.stop();
    let tokens = [client.line(), server.line()];
    client.end();
    server.end();
    Run {
        trace,
        pids,
        tokens,
    }
}

fn has_mptcp(lab: &Lab) -> bool {
    let path = "cat /proc/sys/net/mptcp/enabled";
    let enabled = lab.inside("sh").args(["-c", path]).output().unwrap();
    let has = enabled.stdout.starts_with(b"1");
    if !has {
        skip("the kernel has no MPTCP");
    }
    has
}

fn check(timeline: &Value, run: &Run) {
    for (end, pid, token) in [
        ("client", run.pids[0], &run.tokens[0]),
        ("server", run.pids[1], &run.tokens[1]),
    ] {
        let found = &timeline[end];
        assert_eq!(found["pid"], pid, "{timeline:#}");
        assert_eq!(found.get("also"), None, "{timeline:#}");
        assert_eq!(found["mptcp"], *token, "{timeline:#}");
    }
}

/// A kernel thread closes the subflows, and owns none.
#[test]
fn the_owner_is_the_process() {
    for answers in [true, false] {
        let lab = Lab::new();
        if !has_mptcp(&lab) {
            return;
        }
        let neighbour = lab.neighbour();
        let run = traced(&lab, &neighbour, 0, answers);
        let timeline = run.trace.only_to(4221);
        check(timeline, &run);
        assert_eq!(timeline["client"]["owner_from"], "connect");
        let from = if answers { "send" } else { "close" };
        assert_eq!(timeline["server"]["owner_from"], from);
        assert_eq!(timeline["bytes"]["client_to_server"], 100_000);
    }
}

/// A kernel thread opens the second subflow.
#[test]
fn each_subflow_is_the_processs() {
    let lab = Lab::new();
    if !has_mptcp(&lab) {
        return;
    }
    let neighbour = lab.neighbour();
    let ip = |arguments: &str| {
        run(lab.inside("ip").args(arguments.split(' ')));
    };
    ip("address add 10.77.0.3/24 dev wire");
    ip("mptcp limits set subflow 2 add_addr_accepted 2");
    ip("mptcp endpoint add 10.77.0.3 dev wire subflow");
    run(neighbour
        .inside("ip")
        .args("mptcp limits set subflow 2 add_addr_accepted 2".split(' ')));
    let run = traced(&lab, &neighbour, 1, true);
    let timelines = run.trace.timelines();
    assert_eq!(timelines.len(), 2);
    for timeline in &timelines {
        check(timeline, &run);
    }
    let bytes = |direction: &str| -> u64 {
        timelines
            .iter()
            .map(|timeline| timeline["bytes"][direction].as_u64().unwrap())
            .sum()
    };
    assert!(bytes("client_to_server") >= 100_000);
    assert!(bytes("server_to_client") >= 2);
}

/// A client without MPTCP at an MPTCP listener, and the other way round.
#[test]
fn a_fallback_to_tcp() {
    for (server, client, server_has_token) in [("MPTCP", "0", false), ("0", "MPTCP", false)] {
        let lab = Lab::new();
        if !has_mptcp(&lab) {
            return;
        }
        let text = format!(
            "
import socket
MPTCP = 262
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, {server})
s.bind(('127.0.0.1', 4221))
s.listen()
print('ready')
c = socket.socket(socket.AF_INET, socket.SOCK_STREAM, {client})
input()
c.connect(('127.0.0.1', 4221))
a, _ = s.accept()
c.sendall(b'x' * 100)
a.recv(100)
a.sendall(b'ok')
c.recv(2)
c.close()
a.recv(1)
a.close()
"
        );
        let mut script = Script::start(lab.inside("python3"), &text);
        let pid = u64::from(script.pid());
        let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4221"]);
        script.send_line("go");
        tracer.wait_for_timelines(1);
        let trace = tracer.stop();
        script.end();
        let timeline = trace.only_to(4221);
        for end in ["client", "server"] {
            assert_eq!(timeline[end]["pid"], pid, "{timeline:#}");
            assert_eq!(timeline[end].get("also"), None, "{timeline:#}");
        }
        assert_eq!(timeline["server"].get("mptcp").is_some(), server_has_token);
        assert_eq!(timeline["bytes"]["client_to_server"], 100);
    }
}
