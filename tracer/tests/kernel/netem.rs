//! A wire that loses, delays and reorders (`netem`), against what was configured and what the kernel
//! counts.

use std::process::Command;

use crate::{
    lab::{Lab, Neighbour, Script, report_figures, run, skip},
    trace::{number, steps},
};

/// The delay of each way.
const DELAY_MS: u64 = 50;

/// Why nothing can be shown here.
pub(crate) fn is_missing(lab: &Lab) -> bool {
    let netem = ["qdisc", "add", "dev", "lo", "root", "netem"];
    let tried = lab.inside("tc").args(netem).output().unwrap();
    if tried.status.success() {
        run(lab.inside("tc").args(["qdisc", "del", "dev", "lo", "root"]));
        return false;
    }
    let stderr = String::from_utf8_lossy(&tried.stderr).into_owned();
    assert!(stderr.contains("qdisc kind is unknown"), "{stderr}");
    skip("this kernel has no netem (CONFIG_NET_SCH_NETEM)");
    true
}

/// What the wire does with what leaves here. A segment is lost alone, not a large frame with many.
fn shape(inside: impl Fn(&str) -> Command, how: &str) {
    run(inside("ip").args(["link", "set", "wire", "gso_max_segs", "1"]));
    let words = format!("qdisc replace dev wire root netem limit 10000 {how}");
    run(inside("tc").args(words.split(' ')));
}

/// Has each end learn where the other is: the first segment waits for that, and its RTT shows it.
fn make_known(lab: &Lab) {
    let url = format!("http://{}:1/", Neighbour::ADDRESS);
    let refused = lab.curl(&[&url]);
    assert_eq!(refused.status.code(), Some(7), "{refused:?}");
}

/// Segments that were sent again in a namespace, as the kernel counts them.
fn retransmitted(mut nstat: Command) -> u64 {
    let stderr = run(nstat.args(["-a", "-s", "-z", "TcpRetransSegs"]));
    let line = stderr.lines().last().unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Takes so many bytes, says so, and closes after its peer.
fn server(neighbour: &Neighbour, port: u16, bytes: usize) -> Script {
    let text = format!(
        "
import socket, sys
s = socket.create_server(('0.0.0.0', {port}))
print('ready')
a, _ = s.accept()
left = {bytes}
while left > 0:
    left -= len(a.recv(65536))
a.sendall(b'done')
assert a.recv(1) == b''
a.close()
"
    );
    Script::start(neighbour.inside("python3"), &text)
}

/// Sends so many bytes and waits for the answer; gives what `ss -ti` says before it closes.
fn send(lab: &Lab, port: u16, bytes: usize) -> String {
    let text = format!(
        "
import socket, subprocess
c = socket.create_connection(('{}', {port}))
c.sendall(b'x' * {bytes})
assert c.recv(4) == b'done'
print(subprocess.run(['ss', '-tinH', 'dport = {port}'], capture_output=True, text=True).stdout)
c.close()
",
        Neighbour::ADDRESS
    );
    run(lab.inside("python3").args(["-c", &text]))
}

#[test]
fn rtt_is_what_was_configured() {
    let lab = Lab::new();
    if is_missing(&lab) {
        return;
    }
    let neighbour = lab.neighbour();
    make_known(&lab);
    let how = format!("delay {DELAY_MS}ms");
    shape(|program| lab.inside(program), &how);
    shape(|program| neighbour.inside(program), &how);
    let server = server(&neighbour, 4601, 1000);
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4601"]);
    send(&lab, 4601, 1000);
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    server.end();
    let timeline = trace.only_to(4601);
    let configured = 2 * DELAY_MS * 1_000_000;
    for (phase, name) in [(0, "rtt_ns"), (1, "rtt_ns"), (1, "min_rtt_ns")] {
        let rtt_ns = number(&timeline["phases"][phase][name]);
        report_figures(&format!(
            "{name} of phase {phase} {rtt_ns}, configured {configured}"
        ));
        assert!(
            (configured..configured / 10 * 11).contains(&rtt_ns),
            "{name} of phase {phase} is {rtt_ns}, configured are {configured}"
        );
    }
    assert_eq!(timeline["complete"], true);
}

#[test]
fn retransmissions_are_those_that_the_kernel_counts() {
    const BYTES: usize = 300_000;
    let lab = Lab::new();
    if is_missing(&lab) {
        return;
    }
    let neighbour = lab.neighbour();
    let delay = format!("delay {DELAY_MS}ms");
    shape(
        |program| lab.inside(program),
        &format!("{delay} loss 5% reorder 25% 50%"),
    );
    shape(|program| neighbour.inside(program), &delay);
    let server = server(&neighbour, 4602, BYTES);
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--segments", "--port", "4602"]);
    let ss = send(&lab, 4602, BYTES);
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    server.end();

    let timeline = trace.only_to(4602);
    let client = number(&timeline["retransmits_by"]["client"]);
    assert!(client > 0, "of 200 segments none was lost");
    assert_eq!(client, retransmitted(lab.inside("nstat")));
    let of_server = number(&timeline["retransmits_by"]["server"]);
    assert_eq!(of_server, retransmitted(neighbour.inside("nstat")));
    assert_eq!(number(&timeline["retransmits"]), client + of_server);
    let counted = ss.split_whitespace().find_map(|word| {
        let (_, whole) = word.strip_prefix("retrans:")?.split_once('/')?;
        whole.parse::<u64>().ok()
    });
    report_figures(&format!(
        "sent again: client {client}, server {of_server}, as nstat counts; ss before the FIN: {counted:?}"
    ));
    // The FIN follows.
    assert!(counted.unwrap() <= client, "{ss}");

    assert_eq!(timeline["complete"], true, "{timeline:#}");
    assert_eq!(number(&timeline["bytes"]["client_to_server"]), BYTES as u64);
    assert_eq!(number(&timeline["bytes"]["server_to_client"]), 4);
    let handshake = steps(timeline, 0);
    assert!(handshake.ends_with(&["server SYN-ACK".into(), "client ACK".into()]));
    assert_eq!(timeline["phases"][2]["how"], "fin");
    assert_eq!(timeline["phases"][2]["closed_first"], "client");
}

/// A wire that is cut while both ends are there.
#[test]
fn a_connection_that_times_out() {
    let lab = Lab::new();
    if is_missing(&lab) {
        return;
    }
    let neighbour = lab.neighbour();
    let mut server = Script::start(
        neighbour.inside("python3"),
        "
import socket, struct, sys
s = socket.create_server(('0.0.0.0', 4603))
print('ready')
a, _ = s.accept()
print('accepted')
sys.stdin.readline()
a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
a.close()
",
    );
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4603"]);
    let text = format!(
        "
import errno, socket, sys
c = socket.create_connection(('{}', 4603))
c.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2000)
print('ready')
sys.stdin.readline()
c.sendall(b'x' * 100)
try:
    c.recv(1)
except TimeoutError as error:
    print('timed out')
c.close()
",
        Neighbour::ADDRESS
    );
    let mut client = Script::start(lab.inside("python3"), &text);
    assert_eq!(server.line(), "accepted");
    shape(|program| lab.inside(program), "loss 100%");
    client.send_line("go");
    assert_eq!(client.line(), "timed out");
    client.end();
    server.send_line("enough");
    server.end();
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    let timeline = trace.only_to(4603);
    let again = number(&timeline["retransmits_by"]["client"]);
    assert!(again > 0);
    assert_eq!(again, retransmitted(lab.inside("nstat")));
    report_figures(&format!(
        "sent again until the time-out: {again}, as nstat counts"
    ));
    assert_eq!(timeline["phases"][2]["how"], "error", "{timeline:#}");
    assert_eq!(timeline["complete"], true);
}
