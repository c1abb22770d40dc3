//! The two formats, of the same measures.

use std::sync::Arc;

use upload_protocol::{
    Timeline,
    timeline::{Initiation, Phase},
};

use super::{Format, older, text};
use crate::{
    core::{measures::Measures, output::Output, pipeline::Counts},
    sink::metrics::process::Process,
};

fn measured() -> Arc<Measures> {
    let mut measures = Measures::default();
    let opened = |end_ns| {
        Output::Timeline(Box::new(Timeline {
            phases: vec![Phase::Initiation(Initiation {
                end_ns: Some(end_ns),
                ..Initiation::default()
            })],
            ..Timeline::default()
        }))
    };
    measures.take(&[opened(50_000), opened(75_000), opened(7_200_000_000_000)]);
    measures.set_counts(Counts {
        open: 2,
        ..Counts::default()
    });
    Arc::new(measures)
}

fn lines_of<'a>(text: &'a str, metric: &str) -> Vec<&'a str> {
    let lines = text.lines();
    lines.filter(|line| line.contains(metric)).collect()
}

#[test]
fn a_histogram_is_cumulative() {
    for format in [Format::OpenMetrics, Format::Prometheus] {
        let text = text(measured(), Process::own().reading(), format);
        let lines = lines_of(&text, "tracer_connect_duration_seconds");
        let has = |line: &str| assert!(lines.contains(&line), "{line} is not in {lines:#?}");
        has("# TYPE tracer_connect_duration_seconds histogram");
        has(r#"tracer_connect_duration_seconds_bucket{le="0.00005",outcome="opened"} 1"#);
        has(r#"tracer_connect_duration_seconds_bucket{le="0.0001",outcome="opened"} 2"#);
        has(r#"tracer_connect_duration_seconds_bucket{le="3600.0",outcome="opened"} 2"#);
        has(r#"tracer_connect_duration_seconds_bucket{le="+Inf",outcome="opened"} 3"#);
        has(r#"tracer_connect_duration_seconds_count{outcome="opened"} 3"#);
        has(r#"tracer_connect_duration_seconds_sum{outcome="opened"} 7200.000125"#);
    }
}

#[test]
fn open_metrics_has_units_and_an_end() {
    let text = text(measured(), Process::own().reading(), Format::OpenMetrics);
    assert_eq!(
        lines_of(&text, "tracer_payload")[..3],
        [
            "# HELP tracer_payload_bytes Payload of reported connections that arrived in order.",
            "# TYPE tracer_payload_bytes counter",
            "# UNIT tracer_payload_bytes bytes",
        ]
    );
    assert!(text.ends_with("\n# EOF\n"));
}

#[test]
fn the_older_format_names_a_counter_as_its_samples() {
    let text = text(measured(), Process::own().reading(), Format::Prometheus);
    assert_eq!(
        lines_of(&text, "tracer_payload"),
        [
            "# HELP tracer_payload_bytes_total Payload of reported connections that arrived in order.",
            "# TYPE tracer_payload_bytes_total counter",
            r#"tracer_payload_bytes_total{direction="client_to_server"} 0"#,
            r#"tracer_payload_bytes_total{direction="server_to_client"} 0"#,
        ]
    );
    assert_eq!(
        lines_of(&text, "tracer_connections_open"),
        [
            "# HELP tracer_connections_open Connections that are open, or ended and not reported yet.",
            "# TYPE tracer_connections_open gauge",
            "tracer_connections_open 2",
        ]
    );
    assert!(!text.contains("# UNIT") && !text.contains("# EOF"));
    for process in [
        "cpu_seconds_total",
        "start_time_seconds",
        "resident_memory_bytes",
    ] {
        let lines = lines_of(&text, &format!("process_{process}"));
        assert_eq!(lines.len(), 3, "{process}: {lines:?}");
    }
}

#[test]
fn words_of_help_stay() {
    let open_metrics = "# HELP a One, two.\n# TYPE a gauge\na 1\n# HELP b Three.\n# TYPE b counter\n# UNIT b b\nb_total 2\n# EOF\n";
    assert_eq!(
        older(open_metrics),
        "# HELP a One, two.\n# TYPE a gauge\na 1\n# HELP b_total Three.\n# TYPE b_total counter\nb_total 2\n"
    );
}
