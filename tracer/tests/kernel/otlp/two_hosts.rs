//! Two hosts with a tracer each, NAT between them.

use std::{collections::HashSet, fs, process::Command};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::{
    by_trace,
    collector::{Collector, GRPC, program},
    receiver::{Received, Receiver},
    spans,
};
use crate::lab::{Lab, Neighbour, Script, report_figures, run};

/// Takes uploads, one on each connection, and closes.
const SERVER: &str = "
import http.server
class Take(http.server.BaseHTTPRequestHandler):
    def do_PUT(self):
        self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(201)
        self.send_header('Content-Length', '0')
        self.end_headers()
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
server = Server(('0.0.0.0', 4201), Take)
import threading, sys
threading.Thread(target=server.serve_forever, daemon=True).start()
print('ready')
sys.stdin.read()
";

const UPLOADS: usize = 1000;

/// Two hosts with a tracer each, and NAT between that changes both addresses and both ports. They do not
/// know each other, and name the same traces.
#[test]
fn two_hosts_behind_nat() {
    let Some(program) = program() else { return };
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    nat(&lab, &neighbour);
    let receiver = Receiver::listen(&lab);
    let _collector = Collector::start(&lab, &program, &receiver);
    let server = Script::start(neighbour.inside("python3"), SERVER);
    // Each sees its own end alone: the client calls port 4202, the server listens on 4201.
    let on_host = |name: &str, port: &str| {
        let mut command = lab.inside(env!("CARGO_BIN_EXE_tracer"));
        command.args([
            "-o",
            "ndjson",
            "--no-follow",
            "--otlp",
            GRPC,
            "--port",
            port,
        ]);
        command.env("OTEL_RESOURCE_ATTRIBUTES", format!("host.name={name}"));
        lab.tracer_by(command)
    };
    let mut of_client = on_host("client-host", "4202");
    let mut of_server = on_host("server-host", "4201");
    upload_all(&lab);
    of_client.wait_for_timelines(UPLOADS);
    of_server.wait_for_timelines(UPLOADS);
    let (client, server_trace) = (of_client.stop(), of_server.stop());
    server.end();
    let mut exported = 0;
    for trace in [&client, &server_trace] {
        let (taken, lost) = spans(trace);
        assert_eq!(lost, 0);
        exported += usize::try_from(taken).unwrap();
        for timeline in trace.timelines() {
            assert_ne!(
                timeline["client"]["cookie"].is_null(),
                timeline["server"]["cookie"].is_null()
            );
        }
    }
    let received = receiver.wait_for(exported, |_| true);
    let traces = by_trace(&received);
    assert_eq!(traces.len(), UPLOADS);
    let mut wrong = Vec::new();
    let mut targets = HashSet::new();
    for (id, spans) in &traces {
        if !is_of_two_hosts(spans, &mut targets) {
            wrong.push(id);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}: {:#?}", traces[wrong[0]]);
    assert_eq!(targets.len(), UPLOADS);
    report_figures(&format!(
        "{} traces of two hosts each behind NAT, 0 wrong",
        traces.len()
    ));
}

/// The client's host translates source and port, the server's the destination and its port.
fn nat(lab: &Lab, neighbour: &Neighbour) {
    let away = format!("route add 10.99.0.0/24 via {}", Neighbour::ADDRESS);
    run(lab.inside("ip").args(away.split(' ')));
    let load = |mut nft: Command, name: &str, rules: &str| {
        let file = lab.dir.path().join(name);
        fs::write(&file, rules).unwrap();
        run(nft.arg("-f").arg(&file));
    };
    load(
        lab.inside("nft"),
        "source",
        "table ip translation {
 chain post { type nat hook postrouting priority 100; tcp dport 4202 masquerade to :20000-29999 fully-random; }
}",
    );
    let destination = format!(
        "table ip translation {{
 chain in {{ type nat hook prerouting priority -100; tcp dport 4202 dnat to {}:4201; }}
}}",
        Neighbour::ADDRESS
    );
    load(neighbour.inside("nft"), "destination", &destination);
}

fn upload_all(lab: &Lab) {
    let script = format!(
        "
import http.client
for number in range({UPLOADS}):
    c = http.client.HTTPConnection('10.99.0.5', 4202)
    c.request('PUT', f'/{{number}}', b'x' * 1000)
    assert c.getresponse().status == 201
    c.close()
"
    );
    run(lab.inside("python3").args(["-c", &script]));
}

/// Whether both hosts describe one upload, the same, and point to each other.
fn is_of_two_hosts(spans: &[&Received], targets: &mut HashSet<String>) -> bool {
    let of = |host: &str, kind: SpanKind, name: &str| {
        let mut found = spans.iter().filter(|one| {
            one.resource["host.name"] == host && one.span.kind() == kind && one.span.name == name
        });
        let only = found.next();
        only.filter(|_| found.next().is_none())
    };
    let both = |name| {
        let client = of("client-host", SpanKind::Client, name)?;
        Some((client, of("server-host", SpanKind::Server, name)?))
    };
    let Some((client, server)) = both("PUT") else {
        return false;
    };
    let Some((own, other)) = both("TCP connection") else {
        return false;
    };
    let target = client.attributes["url.path"].clone();
    let is_same = server.attributes["url.path"] == target;
    targets.insert(target);
    let points_to = |from: &Received, to: &Received| {
        let link = from.span.links.first();
        link.is_some_and(|link| {
            link.span_id == to.span.span_id && link.trace_id == to.span.trace_id
        })
    };
    let is_translated = own.attributes["network.peer.port"] == "4202"
        && other.attributes["network.local.port"] == "4201"
        && own.attributes["network.local.port"] != other.attributes["network.peer.port"];
    is_same && is_translated && points_to(own, other) && points_to(other, own)
}
