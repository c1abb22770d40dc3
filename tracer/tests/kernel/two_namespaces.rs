//! A client in one network namespace, a server in another: one connection with both ends.

use crate::{
    lab::{Lab, Neighbour, Script, run},
    trace::steps,
};

const ECHO: &str = "
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('0.0.0.0', 4201))
s.listen()
print('ready')
a, _ = s.accept()
a.sendall(a.recv(100))
a.recv(1)
a.close()
";

fn call(lab: &Lab, address: &str, port: u16) {
    let script = format!(
        "import socket\nopen('/proc/self/comm', 'w').write('calls')\nc = socket.create_connection(('{address}', {port}))\nc.sendall(b'x' * 100)\nc.recv(100)\nc.close()"
    );
    run(lab.inside("python3").args(["-c", &script]));
}

#[test]
fn both_ends_of_a_connection_between_two() {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let server = Script::start(neighbour.inside("python3"), ECHO);
    let pid = u64::from(server.pid());
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4201"]);
    call(&lab, Neighbour::ADDRESS, 4201);
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    server.end();
    assert_eq!(trace.timelines().len(), 1);
    let timeline = trace.timelines()[0];
    assert_eq!(timeline["client"]["addr"], Lab::ADDRESS);
    assert_eq!(timeline["server"]["addr"], Neighbour::ADDRESS);
    assert_eq!(timeline["server"]["pid"], pid);
    assert_ne!(timeline["client"]["netns"], timeline["server"]["netns"]);
    assert_eq!(
        steps(timeline, 0),
        ["client SYN", "server SYN-ACK", "client ACK"]
    );
    assert_eq!(timeline["bytes"]["client_to_server"], 100);
    assert_eq!(timeline["bytes"]["server_to_client"], 100);
    assert_eq!(timeline["complete"], true);
}

/// The client calls another address and port than the server's, and the server sees another client:
/// only the sequence numbers are the same. Both ends pass a filter by port; a filter by process that
/// only the client passes follows to the server.
#[test]
fn both_ends_behind_nat() {
    behind_nat(&["--port", "80", "--port", "4201"]);
    behind_nat(&["--comm", "calls"]);
    behind_nat(&["--comm", "calls", "--port", "80"]);
}

fn behind_nat(filter: &[&str]) {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let away = format!("route add 10.99.0.0/24 via {}", Neighbour::ADDRESS);
    run(lab.inside("ip").args(away.split(' ')));
    let back = format!("route add 10.98.0.0/24 via {}", Lab::ADDRESS);
    run(neighbour.inside("ip").args(back.split(' ')));
    let to = Neighbour::ADDRESS;
    let rules = format!(
        "table ip translation {{\n chain in {{ type nat hook prerouting priority -100;\n  tcp dport 80 dnat to {to}:4201\n }}\n chain out {{ type nat hook input priority 100;\n  tcp dport 4201 snat to 10.98.0.7\n }}\n}}"
    );
    let file = lab.dir.path().join("rules");
    std::fs::write(&file, rules).unwrap();
    run(neighbour.inside("nft").arg("-f").arg(&file));
    let server = Script::start(neighbour.inside("python3"), ECHO);
    let pid = u64::from(server.pid());
    let mut tracer = lab.tracer_alone(&[&["-o", "ndjson"], filter].concat());
    call(&lab, "10.99.0.5", 80);
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    server.end();
    assert_eq!(trace.timelines().len(), 1, "{:#?}", trace.timelines());
    let timeline = trace.timelines()[0];
    assert_eq!(timeline["client"]["addr"], Lab::ADDRESS);
    assert_eq!(timeline["server"]["pid"], pid);
    assert_eq!(timeline["server"]["addr"], Neighbour::ADDRESS);
    assert_eq!(timeline["server"]["seen_as"], "10.99.0.5:80");
    let client_seen = timeline["client"]["seen_as"].as_str().unwrap();
    assert!(client_seen.starts_with("10.98.0.7:"), "{client_seen}");
    assert_eq!(
        steps(timeline, 0),
        ["client SYN", "server SYN-ACK", "client ACK"]
    );
    assert_eq!(timeline["bytes"]["client_to_server"], 100);
}
