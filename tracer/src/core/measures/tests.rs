//! What is counted of which timeline.

use serde_json::json;
use tracer_ebpf::hook::HOOKS;
use upload_protocol::{
    Moment, Timeline,
    line::{Hop, LostLine, UploadLine},
};

use super::{Measures, Points};
use crate::core::{input::ProgramCost, output::Output, pipeline::Counts};

/// As NDJSON has it.
fn timeline(json: serde_json::Value) -> Output {
    let mut json = json;
    json["time"] = json!("2026-01-01T00:00:00Z");
    json["mono_ns"] = json!(0);
    json["connection"] = json!("7");
    Output::Timeline(Box::new(serde_json::from_value::<Timeline>(json).unwrap()))
}

/// The points of a metric that are not 0, in its exported unit: labels, count of a histogram, value or sum.
fn points(measures: &Measures, name: &str) -> Vec<(String, u64, f64)> {
    let metrics = measures.metrics();
    let metric = metrics.iter().find(|metric| metric.name == name).unwrap();
    let labels = |labels: &super::Labels| {
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        labels.join(",")
    };
    let export = |value| metric.unit.export(value);
    let mut points: Vec<_> = match &metric.points {
        Points::Counters(points) | Points::Gauges(points) => points
            .iter()
            .map(|(of, value)| (labels(of), *value, export(u128::from(*value))))
            .collect(),
        Points::Histograms(points) => points
            .iter()
            .map(|(of, histogram)| (labels(of), histogram.count(), export(histogram.sum())))
            .collect(),
    };
    points.retain(|(_, count, _)| *count > 0);
    points
}

fn check(measures: &Measures, name: &str, expected: &[(&str, u64, f64)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(labels, count, value)| ((*labels).to_owned(), *count, *value))
        .collect();
    assert_eq!(points(measures, name), expected, "{name}");
}

fn finished() -> serde_json::Value {
    json!({
        "phases": [
            {"name": "initiation", "start_ns": 100, "end_ns": 60_100, "accept_wait_ns": 5_000},
            {"name": "maintenance", "start_ns": 60_100, "end_ns": 9_000_000,
                "tls": {"start_ns": 70_000, "end_ns": 1_070_000, "version": "TLS 1.3"},
                "exchanges": [
                    {"wait": {"start_ns": 2_000_000, "end_ns": 5_000_000}, "response": {"status": 201},
                        "body": {"bytes_per_second": 1_000_000}, "upload": "1"},
                    {"wait": {"start_ns": 6_000_000, "end_ns": null}, "response": {"status": 500}},
                ]},
            {"name": "termination", "start_ns": 9_000_000, "end_ns": 10_000_000, "how": "fin"},
        ],
        "uploads": [
            {"id": "1"},
            {"id": "2", "diagnosis": {"verdict": "path", "side": "network", "wall_ns": 9_000_000_000_u64,
                "shares": [{"cause": "path", "ns": 6_000_000_000_u64, "share": 0.67},
                    {"cause": "loss", "ns": 3_000_000_000_u64, "share": 0.33}],
                "evidence": {"bytes_per_second": 3_000_000}}},
            {"id": "3", "diagnosis": {"no_verdict": "short", "shares": []}},
        ],
        "bytes": {"client_to_server": 1_000, "server_to_client": null},
        "retransmits": 3,
    })
}

#[test]
fn a_finished_connection() {
    let mut measures = Measures::default();
    measures.take(&[timeline(finished()), timeline(finished())]);
    let check = |name, expected: &[_]| check(&measures, name, expected);
    check(
        "tracer.connect.duration",
        &[("outcome=opened", 2, 0.000_12)],
    );
    check("tracer.accept.wait", &[("", 2, 0.000_01)]);
    check(
        "tracer.tls.handshake.duration",
        &[("tls.protocol.version=1.3", 2, 0.002)],
    );
    check("tracer.response.wait", &[("status_class=2xx", 2, 0.006)]);
    check(
        "tracer.upload.rate",
        &[
            ("side=none", 2, 2_000_000.0),
            ("side=network", 2, 6_000_000.0),
        ],
    );
    check("tracer.connection.duration", &[("ending=fin", 2, 0.02)]);
    check("tracer.connection.retransmits", &[("", 2, 6.0)]);
    check("tracer.connections", &[("ending=fin", 2, 2.0)]);
    check(
        "tracer.payload",
        &[("direction=client_to_server", 2_000, 2_000.0)],
    );
    check(
        "tracer.diagnoses",
        &[
            ("verdict=path,side=network", 2, 2.0),
            ("verdict=short,side=none", 2, 2.0),
        ],
    );
    check(
        "tracer.held_back",
        &[
            ("cause=loss", 6_000_000_000, 6.0),
            ("cause=path", 12_000_000_000, 12.0),
        ],
    );
}

#[test]
fn what_was_not_seen_is_not_measured() {
    let mut measures = Measures::default();
    let mut began_before = finished();
    began_before["incomplete"] = json!(["it began before the tracer did"]);
    let mut refused = finished();
    refused["phases"] =
        json!([{"name": "initiation", "start_ns": 0, "end_ns": 30_000, "failure": "refused"}]);
    refused["uploads"] = json!([]);
    let mut open = finished();
    open["open"] = json!(true);
    open["phases"][2] = json!({"name": "termination"});
    measures.take(&[timeline(began_before), timeline(refused), timeline(open)]);
    check(
        &measures,
        "tracer.connect.duration",
        &[
            ("outcome=refused", 1, 0.000_03),
            ("outcome=opened", 1, 0.000_06),
        ],
    );
    check(&measures, "tracer.connection.duration", &[]);
    check(
        &measures,
        "tracer.connections",
        &[
            ("ending=fin", 1, 1.0),
            ("ending=not_opened", 1, 1.0),
            ("ending=unfinished", 1, 1.0),
        ],
    );
}

#[test]
fn counts_of_the_run() {
    let mut measures = Measures::default();
    let upload = |outcome| {
        let line = json!({"time": "2026-01-01T00:00:00Z", "mono_ns": 0, "id": "1", "connection": null,
            "name": null, "bytes": null, "status": null, "outcome": outcome, "certainty": "observed"});
        Output::Upload(Box::new(
            serde_json::from_value::<UploadLine>(line).unwrap(),
        ))
    };
    let lost = |hop: Hop, count| {
        Output::Lost(LostLine {
            at: Moment::default(),
            count,
            at_most: hop.is_at_most(),
            hop,
            from_ns: 0,
            to_ns: 0,
        })
    };
    measures.take(&[
        upload(json!("timed_out")),
        upload(json!(null)),
        lost(Hop::Ring, u64::MAX),
        lost(Hop::Ring, 1),
        lost(Hop::Handshakes, 2),
    ]);
    measures.set_sink_lost(7);
    let mut counts = Counts {
        open: 3,
        ..Counts::default()
    };
    counts.records[0] = 5;
    measures.set_counts(counts);
    let program = HOOKS[0].program;
    let cost = |name: &str| ProgramCost {
        name: name.to_owned(),
        runs: 2,
        run_ns: 1_000_000,
    };
    measures.set_cost(&[cost(program), cost("of another tracer")]);

    check(
        &measures,
        "tracer.uploads",
        &[("outcome=timed_out", 1, 1.0), ("outcome=unknown", 1, 1.0)],
    );
    let at_most = u64::MAX;
    check(
        &measures,
        "tracer.lost",
        &[
            ("hop=ring", at_most, at_most as f64),
            ("hop=early", 2, 2.0),
            ("hop=sink", 7, 7.0),
        ],
    );
    check(&measures, "tracer.connections.open", &[("", 3, 3.0)]);
    check(&measures, "tracer.records", &[("kind=state", 5, 5.0)]);
    let label = format!("program={program}");
    check(&measures, "tracer.program.runs", &[(&label, 2, 2.0)]);
    check(
        &measures,
        "tracer.program.run_time",
        &[(&label, 1_000_000, 0.001)],
    );
}

/// Whatever comes, each metric has one name, and no more sets of labels than there are values.
#[test]
fn names_are_unique() {
    let measures = Measures::default();
    let metrics = measures.metrics();
    let mut names: Vec<_> = metrics.iter().map(|metric| metric.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), metrics.len());
}
