//! Connections that a kernel gave up, each by its own timer: a time-out, whoever sends a RST then.

use serde_json::{Value, json};

use crate::{
    lab::{Lab, Neighbour, Script, has_reset_reasons, run},
    trace::{Trace, steps},
};

/// Cuts the neighbour off: its addresses stay known, and nothing reaches its sockets.
const SILENCE: &str = "add table ip t; add chain ip t in { type filter hook input priority 0; }; add rule ip t in ip protocol tcp drop";
/// As a router that no longer knows the way.
const UNREACHABLE: &str = "add table ip t; add chain ip t in { type filter hook input priority 0; }; add rule ip t in ip protocol tcp reject with icmp type host-unreachable";

/// How a client dies whose server says nothing any more.
struct Death<'a> {
    /// Before, in the client's namespace.
    sysctl: &'a str,
    /// What the neighbour's filter does before the client goes on.
    rules: &'a str,
    /// What the client does once connected …
    before: &'a str,
    /// … and with its server silent; it prints `dead` when its socket is.
    after: &'a str,
}

/// The trace of such a client, whose server stays alive.
fn trace_of(death: &Death<'_>, arguments: &[&str]) -> Trace {
    let (tracer, server, client) = dead(death, arguments);
    let trace = tracer.stop();
    server.end();
    client.end();
    trace
}

fn dead(death: &Death<'_>, arguments: &[&str]) -> (crate::lab::Tracer, Script, Script) {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let sysctl = format!("cd /proc/sys/net/ipv4; {}", death.sysctl);
    run(lab.inside("sh").args(["-ec", &sysctl]));
    let server = Script::start(
        neighbour.inside("python3"),
        "
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
s.bind(('0.0.0.0', 4700))
s.listen()
print('ready')
a, _ = s.accept()
a.recv(1)
a.send(b'!')
sys.stdin.readline()
",
    );
    let tracer = lab.tracer_alone(&[arguments, &["--port", "4700"]].concat());
    let mut client = Script::start(
        lab.inside("python3"),
        &format!(
            "
import os, socket, subprocess, sys
def until_gone(state):
    query = ['ss', '-Htn', 'state', state, 'dport', '= 4700']
    while subprocess.run(query, capture_output=True).stdout: pass
c = socket.create_connection(('{}', 4700))
{}
c.send(b'?')
assert c.recv(1) == b'!'
print('ready')
sys.stdin.readline()
{}
print('dead')
",
            Neighbour::ADDRESS,
            death.before,
            death.after
        ),
    );
    if !death.rules.is_empty() {
        run(neighbour.inside("nft").arg(death.rules));
    }
    client.send_line("go on");
    assert_eq!(client.line(), "dead");
    // The namespaces go with these.
    let server = server.holding(neighbour, lab);
    (tracer, server, client)
}

const RECEIVE: &str = "
try: c.recv(1); sys.exit('it lives')
except OSError as error: print(error, file=sys.stderr)";

const KEEP_ALIVE: &str = "
c.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 1)):
    c.setsockopt(socket.IPPROTO_TCP, option, value)";

/// The client's end timed out; the server's lives on, and knows nothing.
fn check_timed_out(trace: &Trace, timer: &str, user_timeout: bool) -> Value {
    let timeline = trace.only_to(4700);
    let termination = &timeline["phases"][2];
    assert_eq!(
        termination["how"],
        "error",
        "{timeline}\n{}",
        trace.summary()
    );
    assert_eq!(termination["error"], "ETIMEDOUT");
    assert_eq!(termination["timer"], timer);
    let expected = if user_timeout {
        json!(true)
    } else {
        Value::Null
    };
    assert_eq!(termination["user_timeout"], expected);
    assert_eq!(termination["orphan"], Value::Null);
    for field in ["closed_first", "ended_by"] {
        assert_eq!(termination[field], "client");
    }
    assert_eq!(termination["open_end"], "server");
    assert_eq!(timeline["open"], true);
    assert_eq!(termination["end_ns"], Value::Null);
    assert!(termination["start_ns"].is_u64());
    timeline.clone()
}

#[test]
fn a_peer_that_does_not_answer_probes() {
    let user_timeout = format!("{KEEP_ALIVE}\nc.setsockopt(socket.IPPROTO_TCP, 18, 1500)");
    for (before, bounded) in [(KEEP_ALIVE, false), (&*user_timeout, true)] {
        let death = Death {
            sysctl: "",
            rules: SILENCE,
            before,
            after: RECEIVE,
        };
        let trace = trace_of(&death, &["-o", "ndjson"]);
        let timeline = check_timed_out(&trace, "keepalive", bounded);
        // The RST tells the peer, and is not the cause.
        assert_eq!(steps(&timeline, 2), ["client RST"]);
        let reason = &timeline["phases"][2]["reset_reason"];
        let expected = has_reset_reasons().then_some("TCP_KEEPALIVE_TIMEOUT");
        assert_eq!(*reason, json!(expected));
    }
    let death = Death {
        sysctl: "",
        rules: SILENCE,
        before: KEEP_ALIVE,
        after: RECEIVE,
    };
    let (tracer, server, client) = dead(&death, &["--explain"]);
    let text = tracer.stop_text();
    server.end();
    client.end();
    let told = "client timed out: no answer to keep-alive probes, the server's end is still open";
    assert!(text.contains(told), "{text}");
    assert!(!text.contains("reset it"), "{text}");
}

#[test]
fn data_that_nobody_acknowledges() {
    for (sysctl, before, bounded) in [
        ("", "c.setsockopt(socket.IPPROTO_TCP, 18, 700)", true),
        ("echo 1 >tcp_retries2", "", false),
    ] {
        let death = Death {
            sysctl,
            rules: SILENCE,
            before,
            after: &format!("c.send(b'?'){RECEIVE}"),
        };
        let trace = trace_of(&death, &["-o", "ndjson"]);
        let timeline = check_timed_out(&trace, "retransmission", bounded);
        assert!(steps(&timeline, 2).is_empty());
        assert!(timeline["retransmits_by"]["client"].as_u64().unwrap() > 0);
    }
}

/// The window closes, and the peer answers probes or not.
#[test]
fn a_window_that_stays_closed() {
    let fill = "
c.settimeout(None)
try:
    while True: c.send(b'x' * 65536)
except OSError as error: print(error, file=sys.stderr)";
    let bounded = Death {
        sysctl: "",
        rules: "",
        before: "c.setsockopt(socket.IPPROTO_TCP, 18, 1000)",
        after: fill,
    };
    let trace = trace_of(&bounded, &["-o", "ndjson"]);
    check_timed_out(&trace, "persist", true);
    let unanswered = format!(
        "
c.setblocking(False)
unacknowledged = lambda: int.from_bytes(c.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)[24:], sys.byteorder)
try:
    while True: c.send(b'x' * 65536)
except BlockingIOError: pass
while unacknowledged(): pass
subprocess.run(['nft', '{SILENCE}'], check=True)
c.setblocking(True){RECEIVE}"
    );
    let silent = Death {
        sysctl: "echo 2 >tcp_retries2",
        rules: "",
        before: "",
        after: &unanswered,
    };
    let trace = trace_of(&silent, &["-o", "ndjson"]);
    check_timed_out(&trace, "persist", false);
}

/// No process holds the socket, and so none is told.
#[test]
fn an_orphan_whose_fin_nobody_acknowledges() {
    let death = Death {
        sysctl: "echo 1 >tcp_orphan_retries",
        rules: SILENCE,
        before: "",
        after: "c.close(); until_gone('fin-wait-1')",
    };
    let trace = trace_of(&death, &["-o", "ndjson"]);
    let timeline = trace.only_to(4700);
    let termination = &timeline["phases"][2];
    assert_eq!(termination["how"], "error", "{termination:#}");
    assert_eq!(termination["error"], "ETIMEDOUT");
    assert_eq!(termination["timer"], "retransmission");
    assert_eq!(termination["orphan"], true);
    assert_eq!(termination["open_end"], "server");
    let missing = termination["missing"].as_array().unwrap();
    assert!(missing.contains(&"a FIN was never acknowledged".into()));
    assert!(steps(timeline, 2).iter().all(|step| step == "client FIN"));
}

/// An ICMP message does not close an open connection (RFC 5461); the time-out that follows has its error.
#[test]
fn a_router_that_no_longer_knows_the_way() {
    let death = Death {
        sysctl: "",
        rules: UNREACHABLE,
        before: "c.setsockopt(socket.IPPROTO_TCP, 18, 700)",
        after: &format!("c.send(b'?'){RECEIVE}"),
    };
    let trace = trace_of(&death, &["-o", "ndjson"]);
    let termination = &trace.only_to(4700)["phases"][2];
    assert_eq!(termination["how"], "error", "{termination:#}");
    assert_eq!(termination["error"], "EHOSTUNREACH");
    assert_eq!(termination["timer"], "retransmission");
    assert_eq!(termination["ended_by"], "client");
}

/// The peer's FIN does not come, and the process is gone: with less patience than a TIME_WAIT entry has,
/// the kernel resets.
#[test]
fn a_fin_that_does_not_come() {
    let death = Death {
        sysctl: "echo 62 >tcp_fin_timeout",
        rules: "",
        before: "",
        after: "
c.close()
query = ['ss', '-Htn', 'state', 'fin-wait-2', 'dport', '= 4700']
while not subprocess.run(query, capture_output=True).stdout: pass
open('/proc/sys/net/ipv4/tcp_fin_timeout', 'w').write('10')
until_gone('fin-wait-2')",
    };
    let trace = trace_of(&death, &["-o", "ndjson"]);
    let timeline = trace.only_to(4700);
    let termination = &timeline["phases"][2];
    assert_eq!(termination["timer"], "fin_wait2", "{termination:#}");
    assert_eq!(termination["how"], "rst");
    assert_eq!(termination["closed_first"], "client");
    assert_eq!(termination["ended_by"], "client");
    assert_eq!(termination["orphan"], true);
    assert_eq!(
        steps(timeline, 2),
        ["client FIN", "server ACK", "client RST"]
    );
}
