//! Spans at a collector: a real one, which passes them on to the test.

mod collector;
mod measured;
mod read;
mod receiver;
mod two_hosts;

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use self::{
    collector::{Collector, GRPC, HTTP, program},
    receiver::{Received, Receiver},
};
use crate::{
    churn::{churn, port, within},
    lab::{Lab, Tracer, report_figures},
    trace::{Trace, number},
};

/// Of a connection with both ends on this host: one of each end, and of three phases.
const SPANS: usize = 5;

const OPTIONS: [&str; 4] = ["-o", "ndjson", "--ring-size", "67108864"];

fn tracer(lab: &Lab, url: &str, arguments: &[&str]) -> Tracer {
    let mut command = lab.inside(env!("CARGO_BIN_EXE_tracer"));
    command.args(OPTIONS).args(["--otlp", url]).args(arguments);
    lab.tracer_by(command)
}

fn tracer_of_churn(lab: &Lab, url: &str) -> Tracer {
    tracer(lab, url, &["--port", &port().to_string()])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The trace of a timeline, as the documents have it computed.
fn trace_of(timeline: &Value) -> String {
    let isn = &timeline["phases"][0]["isn"];
    let mut hash = Sha256::new_with_prefix("tcp");
    for end in ["client", "server"] {
        let number = u32::try_from(number(&isn[end])).unwrap();
        hash.update(number.to_be_bytes());
    }
    hex(&hash.finalize()[..16])
}

fn by_trace(received: &[Received]) -> HashMap<String, Vec<&Received>> {
    let mut traces: HashMap<_, Vec<_>> = HashMap::new();
    for one in received {
        traces.entry(hex(&one.span.trace_id)).or_default().push(one);
    }
    traces
}

/// Each connection of a run has its spans, with what its timeline has. Gives the number of traces.
fn check_all(trace: &Trace, received: &[Received]) -> usize {
    let ids: HashSet<_> = received.iter().map(|one| &one.span.span_id).collect();
    assert_eq!(ids.len(), received.len(), "two spans have the same id");
    let traces = by_trace(received);
    for timeline in trace.timelines() {
        let spans = &traces[&trace_of(timeline)];
        assert_eq!(spans.len(), SPANS, "{timeline:#}");
        for (kind, end, other) in [
            (SpanKind::Client, "client", "server"),
            (SpanKind::Server, "server", "client"),
        ] {
            let is_it =
                |one: &&&Received| one.span.kind() == kind && one.span.name == "TCP connection";
            let found = spans.iter().find(is_it).unwrap();
            let of_end = &timeline[end];
            let expected = [
                ("network.local.port", of_end["port"].to_string()),
                ("network.peer.port", timeline[other]["port"].to_string()),
                ("client.port", timeline["client"]["port"].to_string()),
                ("server.port", timeline["server"]["port"].to_string()),
                (
                    "tcp.client.bytes",
                    timeline["bytes"]["client_to_server"].to_string(),
                ),
                ("tcp.handshake_seen", "true".to_owned()),
                ("network.transport", "tcp".to_owned()),
                (
                    "tracer.connection",
                    timeline["connection"].as_str().unwrap().to_owned(),
                ),
            ];
            for (key, value) in expected {
                assert_eq!(found.attributes.get(key), Some(&value), "{key}: {found:#?}");
            }
            // A process that is not known has no attribute.
            let pid = of_end["pid"].as_u64().map(|pid| pid.to_string());
            assert_eq!(
                found.resource.get("process.pid"),
                pid.as_ref(),
                "{found:#?}"
            );
            assert_eq!(found.resource["telemetry.sdk.language"], "rust");
            assert!(found.resource.contains_key("host.name"));
            let begin = found.span.start_time_unix_nano;
            assert!(found.span.end_time_unix_nano >= begin);
            let mut phases = spans.iter().filter(|one| one.span.kind() == kind);
            assert!(phases.all(|one| one.span.start_time_unix_nano >= begin));
        }
        let initiation = spans
            .iter()
            .find(|one| one.span.name == "TCP initiation")
            .unwrap();
        let steps: Vec<_> = initiation
            .span
            .events
            .iter()
            .map(|event| &*event.name)
            .collect();
        assert_eq!(steps, ["SYN", "SYN-ACK", "ACK"]);
    }
    traces.len()
}

fn spans(trace: &Trace) -> (u64, u64) {
    let spans = &trace.summary()["spans"];
    (number(&spans["exported"]), number(&spans["lost"]))
}

/// The lines go into a file: this test is a debug build, and the tracer is faster than it reads.
#[test]
fn ten_thousand_connections_at_full_churn() {
    const EACH: u32 = 5000;
    const ALL: usize = 2 * EACH as usize;
    let Some(program) = program() else { return };
    for url in [GRPC, HTTP] {
        let lab = Lab::new();
        let receiver = Receiver::listen(&lab);
        let _collector = Collector::start(&lab, &program, &receiver);
        let lines = lab.dir.path().join("lines");
        let port = port().to_string();
        let arguments = [&OPTIONS[..], &["--otlp", url, "--port", &port]].concat();
        let tracer = lab.tracer_inside(&arguments, File::create(&lines).unwrap());
        let begun = Instant::now();
        churn(&lab, &(0..EACH), 2);
        let took = begun.elapsed();
        let received = receiver.wait_for(ALL * SPANS, |_| true);
        assert!(tracer.stop().success());
        let lines = fs::read_to_string(&lines).unwrap();
        let trace = Trace::new(lines.lines().map(str::to_owned).collect());
        let lost = trace.of("lost");
        // There are some 110,000 lines, and a slow disk may lose some. Not the collector.
        assert!(lost.iter().all(|line| line["hop"] == "sink"), "{lost:#?}");
        assert_eq!(number(&trace.summary()["connections"]), ALL as u64);
        assert_eq!(spans(&trace), ((ALL * SPANS) as u64, 0));
        assert_eq!(receiver.all().len(), ALL * SPANS);
        assert_eq!(check_all(&trace, &received), ALL);
        let a_second = f64::from(2 * EACH) / took.as_secs_f64();
        report_figures(&format!(
            "{} spans of {ALL} connections at {url}, {a_second:.0} a second, none lost",
            received.len()
        ));
    }
}

#[test]
fn a_collector_that_is_killed_and_started_again() {
    const EACH: u32 = 1000;
    const AT_ONCE: usize = 2 * EACH as usize;
    let Some(program) = program() else { return };
    for url in [GRPC, HTTP] {
        let lab = Lab::new();
        let receiver = Receiver::listen(&lab);
        let collector = Collector::start(&lab, &program, &receiver);
        let mut tracer = tracer_of_churn(&lab, url);
        churn(&lab, &(0..EACH), 2);
        tracer.wait_for_timelines(AT_ONCE);
        receiver.wait_for(AT_ONCE * SPANS, |_| true);
        collector.kill();
        churn(&lab, &(0..EACH), 2);
        tracer.wait_for_timelines(AT_ONCE);
        let _again = Collector::start(&lab, &program, &receiver);
        churn(&lab, &(0..EACH), 2);
        tracer.wait_for_timelines(AT_ONCE);
        // What was made while it was down comes, too.
        let received = receiver.wait_for(3 * AT_ONCE * SPANS, |_| true);
        let trace = tracer.stop();
        assert_eq!(number(&trace.summary()["lost"]), 0);
        let (exported, lost) = spans(&trace);
        assert_eq!((exported, lost), ((3 * AT_ONCE * SPANS) as u64, 0));
        assert_eq!(check_all(&trace, &received), 3 * AT_ONCE);
        assert_eq!(trace.timelines().len(), 3 * AT_ONCE);
    }
}

/// Nobody listens, or the one who does answers nothing: it costs spans, and these are counted.
#[test]
fn a_collector_that_never_answers() {
    const EACH: u32 = 100;
    const ALL: usize = 2 * EACH as usize;
    for is_there in [false, true] {
        let lab = Lab::new();
        let silent = is_there.then(|| {
            within(&lab, || {
                TcpListener::bind((Ipv4Addr::LOCALHOST, 4317)).unwrap()
            })
        });
        for url in [GRPC, "http://127.0.0.1:4317/v1/traces"] {
            let mut tracer = tracer_of_churn(&lab, url);
            churn(&lab, &(0..EACH), 2);
            tracer.wait_for_timelines(ALL);
            let stopped = Instant::now();
            let trace = tracer.stop();
            let took = stopped.elapsed();
            assert!(took < Duration::from_secs(8), "{took:?}");
            assert_eq!(trace.timelines().len(), ALL);
            assert_eq!(number(&trace.summary()["lost"]), 0, "records");
            assert_eq!(spans(&trace), (0, (ALL * SPANS) as u64));
            let lost = trace.of("lost");
            assert!(lost.iter().all(|line| line["hop"] == "otlp"), "{lost:#?}");
            let lost: u64 = lost.iter().map(|line| number(&line["count"])).sum();
            assert_eq!(lost, (ALL * SPANS) as u64);
        }
        drop(silent);
    }
}

/// The tracer's own connection to the collector is traced like any other, and not sent to it.
#[test]
fn its_own_connection_is_not_exported() {
    let Some(program) = program() else { return };
    let lab = Lab::new();
    let receiver = Receiver::listen(&lab);
    let _collector = Collector::start(&lab, &program, &receiver);
    let own = port().to_string();
    let mut tracer = tracer(&lab, GRPC, &["--port", "4317", "--port", &own]);
    churn(&lab, &(0..1), 1);
    tracer.wait_for_timelines(1);
    receiver.wait_for(SPANS, |_| true);
    let trace = tracer.stop();
    let to_collector = |timeline: &&&Value| timeline["server"]["port"] == 4317;
    assert_eq!(trace.timelines().iter().filter(to_collector).count(), 1);
    assert_eq!(spans(&trace), (SPANS as u64, 0));
    let exported = receiver.all();
    assert!(exported.iter().all(|one| {
        one.attributes
            .get("server.port")
            .is_none_or(|port| *port == own)
    }));
}

#[test]
fn an_upload_in_an_application_s_trace() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let Some(program) = program() else { return };
    let lab = Lab::new();
    let server = lab.server(&[]);
    let receiver = Receiver::listen(&lab);
    let _collector = Collector::start(&lab, &program, &receiver);
    let mut command = lab.inside(env!("CARGO_BIN_EXE_tracer"));
    command
        .args(["-o", "ndjson", "--otlp", HTTP, "--server"])
        .arg(lab.control());
    command.env(
        "OTEL_RESOURCE_ATTRIBUTES",
        "deployment.environment.name=test%20lab",
    );
    let mut tracer = lab.tracer_by(command);
    let file = lab.file("cat.png", 100_000);
    let header = format!("traceparent: {PARENT}");
    let url = server.url("cat.png");
    let name = file.to_str().unwrap();
    // Slow enough for a verdict.
    let options = ["--limit-rate", "200k", "--header", &header, "--upload-file"];
    let uploaded = lab.curl(&[&options[..], &[name, &url]].concat());
    assert!(uploaded.status.success(), "{uploaded:?}");
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    server.stop();
    let timeline = trace.only_upload();
    let exchange = &timeline["phases"][1]["exchanges"][0];
    assert_eq!(exchange["request"]["traceparent"], PARENT);
    let (exported, lost) = spans(&trace);
    assert_eq!(lost, 0);
    let received = receiver.wait_for(usize::try_from(exported).unwrap(), |_| true);
    let request = received.iter().find(|one| one.span.name == "PUT").unwrap();
    assert_eq!(hex(&request.span.trace_id), PARENT[3..35]);
    assert_eq!(hex(&request.span.parent_span_id), PARENT[36..52]);
    let connection = &received
        .iter()
        .find(|one| one.span.name == "TCP connection" && one.span.kind() == SpanKind::Client)
        .unwrap()
        .span;
    assert_eq!(hex(&connection.trace_id), trace_of(timeline));
    let link = &request.span.links[0];
    assert_eq!(
        (&link.trace_id, &link.span_id),
        (&connection.trace_id, &connection.span_id)
    );
    let upload = &timeline["uploads"][0];
    for (key, value) in [
        ("http.request.method", "PUT"),
        ("url.path", "/cat.png"),
        ("http.response.status_code", "201"),
        ("http.request.body.size", "100000"),
        ("tracer.upload.name", "cat.png"),
        ("tracer.upload.id", upload["id"].as_str().unwrap()),
        (
            "tracer.diagnosis.sentence",
            upload["diagnosis"]["sentence"].as_str().unwrap(),
        ),
    ] {
        assert_eq!(
            request.attributes.get(key).map(String::as_str),
            Some(value),
            "{key}"
        );
    }
    let unit = timeline["client"]["unit"].as_str();
    let service = unit.filter(|unit| unit.ends_with(".service"));
    assert_eq!(request.resource["service.name"], service.unwrap_or("curl"));
    assert_eq!(request.resource["deployment.environment.name"], "test lab");
    let recording = received
        .iter()
        .filter(|one| one.span.name == "TCP maintenance");
    assert_eq!(recording.count(), 1);
}
