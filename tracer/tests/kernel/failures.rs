//! Connections that never opened, each for its own reason.

use serde_json::Value;

use crate::{
    lab::{Lab, Neighbour, Script, has_failed_retransmits, run, skip},
    trace::{number, steps},
};

/// An address whose segments go out on the wire, and that is nobody's.
fn nobody_at(lab: &Lab, address: &str) -> Neighbour {
    let neighbour = lab.neighbour();
    let entry = format!("neighbour add {address} lladdr 02:00:00:00:00:09 dev wire");
    run(lab.inside("ip").args(entry.split(' ')));
    neighbour
}

/// curl to a port, in vain.
fn knock(lab: &Lab, arguments: &[&str], url: &str) {
    let output = lab.curl(&[arguments, &[url]].concat());
    assert!(!output.status.success(), "{output:?}");
}

#[test]
fn nobody_answers() {
    let lab = Lab::new();
    let _neighbour = nobody_at(&lab, "10.77.0.9");
    run(lab
        .inside("sh")
        .args(["-c", "echo 1 >/proc/sys/net/ipv4/tcp_syn_retries"]));
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4001"]);
    knock(&lab, &[], "http://10.77.0.9:4001/");
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    let timeline = trace.only_to(4001);
    let initiation = &timeline["phases"][0];
    assert_eq!(initiation["failure"], "timed out");
    let again = run(lab
        .inside("nstat")
        .args(["-a", "-s", "-z", "TcpExtTCPSynRetrans"]));
    let again = again.lines().last().unwrap().split_whitespace().nth(1);
    let again: usize = again.unwrap().parse().unwrap();
    assert_eq!(steps(timeline, 0), vec!["client SYN"; 1 + again]);
    let sent = &initiation["steps"];
    assert_eq!(sent[1]["retransmit"], true);
    let apart = sent[1]["at_ns"].as_u64().unwrap() - sent[0]["at_ns"].as_u64().unwrap();
    assert!(
        (900_000_000..1_500_000_000).contains(&apart),
        "the first retry comes after a second (RFC 6298, section 2.1), not {apart} ns"
    );
    assert_eq!(timeline["phases"].as_array().unwrap().len(), 1);
}

#[test]
fn a_router_knows_no_way() {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    run(neighbour
        .inside("sh")
        .args(["-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]));
    let way = format!("route add 10.79.0.0/24 via {}", Neighbour::ADDRESS);
    run(lab.inside("ip").args(way.split(' ')));
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4002"]);
    knock(&lab, &[], "http://10.79.0.9:4002/");
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    let timeline = trace.only_to(4002);
    assert_eq!(timeline["phases"][0]["failure"], "unreachable");
    assert_eq!(timeline["client"]["comm"], "curl");
}

#[test]
fn a_router_lets_nobody_through() {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let steps = "address add fd77::1/64 dev wire nodad
route add fd79::/64 via fd77::2
route add 10.79.0.0/24 via 10.77.0.2";
    for step in steps.lines() {
        run(lab.inside("ip").args(step.split(' ')));
    }
    let steps = "address add fd77::2/64 dev wire nodad
route add prohibit fd79::/64
route add prohibit 10.79.0.0/24";
    for step in steps.lines() {
        run(neighbour.inside("ip").args(step.split(' ')));
    }
    run(neighbour.inside("sh").args([
        "-c",
        "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
    ]));
    for (port, address) in [(4006, "10.79.0.9"), (4007, "[fd79::9]")] {
        let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", &port.to_string()]);
        knock(&lab, &[], &format!("http://{address}:{port}/"));
        tracer.wait_for_timelines(1);
        let trace = tracer.stop();
        let failure = &trace.only_to(port)["phases"][0]["failure"];
        assert_eq!(failure, "unreachable", "{address}");
    }
}

#[test]
fn nobody_listens() {
    let lab = Lab::new();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4003"]);
    knock(&lab, &[], "http://127.0.0.1:4003/");
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    let timeline = trace.only_to(4003);
    assert_eq!(timeline["phases"][0]["failure"], "refused");
    assert_eq!(steps(timeline, 0), ["client SYN", "server RST"]);
}

#[test]
fn the_process_gives_up() {
    let lab = Lab::new();
    let _neighbour = nobody_at(&lab, "10.77.0.9");
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4004"]);
    let patience = ["--connect-timeout", "0.2"];
    knock(&lab, &patience, "http://10.77.0.9:4004/");
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    let timeline = trace.only_to(4004);
    assert_eq!(timeline["phases"][0]["failure"], "given up");
}

#[test]
fn the_server_does_not_accept() {
    let lab = Lab::new();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4005"]);
    let mut listener = Script::start(
        lab.inside("python3"),
        "
import socket, sys
s = socket.socket()
s.bind(('127.0.0.1', 4005))
s.listen(0)
filling = socket.create_connection(('127.0.0.1', 4005))
print('ready')
sys.stdin.readline()
",
    );
    let patience = ["--connect-timeout", "0.2"];
    knock(&lab, &patience, "http://127.0.0.1:4005/");
    tracer.wait_for_timelines(1);
    listener.send_line("enough");
    listener.end();
    let trace = tracer.stop();
    let failed: Vec<&Value> = trace
        .timelines()
        .into_iter()
        .filter(|timeline| timeline["client"]["comm"] == "curl")
        .collect();
    assert_eq!(failed.len(), 1, "{:#?}", trace.lines);
    let initiation = &failed[0]["phases"][0];
    assert_eq!(initiation["failure"], "accept queue full");
    assert_eq!(initiation["accept_queue"]["waiting"], 1);
    assert_eq!(initiation["accept_queue"]["limit"], 0);
}

/// What an output filter drops never reaches the wire, and TCP hears of it: EPERM.
#[test]
fn a_filter_of_this_machine_lets_nothing_out() {
    let lab = Lab::new();
    let script = "
echo 1 >/proc/sys/net/ipv4/tcp_syn_retries
nft 'add table ip t; add chain ip t out { type filter hook output priority 0; }; add rule ip t out tcp dport 4008 counter drop'";
    run(lab.inside("sh").args(["-ec", script]));
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4008", "--segments"]);
    knock(&lab, &[], "http://127.0.0.1:4008/");
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    let timeline = trace.only_to(4008);
    let initiation = &timeline["phases"][0];
    assert_eq!(initiation["failure"], "timed out");
    assert!(trace.of("segment").is_empty(), "{:#?}", trace.lines);
    let sent = initiation["steps"].as_array().unwrap();
    let (first, again) = sent.split_first().unwrap();
    assert_eq!(first["certainty"], "inferred");
    assert_eq!(first["known_by"], "client CLOSE→SYN_SENT");
    if has_failed_retransmits() {
        // What the tracer missed, it counted: other connections of this machine may interrupt a program.
        let lost = usize::try_from(number(&trace.summary()["lost"])).unwrap();
        let table = run(lab.inside("nft").args(["list", "table", "ip", "t"]));
        let seen = 1 + again.len();
        let is_counted =
            (seen..=seen + lost).any(|packets| table.contains(&format!("packets {packets} ")));
        assert!(is_counted, "{table} {:#?}", trace.lines);
    } else {
        assert!(again.is_empty(), "{sent:#?}");
    }
    for step in again {
        assert_eq!(step["name"], "SYN");
        assert_eq!(step["held_back"], 1, "EPERM");
    }

    let tracer = lab.tracer_alone(&["--explain", "--port", "4008"]);
    knock(&lab, &[], "http://127.0.0.1:4008/");
    let text = tracer.stop_text();
    let is_known = has_failed_retransmits();
    let why = "a filter of this machine let no SYN out";
    assert_eq!(text.contains(why), is_known, "{text}");
    assert_eq!(text.contains("tshark: nothing"), is_known, "{text}");
}

/// The process's own limit for an answer, and a socket that is destroyed from outside.
#[test]
fn a_limit_for_the_answer_and_an_end_from_outside() {
    let lab = Lab::new();
    let _neighbour = nobody_at(&lab, "10.77.0.9");
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4014"]);
    let script = "
import socket, subprocess, threading
limited = socket.socket()
limited.setsockopt(socket.IPPROTO_TCP, 18, 500)
try: limited.connect(('10.77.0.9', 4014))
except TimeoutError: print('timed out')
destroyed = socket.socket()
destroyed.setblocking(False)
destroyed.connect_ex(('10.77.0.9', 4014))
subprocess.run(['ss', '-K', 'dport', '= 4014'], check=True, capture_output=True)
destroyed.close()
";
    let printed = run(lab.inside("python3").args(["-c", script]));
    assert_eq!(printed, "timed out\n");
    tracer.wait_for_timelines(2);
    let trace = tracer.stop();
    let timelines = trace.timelines();
    let [limited, destroyed] = [timelines[0], timelines[1]].map(|line| &line["phases"][0]);
    assert_eq!(limited["failure"], "timed out");
    assert_eq!(limited["error"], "ETIMEDOUT");
    assert_eq!(limited["timer"], "retransmission");
    assert_eq!(limited["user_timeout"], true);
    if destroyed["failure"] == "given up" {
        skip("this kernel destroys no sockets");
        return;
    }
    assert_eq!(destroyed["failure"], "aborted");
    assert_eq!(destroyed["error"], "ECONNABORTED");
}
