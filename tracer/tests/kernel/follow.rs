//! From the server's connections to those in front of them, although nobody chose the front's port.

use std::{collections::HashMap, fs, process::Command};

use serde_json::Value;

use crate::{
    hops::{BETWEEN, FRONT, Proxy, SERVER, is_skipped, upload, upload_to, uploads},
    lab::{Lab, Neighbour, Script, Tracer, report_figures, run, skip, wait_until},
    trace::{Trace, number},
};

/// Uploads one file after the other, and waits for each; returns the port of the client of each, in order.
fn one_by_one(lab: &Lab, tracer: &mut Tracer, count: usize, tls: bool) -> Vec<u64> {
    let one = |_| {
        let ports: HashMap<String, u64> = upload(lab, 1, 1, tls);
        tracer.wait_for("upload", 1);
        ports["file-0"]
    };
    (0..count).map(one).collect()
}

/// Every upload from the `first` on has its hops, from its client on, and those before have them or none. Nothing
/// but the server's connections is shown, and each record was received.
fn is_followed(trace: &Trace, clients: &[u64], hops: usize, first: usize) {
    let mut uploads = uploads(trace);
    uploads.sort_by_key(|upload| upload["id"].as_str().unwrap().parse::<u64>().unwrap());
    assert_eq!(uploads.len(), clients.len());
    for (place, (upload, client)) in uploads.iter().zip(clients).enumerate() {
        let Some(chain) = upload["hops"].as_array() else {
            assert!(place < first, "no hops: {uploads:#?}");
            continue;
        };
        assert_eq!(chain.len(), hops, "{upload:#}");
        assert_eq!(number(&chain[0]["client"]["port"]), *client, "{upload:#}");
        assert_eq!(chain[0]["client"]["comm"], "curl", "{upload:#}");
        assert_eq!(chain[0]["server"]["port"], FRONT, "{upload:#}");
        assert_eq!(chain[hops - 1]["server"]["port"], SERVER);
    }
    is_of_server_alone(trace);
}

/// Nothing but the server's connections is shown, and each record was received, where they are counted.
fn is_of_server_alone(trace: &Trace) {
    let timelines = trace.timelines();
    let mut shown: Vec<&Value> = timelines.iter().map(|line| &line["connection"]).collect();
    shown.dedup();
    for timeline in &timelines {
        assert_eq!(timeline["server"]["port"], SERVER, "{timeline:#}");
    }
    for line in ["state", "segment", "upload"]
        .map(|kind| trace.of(kind))
        .concat()
    {
        assert!(shown.contains(&&line["connection"]), "{line:#}");
    }
    let summary = trace.summary();
    assert_eq!(number(&summary["connections"]), shown.len() as u64);
    assert_eq!(number(&summary["uploads"]), trace.of("upload").len() as u64);
    if summary["emitted"] != Value::Null {
        assert_eq!(summary["emitted"], summary["events"]);
    }
    assert_eq!(summary["lost"], 0);
}

/// Passes on what comes: each connection in a thread, or in a process.
const PROXY: &str = "
import os, select, signal, socket, sys, threading
def serve(front):
    data = front.recv(65536)
    back = socket.create_connection(('127.0.0.1', 5000))
    back.sendall(data)
    ends = {front: back, back: front}
    while True:
        for end in select.select(list(ends), [], [])[0]:
            data = end.recv(65536)
            if not data:
                return front.close(), back.close()
            ends[end].sendall(data)
def accept(listener):
    while True:
        front = listener.accept()[0]
        if sys.argv[1] == 'threads':
            threading.Thread(target=serve, args=[front], daemon=True).start()
        elif os.fork():
            front.close()
        else:
            serve(front)
            os._exit(0)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.create_server(('127.0.0.1', 443))
threading.Thread(target=accept, args=[listener], daemon=True).start()
print('ready')
sys.stdin.read()
";

/// Whatever the kernel has to show who reads and sends: as with both ports chosen.
#[test]
fn any_process_is_followed() {
    for each_in in ["threads", "processes"] {
        let lab = Lab::new();
        let server = lab.server(&[]);
        let proxy = Script::start_with(lab.inside("python3"), PROXY, &[each_in]);
        let mut tracer = lab.tracer(&["--port", "443", "--port", "5000"]);
        one_by_one(&lab, &mut tracer, 4, false);
        let chosen = tracer.stop();
        let mut tracer = lab.tracer(&[]);
        let clients = one_by_one(&lab, &mut tracer, 4, false);
        let trace = tracer.stop();
        proxy.end();
        server.stop();
        let joined = |trace: &Trace| {
            let uploads = uploads(trace).into_iter();
            uploads
                .filter(|upload| upload["hops"] != Value::Null)
                .count()
        };
        report_figures(&format!(
            "{each_in}: of 4 uploads, {} have hops with both ports, {} with one",
            joined(&chosen),
            joined(&trace)
        ));
        if joined(&chosen) == 0 {
            skip("this kernel does not show what a proxy passes on");
            continue;
        }
        is_followed(&trace, &clients, 2, 1);
    }
}

/// The port of the server is enough, or its control socket. With each segment shown, those of the front are not.
#[test]
fn a_proxy_is_followed_from_its_first_upload_on() {
    if is_skipped("nginx") {
        return;
    }
    let port = SERVER.to_string();
    let chosen: [&[&str]; 3] = [&["--port", &port], &[], &["--segments"]];
    for arguments in chosen {
        let lab = Lab::new();
        let server = lab.server(&[]);
        let proxy = Proxy::nginx(&lab, (FRONT, SERVER), true, "");
        let mut tracer = lab.tracer(&[arguments, &["--audit"]].concat());
        let clients = one_by_one(&lab, &mut tracer, 4, true);
        let trace = tracer.stop();
        drop(proxy);
        server.stop();
        is_followed(&trace, &clients, 2, 1);
        let hops = uploads(&trace).into_iter().map(|upload| &upload["hops"]);
        for hops in hops.filter(|hops| **hops != Value::Null) {
            assert!(hops[0]["tls"].as_str().unwrap().starts_with("TLS 1."));
        }
    }
}

/// A proxy that keeps its connection to the server connects no more once the tracer is there.
#[test]
fn a_proxy_that_had_connected_before() {
    if is_skipped("nginx") {
        return;
    }
    let lab = Lab::new();
    let server = lab.server(&[]);
    let options = "proxy_set_header Connection '';";
    let proxy = Proxy::nginx(&lab, (FRONT, SERVER), false, options);
    upload(&lab, 1, 1, false);
    let mut tracer = lab.tracer(&["--audit"]);
    let clients = one_by_one(&lab, &mut tracer, 4, false);
    drop(proxy);
    let trace = tracer.stop();
    server.stop();
    is_followed(&trace, &clients, 2, 1);
}

/// One that listens only after the tracer began, with threads.
#[test]
fn a_proxy_that_is_started_later() {
    if is_skipped("haproxy") {
        return;
    }
    let lab = Lab::new();
    let server = lab.server(&[]);
    let mut tracer = lab.tracer(&["--audit"]);
    let proxy = Proxy::haproxy(&lab);
    let clients = one_by_one(&lab, &mut tracer, 4, false);
    drop(proxy);
    let trace = tracer.stop();
    server.stop();
    is_followed(&trace, &clients, 2, 1);
}

/// Each proxy is a client of the one behind it.
#[test]
fn two_proxies_in_a_row_are_followed() {
    if is_skipped("nginx") {
        return;
    }
    let lab = Lab::new();
    let server = lab.server(&[]);
    let between = Proxy::nginx(&lab, (BETWEEN, SERVER), false, "");
    let front = Proxy::nginx(&lab, (FRONT, BETWEEN), true, "");
    let mut tracer = lab.tracer(&["--audit"]);
    let clients = one_by_one(&lab, &mut tracer, 5, true);
    let trace = tracer.stop();
    drop((front, between));
    server.stop();
    is_followed(&trace, &clients, 3, 2);
}

/// Each keeps its connection to the one behind it.
#[test]
fn two_proxies_that_had_connected_before() {
    if is_skipped("nginx") {
        return;
    }
    let lab = Lab::new();
    let server = lab.server(&[]);
    let options = "proxy_set_header Connection '';";
    let between = Proxy::nginx(&lab, (BETWEEN, SERVER), false, options);
    let front = Proxy::nginx(&lab, (FRONT, BETWEEN), false, options);
    upload(&lab, 1, 1, false);
    let mut tracer = lab.tracer(&["--audit"]);
    let clients = one_by_one(&lab, &mut tracer, 6, false);
    drop((front, between));
    let trace = tracer.stop();
    server.stop();
    is_followed(&trace, &clients, 3, 3);
}

/// Each in a network namespace of its own, as containers are: the ports of one are not those of another.
#[test]
fn two_proxies_in_two_namespaces() {
    if is_skipped("nginx") {
        return;
    }
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let server = lab.server(&[]);
    let between = Proxy::nginx(&lab, (BETWEEN, SERVER), false, "");
    let to = format!("{}:{BETWEEN}", Lab::ADDRESS);
    let inside = |program: &str| neighbour.inside(program);
    let front = Proxy::nginx_inside(&lab, inside, (FRONT, &to), false, "");
    let mut tracer = lab.tracer(&["--audit"]);
    let address = format!("http://{}:{FRONT}", Neighbour::ADDRESS);
    let one = |_| {
        let ports = upload_to(&lab, 1, 1, &address);
        tracer.wait_for("upload", 1);
        ports["file-0"]
    };
    let clients: Vec<u64> = (0..6).map(one).collect();
    let trace = tracer.stop();
    drop((front, between));
    server.stop();
    is_followed(&trace, &clients, 3, 3);
}

/// The connections of another server cost no record, whether or not the client is followed.
#[test]
fn a_server_that_is_no_client_is_not_followed() {
    const OTHERS: usize = 2_000;
    if is_skipped("nginx") {
        return;
    }
    let lab = Lab::new();
    let server = lab.server(&[]);
    let proxy = Proxy::nginx(&lab, (FRONT, SERVER), false, "");
    let other = Proxy::nginx(&lab, (BETWEEN, 1), false, "return 204;");
    let mut tracer = lab.tracer(&["--audit"]);
    let clients = one_by_one(&lab, &mut tracer, 3, false);
    // One process connects to both.
    let file = lab.file("small", 100);
    let file = file.to_str().unwrap();
    let here = format!("http://localhost:{SERVER}/both");
    let there = format!("http://localhost:{BETWEEN}/[1-{OTHERS}]");
    let close = ["-H", "Connection: close"];
    let both = lab.curl(&[&close[..], &["-T", file, &here, "-T", file, &there]].concat());
    assert!(both.status.success(), "{both:?}");
    tracer.wait_for("upload", 1);
    let trace = tracer.stop();
    drop((proxy, other));
    server.stop();
    is_of_server_alone(&trace);
    assert_eq!(uploads(&trace).len(), clients.len() + 1);
    let emitted = number(&trace.summary()["emitted"]);
    assert!(emitted < OTHERS as u64 / 4, "{emitted} records");
}

/// A recording has the ports that were chosen, and so has the file that follows it.
#[test]
fn a_recording_of_followed_connections() {
    if is_skipped("nginx") {
        return;
    }
    let lab = Lab::new();
    let server = lab.server(&[]);
    let proxy = Proxy::nginx(&lab, (FRONT, SERVER), true, "");
    let recording = lab.dir.path().join("followed.trace");
    let record = ["record", recording.to_str().unwrap(), "--audit"];
    let replay = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
        command.args(["replay", "-o", "ndjson"]).arg(&recording);
        let lines = run(&mut command);
        Trace::new(lines.lines().map(str::to_owned).collect())
    };
    let mut tracer = lab.tracer(&record);
    let clients = one_by_one(&lab, &mut tracer, 3, true);
    let live = tracer.stop();
    is_followed(&live, &clients, 2, 1);
    assert_eq!(replay().text, live.text);

    let mut tracer = lab.tracer(&record);
    one_by_one(&lab, &mut tracer, 3, true);
    fs::rename(&recording, lab.dir.path().join("followed.trace.1")).unwrap();
    wait_until(|| {
        upload(&lab, 1, 1, true);
        recording.exists()
    });
    one_by_one(&lab, &mut tracer, 3, true);
    tracer.stop();
    drop(proxy);
    server.stop();
    let rest = replay();
    assert!(rest.timelines().len() >= 3);
    for timeline in rest.timelines() {
        assert_eq!(timeline["server"]["port"], SERVER, "{timeline:#}");
    }
}

#[test]
fn nothing_is_followed_where_that_is_not_wanted() {
    if is_skipped("nginx") {
        return;
    }
    let lab = Lab::new();
    let server = lab.server(&[]);
    let proxy = Proxy::nginx(&lab, (FRONT, SERVER), false, "");
    let mut tracer = lab.tracer(&["--no-follow", "--audit"]);
    one_by_one(&lab, &mut tracer, 3, false);
    let trace = tracer.stop();
    drop(proxy);
    server.stop();
    is_of_server_alone(&trace);
    for upload in uploads(&trace) {
        assert_eq!(upload["hops"], Value::Null, "{upload:#}");
    }
}
