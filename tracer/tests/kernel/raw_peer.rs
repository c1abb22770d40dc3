//! Openings that a peer made of raw segments resets, in every state that they pass.

use serde_json::Value;

use crate::{
    lab::{Lab, Neighbour, Script, run},
    trace::steps,
};

/// A peer made of raw segments; the kernel of its namespace keeps silent about them.
pub(crate) const RAW: &str = "
import socket, struct, subprocess, sys
rules = 'add table ip t; add chain ip t out { type filter hook output priority 0; }; add rule ip t out tcp flags & rst == rst meta mark != 7 drop'
subprocess.run(['nft', rules], check=True)
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
raw.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 7)
FIN, SYN, RST, ACK = 1, 2, 4, 16
OWN, PEER = '10.77.0.2', '10.77.0.1'
def say(own, peer, seq, ack, flags, data=b''):
    tcp = struct.pack('!HHIIBBHHH', own, peer, seq, ack, 5 << 4, flags, 8192, 0, 0) + data
    words = socket.inet_aton(OWN) + socket.inet_aton(PEER) + struct.pack('!BBH', 0, 6, len(tcp)) + tcp
    words += b'\\0' * (len(words) % 2)
    total = sum(struct.unpack('!%dH' % (len(words) // 2), words))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    raw.sendto(tcp[:16] + struct.pack('!H', ~total & 0xffff) + tcp[18:], (PEER, 0))
def hear(own, flags):
    while True:
        packet = raw.recv(4096)
        tcp = packet[(packet[0] & 15) * 4:]
        source, destination, seq, ack, _, found = struct.unpack('!HHIIBB', tcp[:14])
        if destination == own and found & 63 == flags: return source, seq, ack
";

/// What a socket is told that connects to a raw peer, which does this.
fn connects_to_raw(port: u16, peer: &str, expected: &str) -> Value {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let peer = format!("{RAW}PORT = {port}\nprint('ready')\n{peer}");
    let peer = Script::start(neighbour.inside("python3"), &peer);
    let tracer = ["-o", "ndjson", "--port", &port.to_string()];
    let mut tracer = lab.tracer_alone(&tracer);
    let client = format!(
        "
import socket
client = socket.socket()
try:
    client.connect(('{}', {port}))
    print('open')
    client.recv(1)
except OSError as error: print(type(error).__name__)
client.close()
",
        Neighbour::ADDRESS
    );
    let client = run(lab.inside("python3").args(["-c", &client]));
    assert_eq!(client.lines().last(), Some(expected));
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    peer.end();
    trace.only_to(port).clone()
}

/// To a SYN in SYN_SENT the socket answers with its own once more, and is in SYN_RECV (RFC 9293,
/// section 3.5): there a RST is no refusal.
#[test]
fn a_reset_while_both_ends_open() {
    let timeline = connects_to_raw(
        4009,
        "
source, seq, _ = hear(PORT, SYN)
say(PORT, source, 1000, 0, SYN)
hear(PORT, SYN | ACK)
say(PORT, source, 1001, seq + 1, RST | ACK)
",
        "ConnectionResetError",
    );
    assert_eq!(timeline["phases"][0]["failure"], "reset");
    assert_eq!(
        steps(&timeline, 0),
        ["client SYN", "server SYN", "client SYN-ACK", "server RST"]
    );
    assert_eq!(timeline["phases"].as_array().unwrap().len(), 1);
}

#[test]
fn a_reset_instead_of_a_syn_ack_is_a_refusal() {
    let timeline = connects_to_raw(
        4010,
        "
source, seq, _ = hear(PORT, SYN)
say(PORT, source, 0, seq + 1, RST | ACK)
",
        "ConnectionRefusedError",
    );
    assert_eq!(timeline["phases"][0]["failure"], "refused");
    assert_eq!(steps(&timeline, 0), ["client SYN", "server RST"]);
}

/// With the SYN-ACK the client's end is open, whatever follows.
#[test]
fn a_reset_behind_the_syn_ack_is_a_termination() {
    for (port, awaited) in [(4011, ""), (4012, "hear(PORT, ACK)")] {
        let timeline = connects_to_raw(
            port,
            &format!(
                "
source, seq, _ = hear(PORT, SYN)
say(PORT, source, 1000, seq + 1, SYN | ACK)
{awaited}
say(PORT, source, 1001, seq + 1, RST | ACK)
"
            ),
            "ConnectionResetError",
        );
        assert_eq!(timeline["phases"][0]["failure"], Value::Null);
        assert_eq!(
            steps(&timeline, 0),
            ["client SYN", "server SYN-ACK", "client ACK"]
        );
        assert_eq!(steps(&timeline, 2), ["server RST"]);
        assert_eq!(timeline["phases"][2]["how"], "rst");
        assert_eq!(timeline["phases"][2]["closed_first"], "server");
    }
}

/// An ACK of an old connection in SYN_SENT is answered with a RST, and the socket waits on (RFC 9293,
/// figure 9).
#[test]
fn a_reset_that_ends_nothing() {
    let timeline = connects_to_raw(
        4015,
        "
source, seq, _ = hear(PORT, SYN)
say(PORT, source, 7000, seq - 5000, ACK)
hear(PORT, RST)
say(PORT, source, 1000, seq + 1, SYN | ACK)
_, seq, _ = hear(PORT, ACK)
say(PORT, source, 1001, seq, FIN | ACK)
hear(PORT, FIN | ACK)
say(PORT, source, 1002, seq + 1, ACK)
",
        "open",
    );
    assert_eq!(timeline["phases"][0]["failure"], Value::Null);
    let termination = &timeline["phases"][2];
    assert_eq!(termination["how"], "fin", "{termination:#}");
    assert_eq!(termination["closed_first"], "server");
    assert_eq!(termination["ended_by"], Value::Null);
    assert!(!steps(&timeline, 2).contains(&"client RST".to_owned()));
}

/// With TCP Fast Open (RFC 7413) the server's socket is there in SYN_RECV already, and read from.
#[test]
fn a_reset_of_a_fast_open() {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    // The server takes data in a SYN, even without a cookie.
    run(lab
        .inside("sh")
        .args(["-c", "echo 0x203 >/proc/sys/net/ipv4/tcp_fastopen"]));
    let listener = Script::start(
        lab.inside("python3"),
        "
import socket
s = socket.socket()
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
s.bind(('0.0.0.0', 4013))
s.listen()
print('ready')
a, _ = s.accept()
print(a.recv(10).decode())
try: a.recv(10)
except ConnectionResetError: print('reset')
a.close()
",
    );
    let pid = u64::from(listener.pid());
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4013"]);
    let peer = "
print('ready')
say(40000, 4013, 1000, 0, SYN, b'hello')
hear(40000, SYN | ACK)
sys.stdin.readline()
say(40000, 4013, 1006, 0, RST)
";
    let mut peer = Script::start(neighbour.inside("python3"), &format!("{RAW}{peer}"));
    assert_eq!(listener.line(), "hello");
    peer.send_line("reset");
    assert_eq!(listener.line(), "reset");
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    let timeline = trace.only_to(4013);
    let initiation = &timeline["phases"][0];
    assert_eq!(initiation["failure"], "reset");
    assert_eq!(
        steps(timeline, 0),
        ["client SYN", "server SYN-ACK", "client RST"]
    );
    assert_eq!(timeline["client"]["addr"], Neighbour::ADDRESS);
    assert_eq!(timeline["server"]["pid"], pid);
    peer.end();
    listener.end();
}
