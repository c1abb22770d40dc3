//! Which end of a connection that was open before the tracer is the client.

use crate::{
    lab::{Lab, Neighbour, Script},
    trace::Trace,
};

/// Listens on a port above the client's, and takes one connection; does not listen any more then
/// where it was told so.
fn server(address: &str, keeps_listening: bool) -> String {
    let then = if keeps_listening { "" } else { "s.close()" };
    format!(
        "
import socket, sys
s = socket.create_server(('{address}', 61001))
print('ready')
a, _ = s.accept()
{then}
print('accepted')
a.recv(1)
a.close()
"
    )
}

fn client(address: &str) -> String {
    format!(
        "
import socket, sys
c = socket.create_connection(('{address}', 61001), source_address=('', 4104))
print('ready')
sys.stdin.readline()
c.close()
"
    )
}

/// A connection to a port above its client's, over which nothing goes before the tracer is there.
fn traced(lab: &Lab, server: Script, mut client: Script, arguments: &[&str]) -> Trace {
    assert_eq!(server.line(), "accepted");
    let mut tracer = lab.tracer_alone(&[&["-o", "ndjson"], arguments].concat());
    client.send_line("go on");
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    client.end();
    server.end();
    trace
}

#[test]
fn the_listening_end_is_the_server() {
    for (listens_at, address) in [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", Neighbour::ADDRESS),
        (Neighbour::ADDRESS, Neighbour::ADDRESS),
    ] {
        // Its own: the client's port stays in TIME_WAIT.
        let lab = Lab::new();
        let neighbour = lab.neighbour();
        let program = if address == "127.0.0.1" {
            lab.inside("python3")
        } else {
            neighbour.inside("python3")
        };
        let server = Script::start(program, &server(listens_at, true));
        let client = Script::start(lab.inside("python3"), &client(address));
        let pids = [client.pid(), server.pid()].map(u64::from);
        let trace = traced(&lab, server, client, &["--port", "61001"]);
        let timeline = trace.only_to(61001);
        assert_eq!(timeline["client"]["port"], 4104, "{listens_at} {address}");
        assert_eq!(timeline["client"]["pid"], pids[0]);
        assert_eq!(timeline["server"]["pid"], pids[1]);
        assert_eq!(timeline["phases"][2]["closed_first"], "client");
        assert_eq!(timeline["roles"], "inferred");
        assert_eq!(timeline["roles_from"], "listener");
    }
}

/// Of the two ends only the client's is here.
#[test]
fn the_end_that_connects_to_a_listener_is_the_client() {
    let lab = Lab::new();
    let server = Script::start(lab.inside("python3"), &server("127.0.0.1", true));
    let client = Script::start(lab.inside("python3"), &client("127.0.0.1"));
    let pid = client.pid().to_string();
    let trace = traced(&lab, server, client, &["--pid", &pid]);
    let timeline = trace.only_to(61001);
    assert_eq!(timeline["client"]["pid"].to_string(), pid);
    assert_eq!(timeline["roles_from"], "listener");
}

/// Nobody listens any more: the ports are all there is, and it is said.
#[test]
fn a_guess_by_the_ports_is_marked() {
    let lab = Lab::new();
    let server = Script::start(lab.inside("python3"), &server("127.0.0.1", false));
    let client = Script::start(lab.inside("python3"), &client("127.0.0.1"));
    let trace = traced(&lab, server, client, &["--port", "61001"]);
    let timeline = trace.timelines()[0];
    assert_eq!(timeline["roles"], "inferred");
    assert_eq!(timeline["roles_from"], "ports");
}

#[test]
fn an_observed_opening_decides_the_roles() {
    let lab = Lab::new();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "61001"]);
    let server = Script::start(lab.inside("python3"), &server("127.0.0.1", true));
    let mut client = Script::start(lab.inside("python3"), &client("127.0.0.1"));
    client.send_line("go on");
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    client.end();
    server.end();
    let timeline = trace.only_to(61001);
    assert_eq!(timeline["client"]["port"], 4104);
    assert_eq!(timeline["roles"], "observed");
    assert_eq!(timeline["roles_from"], "opening");
}
