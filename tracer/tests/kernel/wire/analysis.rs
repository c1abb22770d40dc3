//! The analysis of each segment is tshark's, on the same traffic: ordinary traffic, and that of a peer
//! that a script plays, which reorders, repeats, stalls and lies.

use serde_json::Value;
use xtask::tshark::ANALYSIS;

use super::{Capture, by_stream, check, rows_of, tracer_with_packets};
use crate::{
    lab::{Lab, Script, run},
    trace::Trace,
};

/// A segment's place in its connection, and its analysis.
type Row = (String, Vec<&'static str>);

/// By tshark, each side's in order.
fn by_tshark(file: &std::path::Path, port: u16) -> [Vec<Row>; 2] {
    let fields = ["tcp.flags", "tcp.seq", "tcp.ack", "tcp.len"];
    let flags = ANALYSIS.map(|(flag, _)| flag);
    let columns = [&fields[..], &flags[..]].concat();
    rows_of(file, port, &columns).map(|rows| {
        let row = |row: String| {
            let columns: Vec<&str> = row.split('|').collect();
            // The stream's number comes first.
            let (place, found) = columns.split_at(1 + fields.len());
            let named = ANALYSIS.iter().zip(found);
            let named = named.filter(|(_, found)| !found.is_empty());
            let names = named.map(|((_, name), _)| *name).collect();
            (place.join("|"), without_general(names))
        };
        rows.into_iter().map(row).collect()
    })
}

/// tshark marks a fast or spurious retransmission as a retransmission, too.
fn without_general(mut names: Vec<&'static str>) -> Vec<&'static str> {
    let special = |name: &&str| name.ends_with("-retransmission");
    if names.iter().any(special) {
        names.retain(|name| *name != "retransmission");
    }
    names
}

/// The same of the tracer, and whether it saw the segment leave.
fn by_tracer(trace: &Trace) -> [Vec<(Row, bool)>; 2] {
    by_stream(trace).map(|lines| {
        let row = |(stream, line): (usize, &Value)| {
            let place = format!(
                "{stream}|0x{:04x}|{}|{}|{}",
                super::flags(&line["flags"]),
                line["seq"],
                line["ack"],
                line["len"]
            );
            let found = line.get("analysis").and_then(Value::as_array);
            let has = |name: &str| found.is_some_and(|found| found.iter().any(|one| one == name));
            let names = ANALYSIS.iter().map(|(_, name)| *name);
            let row = (place, names.filter(|name| has(name)).collect());
            (row, line["seen_leaving"] == true)
        };
        lines.into_iter().map(row).collect()
    })
}

/// Each segment of both sides has the same analysis.
pub(super) fn compare(trace: &Trace, file: &std::path::Path, port: u16) {
    let sides = by_tracer(trace).into_iter().zip(by_tshark(file, port));
    for ((found, expected), name) in sides.zip(["client", "server"]) {
        assert_eq!(
            found.len(),
            expected.len(),
            "segments from the {name}: {found:#?}, by tshark {expected:#?}"
        );
        for (at, ((found, leaving), (place, expected))) in
            found.into_iter().zip(expected).enumerate()
        {
            let expected = if leaving && expected.contains(&"out-of-order") {
                // What leaves its socket with old numbers was sent before.
                let again = found.1.iter().find(|name| name.ends_with("retransmission"));
                let others = expected.iter().filter(|name| **name != "out-of-order");
                again.into_iter().chain(others).copied().collect()
            } else {
                expected
            };
            assert_eq!(
                found,
                (place, expected),
                "segment {at} from the {name}, in {}",
                file.display()
            );
        }
    }
}

/// Which remarks a trace has, each once.
fn remarks(trace: &Trace) -> Vec<&str> {
    let mut found: Vec<&str> = by_tracer(trace)
        .into_iter()
        .flatten()
        .flat_map(|((_, names), _)| names)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn assert_has(trace: &Trace, expected: &[&str]) {
    let found = remarks(trace);
    for name in expected {
        assert!(found.contains(name), "{name} is not among {found:?}");
    }
}

/// A connection on loopback, whose ends `script` has as `c` and `s`.
fn ends(lab: &Lab, port: u16, script: &str) {
    let prelude = format!(
        "
import socket, struct, time
ls = socket.socket()
ls.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
ls.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20000)
ls.bind(('127.0.0.1', {port}))
ls.listen(9)
c = socket.create_connection(('127.0.0.1', {port}))
s, _ = ls.accept()
"
    );
    run(lab.inside("python3").args(["-c", &(prelude + script)]));
}

#[test]
fn keep_alives() {
    let lab = Lab::new();
    let trace = check(&lab, 4701, 1, || {
        ends(
            &lab,
            4701,
            "
for option, value in ((4, 1), (5, 1), (6, 9)):
    c.setsockopt(socket.IPPROTO_TCP, option, value)
c.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
c.sendall(b'hi')
s.recv(9)
time.sleep(2.5)
c.close()
s.close()",
        );
    });
    assert_eq!(remarks(&trace), ["keep-alive", "keep-alive-ack"]);
}

/// The window closes, is probed, and opens again.
#[test]
fn a_slow_reader() {
    let lab = Lab::new();
    let trace = check(&lab, 4702, 1, || {
        ends(
            &lab,
            4702,
            "
c.setblocking(False)
sent = 0
while True:
    try:
        sent += c.send(b'x' * 10000)
    except BlockingIOError:
        break
time.sleep(1)
left = sent
while left:
    left -= len(s.recv(5000))
c.close()
s.close()",
        );
    });
    assert_has(&trace, &["window-full", "zero-window", "window-update"]);
}

#[test]
fn both_close_at_once() {
    let lab = Lab::new();
    check(&lab, 4703, 4, || {
        let close = "
import threading
c.sendall(b'x')
s.sendall(b'y')
s.recv(1)
c.recv(1)
both = threading.Barrier(2)
def close(end):
    both.wait()
    end.close()
threads = [threading.Thread(target=close, args=(end,)) for end in (c, s)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]";
        for _ in 0..4 {
            ends(&lab, 4703, close);
        }
    });
}

/// A firewall drops every fifth segment, so some are sent again, fast and slowly.
#[test]
fn segments_are_lost() {
    let lab = Lab::new();
    let rules = "add table ip t; add chain ip t in { type filter hook input priority 0; }; add rule ip t in tcp dport 4704 ip length > 1000 numgen inc mod 5 0 drop";
    run(lab.inside("nft").arg(rules));
    run(lab
        .inside("ip")
        .args(["link", "set", "lo", "gso_max_segs", "1"]));
    let trace = check(&lab, 4704, 1, || {
        ends(
            &lab,
            4704,
            "
import threading
def send():
    c.sendall(b'x' * 700000)
    c.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
while s.recv(65536):
    pass
s.close()
c.recv(1)
c.close()",
        );
    });
    assert!(
        remarks(&trace)
            .iter()
            .any(|name| name.ends_with("retransmission"))
    );
}

/// A peer beyond a TUN device, played by a script: it sends whatever segments it likes.
const PEER: &str = "
import fcntl, os, select, socket, struct, sys, threading, time
SELF, PEER, PORT = '10.78.0.1', '10.78.0.2', int(sys.argv[1])
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
tun = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH', b'wire', 0x1001))
print('ready')
sys.stdin.readline()

def checksum(data):
    data += b'\\0' * (len(data) % 2)
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff

class End:
    # The peer's end; numbers are relative as tshark shows them.
    def __init__(self, own, other, isn=5000000):
        self.own, self.other, self.isn, self.peer_isn = own, other, isn, None
        self.ack, self.window = 0, 60000

    def send(self, seq, length=0, flags=ACK, ack=None, window=None, options=b''):
        options += b'\\1' * (-len(options) % 4)
        ack = self.ack if ack is None else ack
        number = (self.peer_isn + ack) % 2**32 if flags & ACK else 0
        window = self.window if window is None else window
        offset = (20 + len(options)) // 4
        tcp = struct.pack('!HHIIHHHH', self.own, self.other, (self.isn + seq) % 2**32, number, offset << 12 | flags, window, 0, 0)
        tcp += options + b'x' * length
        pseudo = socket.inet_aton(PEER) + socket.inet_aton(SELF) + struct.pack('!HH', 6, len(tcp))
        tcp = tcp[:16] + struct.pack('!H', checksum(pseudo + tcp)) + tcp[18:]
        ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, socket.inet_aton(PEER), socket.inet_aton(SELF))
        ip = ip[:10] + struct.pack('!H', checksum(ip)) + ip[12:]
        os.write(tun, ip + tcp)

    # The next segment from the socket: flags, seq, ack, length, window.
    def read(self, timeout=10):
        while True:
            if not select.select([tun], [], [], timeout)[0]:
                return None
            packet = os.read(tun, 70000)
            if packet[0] >> 4 != 4 or packet[9] != 6:
                continue
            head = (packet[0] & 15) * 4
            source, target, seq, ack, flags, window = struct.unpack('!HHIIHH', packet[head:head + 16])
            if (source, target) != (self.other, self.own):
                continue
            if flags & SYN:
                self.peer_isn = seq
            length = len(packet) - head - (flags >> 12) * 4
            return flags & 0x3f, (seq - self.peer_isn) % 2**32, (ack - self.isn) % 2**32, length, window

    def settle(self, timeout=0.15):
        while self.read(timeout):
            pass

    def open(self, options=b'', pause=0.01):
        self.send(0, flags=SYN, options=options)
        assert self.read()[0] == SYN | ACK
        self.ack = 1
        time.sleep(pause)
        self.send(1)

SACK = b'\\2\\4\\5\\xb4\\4\\2'
SCALE = SACK + b'\\3\\3\\2'
ls = socket.socket()
ls.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
ls.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8000)
ls.bind((SELF, PORT))
ls.listen(9)
";

/// Plays the script, with `check`'s comparison.
fn play(connections: usize, port: u16, script: &str) -> Trace {
    let lab = Lab::new();
    let mut python = lab.inside("sh");
    // `Script` appends its own arguments: the port is the last.
    python.args(["-c", r#"exec python3 "$@" "$PORT""#, "sh"]);
    python.env("PORT", port.to_string());
    let mut peer = Script::start(
        python,
        &format!("{PEER}\n{script}\nprint('played')\nsys.stdin.read()"),
    );
    // As tcpdump sees it behind the socket: the device takes no large frame.
    for words in [
        "link set wire gso_max_segs 1",
        "address add 10.78.0.1/24 dev wire",
        "link set wire up",
    ] {
        run(lab.inside("ip").args(words.split(' ')));
    }
    let own = lab.dir.path().join("own.pcapng");
    let mut tracer = tracer_with_packets(&lab, port, &own);
    let capture = Capture::start_on("wire", &lab, "0");
    peer.send_line("go");
    assert_eq!(peer.line(), "played");
    tracer.wait_for_timelines(connections);
    let trace = tracer.stop();
    let file = capture.stop();
    // The device goes with the script.
    peer.end();
    compare(&trace, &file, port);
    compare(&trace, &own, port);
    trace
}

#[test]
fn segments_that_arrive_out_of_order_late_and_again() {
    let trace = play(
        1,
        4711,
        "
e = End(40001, PORT)
e.open(SACK, pause=0.05)
s, _ = ls.accept()
e.send(101, 100)            # out of order: 1 comes soon
e.send(1, 100)
e.settle()
e.send(301, 100)
e.send(401, 100)
time.sleep(0.1)
e.send(201, 100)            # late: sent again
e.settle()
e.send(1, 100)              # acknowledged already
e.send(401, 100)
e.settle()
e.send(451, 100)            # partly new
e.send(601, 100)
e.send(551, 50)
e.settle()
e.send(701, 0, FIN | ACK)
e.settle()
e.send(701, 0, FIN | ACK)   # again
e.settle()
s.close()
e.ack = 2
e.send(702)
e.settle()",
    );
    assert_has(
        &trace,
        &[
            "out-of-order",
            "previous-segment-not-seen",
            "retransmission",
            "spurious-retransmission",
        ],
    );
}

#[test]
fn a_fin_overtakes_the_data() {
    play(
        1,
        4712,
        "
e = End(40002, PORT)
e.open(SACK, pause=0.05)
s, _ = ls.accept()
e.send(101, 0, FIN | ACK)
e.send(1, 100)
e.settle()
s.close()
e.ack = 2
e.send(102)
e.settle()",
    );
}

/// The socket sends; its peer acknowledges twice and more.
#[test]
fn the_socket_sends_again_after_duplicate_acknowledgments() {
    let trace = play(
        1,
        4713,
        "
e = End(40003, PORT)
e.open(SACK, pause=0.05)
s, _ = ls.accept()
s.sendall(b'y' * 14600)
got = [e.read() for _ in range(8)]
end = got[0][1] + got[0][3]
e.send(1, ack=end)
for n in range(3):
    left, right = end + 1460, end + 1460 * (n + 2)
    sack = b'\\5\\x0a' + struct.pack('!II', (e.peer_isn + left) % 2**32, (e.peer_isn + right) % 2**32)
    e.send(1, ack=end, options=sack)
e.settle(0.5)
e.ack = 14601
e.send(1)
e.settle()
s.close()
e.settle()
e.ack = 14602
e.send(1, 0, FIN | ACK)
e.settle()",
    );
    assert_has(&trace, &["duplicate-ack"]);
    let again = remarks(&trace);
    assert!(
        again.iter().any(|name| name.ends_with("retransmission")),
        "{again:?}"
    );
}

#[test]
fn the_peer_closes_its_window_and_opens_it() {
    let trace = play(
        1,
        4714,
        "
e = End(40004, PORT)
e.window = 500
e.open(SCALE, pause=0.02)
s, _ = ls.accept()
s.sendall(b'y' * 30000)
sent = 0
deadline = time.monotonic() + 2
while (got := e.read(0.3)):
    sent = max(sent, got[1] + got[3] - 1)
e.ack = 1 + sent
e.send(1, window=0)
probes = 0
while probes < 3:
    got = e.read()
    if got[3] <= 1:
        probes += 1
        e.send(1, window=0)
e.window = 60000
e.send(1)
while sent < 30000:
    got = e.read()
    sent = max(sent, got[1] + got[3] - 1)
    e.ack = 1 + sent
    e.send(1)
s.close()
e.settle()
e.ack = 30002
e.send(1, 0, FIN | ACK)
e.settle()",
    );
    assert_has(
        &trace,
        &["window-full", "zero-window", "keep-alive", "window-update"],
    );
}

/// The socket's buffer is full, and its peer asks with one byte.
#[test]
fn the_peer_probes_a_window_of_zero() {
    let trace = play(
        1,
        4715,
        "
e = End(40005, PORT)
e.open(SACK, pause=0.02)
s, _ = ls.accept()
seq, acked, window = 1, 1, 1000
while window:
    length = min(1000, window)
    e.send(seq, length)
    seq += length
    while True:
        got = e.read()
        window = got[4]
        if got[2] == seq or not window:
            break
for _ in range(3):
    e.send(seq, 1)
    e.settle()
while s.recv(1 << 20, socket.MSG_DONTWAIT) and False:
    pass
time.sleep(0.05)
e.settle()
e.send(seq, 100)
e.settle()
e.send(seq + 100, 0, RST | ACK)
e.settle()
s.close()",
    );
    assert_has(
        &trace,
        &["zero-window", "zero-window-probe", "zero-window-probe-ack"],
    );
}

#[test]
fn the_peer_asks_with_and_without_a_byte_and_acknowledges_too_much() {
    let trace = play(
        1,
        4716,
        "
e = End(40006, PORT)
e.open(SACK, pause=0.02)
s, _ = ls.accept()
e.send(1, 100)
e.settle()
e.send(100, 0)
e.settle()
e.send(100, 1)
e.settle()
s.sendall(b'y' * 100)
e.settle()
e.send(101, ack=5001)
e.settle()
e.send(101, ack=5001)
e.settle()
e.ack = 101
e.send(101)
e.send(101)
e.send(101, window=50000)
e.send(101, 0, FIN | ACK)
e.settle()
s.recv(1000)
s.close()
e.settle()
e.ack = 102
e.send(102)
e.settle()",
    );
    assert_has(
        &trace,
        &[
            "keep-alive",
            "keep-alive-ack",
            "acked-unseen-segment",
            "duplicate-ack",
            "window-update",
        ],
    );
}

/// What is missing never comes.
#[test]
fn a_hole_that_stays_and_a_reset() {
    let trace = play(
        1,
        4717,
        "
e = End(40007, PORT)
e.open(SACK)
s, _ = ls.accept()
for n in (2, 3, 4, 6):
    e.send(1 + 100 * n, 100)
e.settle()
e.send(1, 0, RST)
e.settle()
s.close()",
    );
    assert_has(&trace, &["previous-segment-not-seen", "duplicate-ack"]);
}
