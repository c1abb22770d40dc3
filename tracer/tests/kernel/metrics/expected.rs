//! What follows from the lines of NDJSON: counters, and the values that histograms have.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::trace::{Trace, number};

/// By metric and labels, as a sample has them.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) counters: BTreeMap<(&'static str, String), f64>,
    pub(super) values: BTreeMap<(&'static str, String), Vec<f64>>,
}

impl Expected {
    pub(super) fn of(trace: &Trace) -> Self {
        let mut expected = Self::default();
        for upload in trace.of("upload") {
            let outcome = upload["outcome"].as_str().unwrap_or("unknown");
            expected.count("tracer_uploads_total", label("outcome", outcome), 1.0);
        }
        for lost in trace.of("lost") {
            let hop = label("hop", text(&lost["hop"]));
            expected.count("tracer_lost_total", hop, number(&lost["count"]) as f64);
        }
        for timeline in trace.timelines() {
            expected.timeline(timeline);
        }
        expected
    }

    fn count(&mut self, metric: &'static str, labels: String, more: f64) {
        *self.counters.entry((metric, labels)).or_default() += more;
    }

    fn observe(&mut self, metric: &'static str, labels: String, value: f64) {
        self.values.entry((metric, labels)).or_default().push(value);
    }

    fn timeline(&mut self, timeline: &Value) {
        let phase = |name: &str| {
            let mut phases = timeline["phases"].as_array().unwrap().iter();
            phases
                .find(|phase| phase["name"] == name)
                .unwrap_or(&Value::Null)
        };
        let (initiation, maintenance, termination) = (
            phase("initiation"),
            phase("maintenance"),
            phase("termination"),
        );
        let ending = match (&initiation["failure"], &termination["how"]) {
            (Value::Null, how) => text(how),
            _ => "not_opened",
        };
        self.count("tracer_connections_total", label("ending", ending), 1.0);
        let retransmits = number(&timeline["retransmits"]) as f64;
        self.observe("tracer_connection_retransmits", String::new(), retransmits);
        for direction in ["client_to_server", "server_to_client"] {
            let bytes = timeline["bytes"][direction].as_f64().unwrap_or_default();
            self.count(
                "tracer_payload_bytes_total",
                label("direction", direction),
                bytes,
            );
        }
        let outcome = initiation["failure"].as_str().unwrap_or("opened");
        if let Some(took) = seconds(&initiation["start_ns"], &initiation["end_ns"]) {
            let metric = "tracer_connect_duration_seconds";
            self.observe(metric, label("outcome", outcome), took);
        }
        if let Some(waited) = seconds(&0.into(), &initiation["accept_wait_ns"]) {
            self.observe("tracer_accept_wait_seconds", String::new(), waited);
        }
        if let Some(lasted) = seconds(&0.into(), &termination["end_ns"]) {
            let metric = "tracer_connection_duration_seconds";
            self.observe(metric, label("ending", ending), lasted);
        }
        let exchanges = maintenance["exchanges"].as_array();
        let exchanges = exchanges.map_or(&[][..], Vec::as_slice);
        for exchange in exchanges {
            let wait = &exchange["wait"];
            if let Some(waited) = seconds(&wait["start_ns"], &wait["end_ns"]) {
                let class = format!("{}xx", number(&exchange["response"]["status"]) / 100);
                let metric = "tracer_response_wait_seconds";
                self.observe(metric, label("status_class", &class), waited);
            }
        }
        for upload in timeline["uploads"].as_array().unwrap() {
            self.upload(upload, exchanges);
        }
    }

    fn upload(&mut self, upload: &Value, exchanges: &[Value]) {
        let diagnosis = &upload["diagnosis"];
        let side = diagnosis["side"].as_str().unwrap_or("none");
        let mut own = exchanges.iter().filter(|one| one["upload"] == upload["id"]);
        let rate = diagnosis["evidence"]["bytes_per_second"].as_f64();
        let rate = rate.or_else(|| own.next()?["body"]["bytes_per_second"].as_f64());
        if let Some(rate) = rate {
            self.observe(
                "tracer_upload_rate_bytes_per_second",
                label("side", side),
                rate,
            );
        }
        if diagnosis.is_null() {
            return;
        }
        let verdict = diagnosis["verdict"].as_str();
        let verdict = verdict.unwrap_or_else(|| text(&diagnosis["no_verdict"]));
        let labels = format!("{},{}", label("verdict", verdict), label("side", side));
        self.count("tracer_diagnoses_total", labels, 1.0);
        for share in diagnosis["shares"].as_array().unwrap() {
            let cause = label("cause", text(&share["cause"]));
            let held = number(&share["ns"]) as f64 / 1e9;
            self.count("tracer_held_back_seconds_total", cause, held);
        }
    }
}

fn label(key: &str, value: &str) -> String {
    format!("{key}={value:?}")
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}

/// `None` where one of the two is unknown.
fn seconds(start_ns: &Value, end_ns: &Value) -> Option<f64> {
    Some((end_ns.as_u64()? - start_ns.as_u64()?) as f64 / 1e9)
}
