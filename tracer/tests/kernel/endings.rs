//! How a connection ended, where it is easily told wrong.

use serde_json::Value;

use crate::{
    lab::{Lab, Script, run},
    trace::{Trace, number, steps},
};

/// Both ends in one script: `server` is the accepted socket, `client` the other.
fn traced(script: &str) -> Trace {
    const PRELUDE: &str = "
import socket, struct
listener = socket.create_server(('127.0.0.1', 5000))
client = socket.create_connection(('127.0.0.1', 5000))
server, _ = listener.accept()
";
    let lab = Lab::new();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--segments", "--port", "5000"]);
    run(lab
        .inside("python3")
        .args(["-c", &format!("{PRELUDE}{script}")]));
    tracer.wait_for_timelines(1);
    tracer.stop()
}

/// Nobody holds the client's socket when the server's FIN comes: the kernel has replaced it by a
/// TIME_WAIT entry, and its counters hold data alone.
#[test]
fn a_socket_released_before_the_fin_came() {
    for bytes in [1, 100] {
        let trace = traced(&format!(
            "
client.shutdown(socket.SHUT_WR)
assert server.recv(10) == b''
server.sendall(b'x' * {bytes})
assert len(client.recv(1000)) == {bytes}
client.close()
server.close()
"
        ));
        let timeline = trace.timelines()[0];
        assert_eq!(number(&timeline["bytes"]["server_to_client"]), bytes);
        assert_eq!(timeline["phases"][2]["half_close"], true);
        assert_eq!(timeline["phases"][2]["closed_first"], "client");
    }
}

/// A RST outside the window is ignored (RFC 9293, section 3.10.7.4), and so no end.
#[test]
fn a_forged_reset_is_no_end() {
    let trace = traced(
        "
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
source, destination = client.getsockname(), server.getsockname()
addresses = socket.inet_aton(source[0]) + socket.inet_aton(destination[0])
tcp = struct.pack('!HHIIBBHHH', source[1], destination[1], 12345, 0, 5 << 4, 4, 0, 0, 0)
words = addresses + struct.pack('!BBH', 0, 6, len(tcp)) + tcp
total = sum(struct.unpack('!%dH' % (len(words) // 2), words))
total = (total & 0xffff) + (total >> 16)
total = ~((total & 0xffff) + (total >> 16)) & 0xffff
tcp = tcp[:16] + struct.pack('!H', total) + tcp[18:]
ip = struct.pack('!BBHHHBBH', 0x45, 0, 40, 1, 0, 64, 6, 0) + addresses
raw.sendto(ip + tcp, (destination[0], 0))
client.sendall(b'hello')
assert server.recv(10) == b'hello'
client.close()
assert server.recv(10) == b''
server.close()
",
    );
    let is_reset = |line: &&Value| line["flags"].as_array().unwrap().contains(&"RST".into());
    assert_eq!(trace.of("segment").into_iter().filter(is_reset).count(), 1);
    let timeline = trace.timelines()[0];
    let termination = &timeline["phases"][2];
    assert_eq!(termination["how"], "fin", "{termination:#}");
    assert_eq!(termination["closed_first"], "client");
    assert!(!steps(timeline, 2).iter().any(|step| step.ends_with("RST")));
    assert_eq!(number(&timeline["bytes"]["client_to_server"]), 5);
}

/// A connection that was open before, and that either kernel gives up: no FIN, no RST, nothing to
/// set a comma after.
#[test]
fn an_end_without_a_step() {
    let lab = Lab::new();
    let mut script = Script::start(
        lab.inside("python3"),
        "
import socket, subprocess, sys
listener = socket.create_server(('127.0.0.1', 5000))
client = socket.create_connection(('127.0.0.1', 5000))
server, _ = listener.accept()
listener.close()
print('ready')
sys.stdin.readline()
rules = 'add table ip t; add chain ip t out { type filter hook output priority 0; }; add rule ip t out ip protocol tcp drop'
subprocess.run(['nft', rules], check=True)
for end in client, server:
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 300)
    end.sendall(b'hello')
for end in client, server:
    try: end.recv(1)
    except TimeoutError: print('timed out')
",
    );
    let mut tracer = lab.tracer_alone(&["--port", "5000"]);
    script.send_line("go on");
    assert_eq!(script.line(), "timed out");
    assert_eq!(script.line(), "timed out");
    tracer.wait_for_text("termination");
    let text = tracer.stop_text();
    script.end();
    let termination = text.lines().find(|line| line.contains("termination"));
    let remark = termination.unwrap();
    assert!(!remark.contains(" ,"), "{text}");
    let initiation = text.lines().find(|line| line.contains("initiation"));
    assert!(
        initiation
            .unwrap()
            .ends_with("?   already open when the tracer began"),
        "{text}"
    );
}
