//! A capture and a recording: what is read of them is sent, too, whatever host it is of.

use std::{collections::HashSet, path::Path};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::{
    collector::{Collector, GRPC, HTTP, program},
    receiver::Receiver,
    spans,
};
use crate::{
    lab::{Lab, run},
    trace::Trace,
};

/// Everything is taken, with the times of the source, and of no host.
#[track_caller]
fn check(source: &[&str], kinds: &[SpanKind], variables: &[(&str, &str)]) {
    let Some(program) = program() else { return };
    for url in [GRPC, HTTP] {
        let lab = Lab::new();
        let receiver = Receiver::listen(&lab);
        let _collector = Collector::start(&lab, &program, &receiver);
        let mut command = lab.inside(env!("CARGO_BIN_EXE_tracer"));
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
        command.envs(variables.iter().copied());
        let lines = run(command.args(source).args(["-o", "ndjson", "--otlp", url]));
        let trace = Trace::new(lines.lines().map(str::to_owned).collect());
        let (exported, lost) = spans(&trace);
        assert_eq!(lost, 0, "{lines}");
        let count = usize::try_from(exported).unwrap();
        let received = receiver.wait_for(count, |_| true);
        assert_eq!(received.len(), count);
        let ids: HashSet<_> = received
            .iter()
            .map(|one| (&one.span.trace_id, &one.span.span_id))
            .collect();
        assert_eq!(ids.len(), count);
        assert!(!trace.timelines().is_empty());
        for timeline in trace.timelines() {
            let connection = timeline["connection"].as_str().unwrap();
            let mut own = received.iter().filter(|one| {
                one.span.name == "TCP connection"
                    && one.attributes["tracer.connection"] == connection
            });
            let first = own.next().unwrap();
            let begins = timeline["time"].as_str().unwrap();
            let begins: jiff::Timestamp = begins.parse().unwrap();
            let begins = u64::try_from(begins.as_nanosecond()).unwrap();
            assert_eq!(first.span.start_time_unix_nano, begins, "{timeline:#}");
            for one in [first].into_iter().chain(own) {
                assert!(kinds.contains(&one.span.kind()), "{one:#?}");
                assert!(!one.resource.contains_key("host.name"), "{one:#?}");
            }
        }
        let measured = receiver.wait_for_metric("tracer.connections", |_| true);
        assert!(!measured.resource.contains_key("host.name"));
    }
}

#[test]
fn a_capture_is_sent() {
    check(&["read", "captures/put.pcap"], &[SpanKind::Internal], &[]);
}

#[test]
fn a_capture_is_sent_compressed() {
    let gzip = [("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")];
    check(&["read", "captures/put.pcap"], &[SpanKind::Internal], &gzip);
}

/// Spans and metrics, as a server of HTTP finds them.
#[test]
fn all_of_it_is_compressed() {
    for (how, compressed) in [("gzip", 2), ("none", 0)] {
        let lab = Lab::new();
        let receiver = Receiver::listen(&lab);
        let url = format!("http://127.0.0.1:{}", receiver.port);
        let mut command = lab.inside(env!("CARGO_BIN_EXE_tracer"));
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
        command.env("OTEL_EXPORTER_OTLP_COMPRESSION", how);
        run(command.args(["read", "captures/put.pcap", "--otlp", &url]));
        assert_eq!(receiver.compressed(), (compressed, 2), "{how}");
    }
}

#[test]
fn two_captures_are_sent() {
    let captures = ["captures/lost-client.pcap", "captures/lost-server.pcap"];
    check(
        &["read", captures[0], captures[1]],
        &[SpanKind::Internal],
        &[],
    );
}

#[test]
fn a_recording_is_sent() {
    let kinds = [SpanKind::Client, SpanKind::Server];
    check(&["replay", "recordings/uploads.trace"], &kinds, &[]);
}

/// The input waits for it, and gives up.
#[test]
fn a_collector_that_is_not_there_ends_no_reading() {
    let lab = Lab::new();
    let mut command = lab.inside(env!("CARGO_BIN_EXE_tracer"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
    command.args(["read", "captures/put.pcap", "-o", "ndjson", "--otlp", GRPC]);
    let lines = run(&mut command);
    let trace = Trace::new(lines.lines().map(str::to_owned).collect());
    let (exported, lost) = spans(&trace);
    assert!(exported == 0 && lost > 0, "{lines}");
    let points = &trace.summary()["data_points"];
    assert!(points["exported"] == 0 && points["lost"] != 0, "{points}");
}
