//! Payload that comes before its receiver has a socket: to a listener that defers its connections
//! (`TCP_DEFER_ACCEPT`), in a SYN (TCP Fast Open), in a third ACK.

use serde_json::Value;

use crate::{
    lab::{Lab, Neighbour, Script, run},
    trace::{number, steps},
};

const HEAD: &str = "PUT /early HTTP/1.1\\r\\nHost: h\\r\\nContent-Length: 50000\\r\\n\\r\\n";
const HEAD_LENGTH: u64 = 55;
const LENGTH: u64 = HEAD_LENGTH + 50_000;

/// A server that takes one request a connection, and says so.
fn server(options: &str) -> String {
    format!(
        "
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
{options}
s.bind(('0.0.0.0', 4211))
s.listen()
print('ready')
while True:
    a, _ = s.accept()
    left = {LENGTH}
    while left: left -= len(a.recv(left))
    a.sendall(b'HTTP/1.1 201 Created\\r\\nContent-Length: 0\\r\\n\\r\\n')
    a.recv(1)
    a.close()
"
    )
}

const DEFERS: &str = "s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)";
const FAST_OPEN: &str = "s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)";

/// A client that connects, waits for a line, and sends all at once.
const CONNECTS: &str = "
c = socket.create_connection((HOST, 4211))
print('connected')
sys.stdin.readline()
c.sendall(REQUEST)
c.recv(100)
c.close()
";

/// One that sends with its SYN.
const SENDS_AT_ONCE: &str = "
c = socket.socket()
sent = c.sendto(REQUEST, socket.MSG_FASTOPEN, (HOST, 4211))
c.sendall(REQUEST[sent:])
c.recv(100)
c.close()
";

fn client(neighbour: &Neighbour, act: &str) -> Script {
    let text = format!(
        "import socket, sys\nHOST = '{}'\nREQUEST = b'{HEAD}' + b'x' * 50000\nprint('ready')\nsys.stdin.readline()\n{act}",
        Lab::ADDRESS
    );
    Script::start(neighbour.inside("python3"), &text)
}

fn fast_open(lab: &Lab, neighbour: &Neighbour, client: u32, server: u32) {
    for (mut program, flags) in [(lab.inside("sh"), server), (neighbour.inside("sh"), client)] {
        let set = format!("echo {flags} >/proc/sys/net/ipv4/tcp_fastopen");
        run(program.args(["-c", &set]));
    }
}

/// With the server's end alone (its process is traced, and the client is another's in another
/// namespace), and with both.
fn each_view(check: impl Fn(&Lab, &Neighbour, &dyn Fn(&Script) -> Vec<String>)) {
    for with_client in [false, true] {
        let lab = Lab::new();
        let neighbour = lab.neighbour();
        let filter = |server: &Script| {
            let [option, value] = if with_client {
                ["--port".to_owned(), "4211".to_owned()]
            } else {
                ["--pid".to_owned(), server.pid().to_string()]
            };
            vec![option, value]
        };
        check(&lab, &neighbour, &filter);
    }
}

fn tracer(lab: &Lab, filter: &[String]) -> crate::lab::Tracer {
    let filter: Vec<&str> = filter.iter().map(String::as_str).collect();
    lab.tracer_alone(&[&["-o", "ndjson"][..], &filter].concat())
}

/// The request is told with its name and its size, and each byte is counted once.
fn check_told(timeline: &Value) {
    let exchanges = timeline["phases"][1]["exchanges"].as_array().unwrap();
    assert_eq!(exchanges.len(), 1, "{timeline:#}");
    let exchange = &exchanges[0];
    assert_eq!(exchange["request"]["method"], "PUT", "{timeline:#}");
    assert_eq!(exchange["request"]["target"], "/early");
    assert_eq!(exchange["response"]["status"], 201);
    assert_eq!(exchange["body"]["bytes"], 50_000, "{timeline:#}");
    assert_eq!(exchange["wait"]["certainty"], "observed", "{timeline:#}");
    let upload = &timeline["uploads"][0];
    assert_eq!(upload["name"], "early", "{timeline:#}");
    assert_eq!(upload["bytes"], 50_000);
    assert_eq!(timeline["bytes"]["client_to_server"], LENGTH);
    assert_eq!(timeline["complete"], true, "{timeline:#}");
}

fn check_steps(timeline: &Value) {
    assert_eq!(
        steps(timeline, 0),
        ["client SYN", "server SYN-ACK", "client ACK"]
    );
}

#[test]
fn a_request_that_a_deferring_listener_waits_for() {
    each_view(|lab, neighbour, filter| {
        let server = Script::start(lab.inside("python3"), &server(DEFERS));
        let mut client = client(neighbour, CONNECTS);
        let mut tracer = tracer(lab, &filter(&server));
        client.send_line("connect");
        assert_eq!(client.line(), "connected");
        client.send_line("send");
        tracer.wait_for_timelines(1);
        let trace = tracer.stop();
        client.end();
        let timeline = trace.only_to(4211);
        check_told(timeline);
        check_steps(timeline);
    });
}

/// The bare third ACK is lost, and the request takes its place.
#[test]
fn a_request_in_the_third_ack() {
    each_view(|lab, neighbour, filter| {
        let server = Script::start(lab.inside("python3"), &server(""));
        let mut client = client(neighbour, CONNECTS);
        let mut tracer = tracer(lab, &filter(&server));
        let lose = "add table ip lossy; add chain ip lossy out { type filter hook output priority 0; }; add rule ip lossy out tcp dport 4211 tcp flags & (syn|ack|psh) == ack drop";
        run(neighbour.inside("nft").arg(lose));
        client.send_line("connect");
        assert_eq!(client.line(), "connected");
        run(neighbour.inside("nft").arg("delete table ip lossy"));
        client.send_line("send");
        tracer.wait_for_timelines(1);
        let trace = tracer.stop();
        client.end();
        let timeline = trace.only_to(4211);
        check_told(timeline);
        check_steps(timeline);
    });
}

/// The listener takes the payload of a SYN, with a cookie or without.
#[test]
fn a_request_in_the_syn() {
    const WITHOUT_COOKIE: u32 = 0x207;
    each_view(|lab, neighbour, filter| {
        fast_open(lab, neighbour, WITHOUT_COOKIE, WITHOUT_COOKIE);
        let server = Script::start(lab.inside("python3"), &server(FAST_OPEN));
        let mut client = client(neighbour, SENDS_AT_ONCE);
        let mut tracer = tracer(lab, &filter(&server));
        client.send_line("send");
        tracer.wait_for_timelines(1);
        let trace = tracer.stop();
        client.end();
        let timeline = trace.only_to(4211);
        check_told(timeline);
        let syn = &timeline["phases"][0]["steps"][0];
        assert!(number(&syn["len"]) > HEAD_LENGTH, "{timeline:#}");
        let request = &timeline["phases"][1]["exchanges"][0]["request"];
        assert_eq!(request["start_ns"], syn["at_ns"], "{timeline:#}");
    });
}

/// The first connection asks for the cookie, and the second sends it.
#[test]
fn a_request_in_a_syn_with_a_cookie() {
    each_view(|lab, neighbour, filter| {
        fast_open(lab, neighbour, 1, 3);
        let server = Script::start(lab.inside("python3"), &server(FAST_OPEN));
        let twice = format!("{SENDS_AT_ONCE}\n{SENDS_AT_ONCE}");
        let mut client = client(neighbour, &twice);
        let mut tracer = tracer(lab, &filter(&server));
        client.send_line("send");
        tracer.wait_for_timelines(2);
        let trace = tracer.stop();
        client.end();
        let timelines = trace.timelines();
        assert_eq!(timelines.len(), 2);
        for (timeline, has_payload) in timelines.iter().zip([false, true]) {
            check_told(timeline);
            let syn = &timeline["phases"][0]["steps"][0];
            assert_eq!(number(&syn["len"]) > 0, has_payload, "{timeline:#}");
        }
    });
}

/// A server without Fast Open acknowledges the SYN alone: its payload counts when it comes again.
#[test]
fn a_request_in_a_syn_that_is_not_taken() {
    each_view(|lab, neighbour, filter| {
        fast_open(lab, neighbour, 5, 0);
        let server = Script::start(lab.inside("python3"), &server(""));
        let mut client = client(neighbour, SENDS_AT_ONCE);
        let mut tracer = tracer(lab, &filter(&server));
        client.send_line("send");
        tracer.wait_for_timelines(1);
        let trace = tracer.stop();
        client.end();
        let timeline = trace.only_to(4211);
        check_told(timeline);
        check_steps(timeline);
        let opening = &timeline["phases"][0]["steps"];
        assert!(number(&opening[0]["len"]) > 0, "{timeline:#}");
        let request = &timeline["phases"][1]["exchanges"][0]["request"];
        let third_ack = number(&opening[2]["at_ns"]);
        assert!(number(&request["start_ns"]) >= third_ack, "{timeline:#}");
    });
}

/// The server's name in a ClientHello.
#[test]
fn a_client_hello_that_a_deferring_listener_waits_for() {
    const HELLO: &str = "
import ssl
hello, answer = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = ssl.create_default_context().wrap_bio(answer, hello, server_hostname='uploads.example')
try: tls.do_handshake()
except ssl.SSLWantReadError: pass
c = socket.create_connection((HOST, 4211))
c.sendall(hello.read())
c.recv(1)
c.close()
";
    let answers = format!(
        "
import socket
s = socket.socket()
{DEFERS}
s.bind(('0.0.0.0', 4211))
s.listen()
print('ready')
a, _ = s.accept()
a.recv(10000)
a.close()
"
    );
    each_view(|lab, neighbour, filter| {
        let server = Script::start(lab.inside("python3"), &answers);
        let mut client = client(neighbour, HELLO);
        let mut tracer = tracer(lab, &filter(&server));
        client.send_line("send");
        tracer.wait_for_timelines(1);
        let trace = tracer.stop();
        client.end();
        let tls = &trace.only_to(4211)["phases"][1]["tls"];
        assert_eq!(tls["server_name"], "uploads.example", "{tls:#}");
    });
}
