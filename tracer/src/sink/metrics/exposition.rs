//! Metrics as text: OpenMetrics 1.0, and Prometheus' older format, which differs in the names of counters.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode},
    metrics::{MetricType, exemplar::Exemplar},
    registry::{Registry, Unit as PrometheusUnit},
};
use tracing::error;
use upload_protocol::version::of_source;

use super::process::Reading;
use crate::core::measures::{Histogram, Labels, Measures, Metric, Points, Unit};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// OpenMetrics 1.0 (draft-ietf-opsawg-openmetrics).
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Prometheus,
}

impl Format {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// All metrics.
pub(super) fn text(measures: Arc<Measures>, process: Reading, format: Format) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Exposed { measures, process }));
    let mut text = String::new();
    if let Err(error) = encode(&mut text, &registry) {
        error!(%error, "cannot write the metrics");
    }
    match format {
        Format::OpenMetrics => text,
        Format::Prometheus => older(&text),
    }
}

#[derive(Debug)]
struct Exposed {
    measures: Arc<Measures>,
    process: Reading,
}

impl Collector for Exposed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = self.measures.metrics().into_iter();
        for metric in metrics.chain(self.process.metrics()) {
            expose(&metric, &mut encoder)?;
        }
        let version = of_source(env!("CARGO_PKG_VERSION"));
        let help = "The version of the tracer.";
        let mut info =
            encoder.encode_descriptor("tracer_build_info", help, None, MetricType::Gauge)?;
        info.encode_family(&[("version", version)])?
            .encode_gauge(&1_u64)
    }
}

fn expose(metric: &Metric<'_>, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let kind = match &metric.points {
        Points::Counters(points) if points.is_empty() => return Ok(()),
        Points::Histograms(points) if points.is_empty() => return Ok(()),
        Points::Counters(_) => MetricType::Counter,
        Points::Gauges(_) => MetricType::Gauge,
        Points::Histograms(_) => MetricType::Histogram,
    };
    let name = snake_case(metric.name);
    let help = format!("{}.", metric.help);
    let unit = unit(metric.unit);
    let mut encoder = encoder.encode_descriptor(&name, &help, unit.as_ref(), kind)?;
    match &metric.points {
        Points::Counters(points) => points.iter().try_for_each(|(labels, value)| {
            labelled(&mut encoder, labels, |counter| match metric.unit {
                Unit::Seconds => counter.encode_counter(&export(metric.unit, *value), NO_EXEMPLAR),
                _ => counter.encode_counter(value, NO_EXEMPLAR),
            })
        }),
        Points::Gauges(points) => points.iter().try_for_each(|(labels, value)| {
            labelled(&mut encoder, labels, |gauge| match metric.unit {
                Unit::Seconds => gauge.encode_gauge(&export(metric.unit, *value)),
                _ => gauge.encode_gauge(value),
            })
        }),
        Points::Histograms(points) => points.iter().try_for_each(|(labels, histogram)| {
            let buckets = buckets(metric.unit, histogram);
            let sum = metric.unit.export(histogram.sum());
            labelled(&mut encoder, labels, |encoder| {
                encoder.encode_histogram::<NoLabelSet>(sum, histogram.count(), &buckets, None)
            })
        }),
    }
}

const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, f64>> = None;

/// Writes a point with its labels, and one without labels without braces.
fn labelled(
    encoder: &mut MetricEncoder<'_>,
    labels: &Labels,
    point: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if labels.is_empty() {
        return point(encoder);
    }
    let labels = labels.iter();
    let exposed: Vec<_> = labels
        .map(|(key, value)| (snake_case(key), *value))
        .collect();
    point(&mut encoder.encode_family(&exposed)?)
}

/// The upper bound of each range, and how many values are in it.
fn buckets(unit: Unit, histogram: &Histogram) -> Vec<(f64, u64)> {
    let bounds = histogram.bounds().iter();
    let bounds = bounds.map(|bound| export(unit, *bound));
    bounds
        .chain([f64::INFINITY])
        .zip(histogram.counts().iter().copied())
        .collect()
}

fn export(unit: Unit, kept: u64) -> f64 {
    unit.export(u128::from(kept))
}

/// OpenTelemetry's dots are underscores here.
fn snake_case(name: &str) -> String {
    name.replace('.', "_")
}

/// As OpenTelemetry maps units to Prometheus' names ("Prometheus and OpenMetrics Compatibility").
fn unit(unit: Unit) -> Option<PrometheusUnit> {
    match unit.ucum() {
        "s" => Some(PrometheusUnit::Seconds),
        "By" => Some(PrometheusUnit::Bytes),
        "By/s" => Some(PrometheusUnit::Other("bytes_per_second".to_owned())),
        _ => None,
    }
}

/// The older format has no units, and no end; and it names a counter as its samples are.
fn older(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        let (mark, keyword) = (words.next(), words.next());
        match (mark, keyword, words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(_), Some(words)) => help = Some(words),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let suffix = if kind == "counter" { "_total" } else { "" };
                let help = help.take().unwrap_or_default();
                text += &format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
            }
            (Some("#"), ..) => {}
            _ => {
                text += line;
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
