//! The server's metrics, for Prometheus.

use std::{fmt, time::Duration};

use crate::record::Upload;
use axum::http::Method;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

pub(crate) struct Metrics {
    registry: Registry,
    uploads: Family<OutcomeLabel, Counter>,
    upload_bytes: Counter,
    upload_duration: Family<OutcomeLabel, Histogram>,
    pub(crate) uploads_in_flight: Gauge,
    pub(crate) connections: Counter,
    pub(crate) connections_open: Gauge,
    pub(crate) connections_dismissed: Counter,
    pub(crate) connections_refused: Counter,
    pub(crate) handshakes_failed: Counter,
    requests: Family<RequestLabels, Counter>,
    request_duration: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    status: u16,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("upload_server"),
            uploads: Family::default(),
            upload_bytes: Counter::default(),
            upload_duration: Family::new_with_constructor(durations),
            uploads_in_flight: Gauge::default(),
            connections: Counter::default(),
            connections_open: Gauge::default(),
            connections_dismissed: Counter::default(),
            connections_refused: Counter::default(),
            handshakes_failed: Counter::default(),
            requests: Family::default(),
            request_duration: durations(),
        };
        metrics.register();
        metrics
    }

    /// Counts an upload that has ended.
    pub(crate) fn upload(&self, upload: &Upload) {
        let label = OutcomeLabel {
            outcome: upload.outcome.name(),
        };
        self.uploads.get_or_create(&label).inc();
        self.upload_bytes.inc_by(upload.bytes);
        let times = &upload.times;
        let end = times.sent_ns.or(times.response_ns).or(times.body_last_ns);
        if let Some(nanoseconds) = end.and_then(|end| end.checked_sub(times.head_ns)) {
            let duration = Duration::from_nanos(nanoseconds);
            let durations = self.upload_duration.get_or_create(&label);
            durations.observe(duration.as_secs_f64());
        }
    }

    /// Counts a request that has ended. The status is absent where no response was sent.
    pub(crate) fn request(&self, method: &Method, status: Option<u16>, took: Duration) {
        let labels = RequestLabels {
            method: known(method),
            status: status.unwrap_or_default(),
        };
        self.requests.get_or_create(&labels).inc();
        self.request_duration.observe(took.as_secs_f64());
    }

    fn register(&mut self) {
        let Self { registry, .. } = self;
        registry.register("uploads", "Uploads that have ended", self.uploads.clone());
        registry.register_with_unit(
            "upload_received",
            "Bytes of uploads that arrived",
            Unit::Bytes,
            self.upload_bytes.clone(),
        );
        registry.register_with_unit(
            "upload_duration",
            "Time from an upload's request head to its response",
            Unit::Seconds,
            self.upload_duration.clone(),
        );
        registry.register(
            "uploads_in_flight",
            "Uploads in flight",
            self.uploads_in_flight.clone(),
        );
        registry.register(
            "connections",
            "Connections accepted",
            self.connections.clone(),
        );
        registry.register(
            "connections_open",
            "Connections that are open",
            self.connections_open.clone(),
        );
        registry.register(
            "connections_dismissed",
            "Silent connections closed to make room for others",
            self.connections_dismissed.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections refused beyond the limit",
            self.connections_refused.clone(),
        );
        registry.register(
            "handshakes_failed",
            "Connections whose TLS handshake failed or took too long",
            self.handshakes_failed.clone(),
        );
        registry.register(
            "requests",
            "Requests by method and status, 0 where no response was sent",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to the end of its response",
            Unit::Seconds,
            self.request_duration.clone(),
        );
    }

    /// Appends all metrics as OpenMetrics text.
    pub(crate) fn write(&self, text: &mut String) -> fmt::Result {
        encode(text, &self.registry)
    }
}

/// From a millisecond to more than an hour.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 4.0, 12))
}

/// Clients may invent methods. Each new label would take memory for good, so unknown methods share one.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
