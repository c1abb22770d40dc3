//! What was measured, as OTLP's metrics. They are cumulative: what one request lost, the next one has.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::KeyValue,
    metrics::v1::{self as proto, AggregationTemporality, metric::Data, number_data_point::Value},
};
use prost::Message as _;
use upload_protocol::Moment;

use super::{
    attributes::Attributes,
    batch::{Encoded, Signal, scope},
    resource::Common,
};
use crate::core::measures::{Histogram, Labels, Measures, Metric, Points, Unit};

/// What was measured up to a moment.
pub(super) struct Snapshot {
    pub(super) measures: Measures,
    pub(super) times: Times,
    /// Whether none follows.
    pub(super) is_last: bool,
}

/// The times of all points.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// When measuring began.
    pub(super) began: Moment,
    pub(super) at: Moment,
}

impl Snapshot {
    /// As a request. The resource is the tracer itself.
    pub(super) fn encode(&self, common: &Common) -> Encoded {
        let metrics = self.measures.metrics().into_iter();
        let metrics: Vec<_> = metrics
            .filter_map(|metric| self.times.metric(&metric))
            .collect();
        let count = metrics.iter().filter_map(|metric| metric.data.as_ref());
        let count = count.map(points).sum::<usize>() as u64;
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![proto::ResourceMetrics {
                resource: Some(common.own()),
                scope_metrics: vec![proto::ScopeMetrics {
                    scope: Some(scope()),
                    metrics,
                    ..proto::ScopeMetrics::default()
                }],
                ..proto::ResourceMetrics::default()
            }],
        };
        Encoded {
            signal: Signal::Metrics,
            bytes: request.encode_to_vec().into(),
            count,
        }
    }
}

impl Times {
    /// A metric; none where it has no point yet.
    fn metric(self, metric: &Metric<'_>) -> Option<proto::Metric> {
        let cumulative = AggregationTemporality::Cumulative.into();
        let unit = metric.unit;
        let data = match &metric.points {
            Points::Counters(points) => Data::Sum(proto::Sum {
                data_points: self.numbers(points, unit),
                aggregation_temporality: cumulative,
                is_monotonic: true,
            }),
            Points::Gauges(points) => Data::Gauge(proto::Gauge {
                data_points: self.numbers(points, unit),
            }),
            Points::Histograms(points) => Data::Histogram(proto::Histogram {
                data_points: points
                    .iter()
                    .map(|(labels, histogram)| self.histogram(labels, histogram, unit))
                    .collect(),
                aggregation_temporality: cumulative,
            }),
        };
        (points(&data) > 0).then(|| proto::Metric {
            name: metric.name.to_owned(),
            description: metric.help.to_owned(),
            unit: unit.ucum().to_owned(),
            data: Some(data),
            ..proto::Metric::default()
        })
    }

    fn numbers(self, points: &[(Labels, u64)], unit: Unit) -> Vec<proto::NumberDataPoint> {
        let number = |value: u64| match (unit, i64::try_from(value)) {
            (Unit::Seconds, _) | (_, Err(_)) => Value::AsDouble(unit.export(value.into())),
            (_, Ok(value)) => Value::AsInt(value),
        };
        let points = points.iter();
        points
            .map(|(labels, value)| proto::NumberDataPoint {
                attributes: attributes(labels),
                start_time_unix_nano: unix_ns(self.began),
                time_unix_nano: unix_ns(self.at),
                value: Some(number(*value)),
                ..proto::NumberDataPoint::default()
            })
            .collect()
    }

    fn histogram(
        self,
        labels: &Labels,
        histogram: &Histogram,
        unit: Unit,
    ) -> proto::HistogramDataPoint {
        let bounds = histogram.bounds().iter();
        proto::HistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: unix_ns(self.began),
            time_unix_nano: unix_ns(self.at),
            count: histogram.count(),
            sum: Some(unit.export(histogram.sum())),
            bucket_counts: histogram.counts().to_vec(),
            explicit_bounds: bounds.map(|bound| unit.export((*bound).into())).collect(),
            ..proto::HistogramDataPoint::default()
        }
    }
}

const fn points(data: &Data) -> usize {
    match data {
        Data::Sum(sum) => sum.data_points.len(),
        Data::Gauge(gauge) => gauge.data_points.len(),
        Data::Histogram(histogram) => histogram.data_points.len(),
        Data::ExponentialHistogram(_) | Data::Summary(_) => 0,
    }
}

fn attributes(labels: &Labels) -> Vec<KeyValue> {
    let mut attributes = Attributes::default();
    for (key, value) in labels {
        attributes.text(key, value);
    }
    attributes.0
}

fn unix_ns(at: Moment) -> u64 {
    u64::try_from(at.unix_ns).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use upload_protocol::{
        Timeline,
        timeline::{Initiation, Phase},
    };

    use super::*;
    use crate::core::output::Output;

    fn sent(measures: Measures) -> (Vec<proto::Metric>, u64) {
        let at = |unix_ns| Moment {
            mono_ns: 0,
            unix_ns,
        };
        let snapshot = Snapshot {
            measures,
            times: Times {
                began: at(1_000),
                at: at(2_000),
            },
            is_last: false,
        };
        let encoded = snapshot.encode(&Common::default());
        let request = ExportMetricsServiceRequest::decode(encoded.bytes).unwrap();
        let mut scopes = request
            .resource_metrics
            .into_iter()
            .flat_map(|one| one.scope_metrics);
        (scopes.next().unwrap().metrics, encoded.count)
    }

    fn named<'a>(metrics: &'a [proto::Metric], name: &str) -> &'a proto::Metric {
        metrics.iter().find(|metric| metric.name == name).unwrap()
    }

    #[test]
    fn a_histogram_in_seconds() {
        let mut measures = Measures::default();
        let opened = Initiation {
            end_ns: Some(60_000),
            ..Initiation::default()
        };
        let timeline = Timeline {
            phases: vec![Phase::Initiation(opened)],
            retransmits: 3,
            ..Timeline::default()
        };
        measures.take(&[Output::Timeline(Box::new(timeline))]);
        let (metrics, count) = sent(measures);
        let connect = named(&metrics, "tracer.connect.duration");
        assert_eq!(connect.unit, "s");
        let Some(Data::Histogram(histogram)) = &connect.data else {
            panic!("{connect:?}");
        };
        assert_eq!(
            histogram.aggregation_temporality(),
            AggregationTemporality::Cumulative
        );
        let point = &histogram.data_points[0];
        assert_eq!(
            (point.start_time_unix_nano, point.time_unix_nano),
            (1_000, 2_000)
        );
        assert_eq!((point.count, point.sum), (1, Some(0.000_06)));
        assert_eq!(point.explicit_bounds[..2], [0.000_05, 0.000_1]);
        assert_eq!(point.bucket_counts[..3], [0, 1, 0]);
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!(point.attributes[0].key, "outcome");
        let points = metrics
            .iter()
            .filter_map(|metric| metric.data.as_ref())
            .map(points);
        assert_eq!(points.sum::<usize>() as u64, count);
    }

    /// Of what has no point, there is nothing.
    #[test]
    fn counters_are_there_from_the_start() {
        let (metrics, _) = sent(Measures::default());
        let Some(Data::Sum(lost)) = &named(&metrics, "tracer.lost").data else {
            panic!("{metrics:?}");
        };
        assert!(lost.is_monotonic && lost.data_points.len() > 3);
        assert!(
            lost.data_points
                .iter()
                .all(|point| point.value == Some(Value::AsInt(0)))
        );
        assert!(
            metrics
                .iter()
                .all(|metric| metric.name != "tracer.tls.handshake.duration")
        );
    }
}
