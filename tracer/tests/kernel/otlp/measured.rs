//! Metrics at a collector: what it has in the end is what the lines have.

use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, NumberDataPoint, metric::Data,
    number_data_point::Value,
};

use super::{
    collector::{Collector, GRPC, HTTP, program},
    receiver::{Measured, Receiver, texts},
};
use crate::{
    churn::{churn, port},
    lab::Lab,
    trace::number,
};

const EACH: u32 = 100;
const ALL: usize = 2 * EACH as usize;

fn histogram(measured: &Measured) -> &[HistogramDataPoint] {
    match &measured.metric.data {
        Some(Data::Histogram(histogram)) => {
            let cumulative = AggregationTemporality::Cumulative;
            assert_eq!(histogram.aggregation_temporality(), cumulative);
            &histogram.data_points
        }
        other => panic!("{other:?}"),
    }
}

fn sum(measured: &Measured) -> &[NumberDataPoint] {
    match &measured.metric.data {
        Some(Data::Sum(sum)) => &sum.data_points,
        other => panic!("{other:?}"),
    }
}

fn count(points: &[HistogramDataPoint]) -> u64 {
    points.iter().map(|point| point.count).sum()
}

/// At each interval, and once more at the end; a collector that was started again has it all.
#[test]
fn what_was_measured_comes_to_the_collector() {
    let Some(program) = program() else { return };
    for url in [GRPC, HTTP] {
        let lab = Lab::new();
        let receiver = Receiver::listen(&lab);
        let collector = Collector::start(&lab, &program, &receiver);
        let mut command = lab.inside(env!("CARGO_BIN_EXE_tracer"));
        command.args(["-o", "ndjson", "--otlp", url, "--port", &port().to_string()]);
        command.env("OTEL_METRIC_EXPORT_INTERVAL", "500");
        let mut tracer = lab.tracer_by(command);
        churn(&lab, &(0..EACH), 2);
        tracer.wait_for_timelines(ALL);
        const CONNECT: &str = "tracer.connect.duration";
        let during = receiver.wait_for_metric(CONNECT, |one| count(histogram(one)) == ALL as u64);
        collector.kill();
        let _again = Collector::start(&lab, &program, &receiver);
        churn(&lab, &(0..EACH), 2);
        tracer.wait_for_timelines(ALL);
        let trace = tracer.stop();
        let connect =
            receiver.wait_for_metric(CONNECT, |one| count(histogram(one)) == 2 * ALL as u64);

        let points = histogram(&connect);
        assert_eq!(points.len(), 1);
        assert_eq!(texts(&points[0].attributes)["outcome"], "opened");
        let began = |measured: &Measured| histogram(measured)[0].start_time_unix_nano;
        assert_eq!(began(&connect), began(&during), "it is cumulative");
        assert!(points[0].time_unix_nano > histogram(&during)[0].time_unix_nano);
        let timelines = trace.timelines();
        let took = timelines
            .iter()
            .map(|one| number(&one["phases"][0]["end_ns"]));
        let expected = took.sum::<u64>() as f64 / 1e9;
        let found = points[0].sum.unwrap();
        assert!(
            (found - expected).abs() < 1e-6,
            "{found} s, not {expected} s"
        );
        assert_eq!(points[0].bucket_counts.iter().sum::<u64>(), 2 * ALL as u64);

        let closed = receiver.wait_for_metric("tracer.connections", |one| {
            sum(one)
                .iter()
                .any(|point| point.value == Some(Value::AsInt(i64::from(4 * EACH))))
        });
        assert_eq!(closed.metric.unit, "{connection}");
        assert_eq!(closed.resource["service.name"], "tracer");
        assert!(closed.resource.contains_key("host.name"));
        let points = &trace.summary()["data_points"];
        assert!(number(&points["exported"]) > 0, "{points}");
    }
}

#[test]
fn none_are_sent_where_none_are_wanted() {
    let Some(program) = program() else { return };
    let lab = Lab::new();
    let receiver = Receiver::listen(&lab);
    let _collector = Collector::start(&lab, &program, &receiver);
    let mut command = lab.inside(env!("CARGO_BIN_EXE_tracer"));
    command.args([
        "-o",
        "ndjson",
        "--otlp",
        HTTP,
        "--port",
        &port().to_string(),
    ]);
    command.env("OTEL_METRICS_EXPORTER", "none");
    let mut tracer = lab.tracer_by(command);
    churn(&lab, &(0..1), 1);
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    receiver.wait_for(super::SPANS, |_| true);
    assert!(trace.summary()["data_points"].is_null());
    assert!(receiver.metrics().is_empty());
}
