//! A page of metrics, by its samples.

use std::collections::{BTreeMap, BTreeSet};

use super::expected::Expected;

#[derive(Debug)]
pub(super) struct Page(BTreeMap<(String, String), f64>);

impl Page {
    /// Of Prometheus' text format.
    pub(super) fn of(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.map(|line| {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let (metric, labels) = sample.split_once('{').unwrap_or((sample, "}"));
            let labels = labels.strip_suffix('}').unwrap();
            (
                (metric.to_owned(), labels.to_owned()),
                value.parse().unwrap(),
            )
        });
        Self(samples.collect())
    }

    /// The values of a metric, whatever its labels are.
    pub(super) fn all(&self, metric: &str) -> impl Iterator<Item = f64> {
        self.labelled(metric).map(|(_, value)| value)
    }

    /// It has these values, and of the same metrics no other than 0.
    pub(super) fn has_all(&self, expected: &Expected) {
        for ((metric, labels), value) in &expected.counters {
            self.has(metric, labels, *value);
        }
        for ((metric, labels), values) in &expected.values {
            self.has_histogram(metric, labels, values);
        }
        let counters = expected.counters.keys().map(|(metric, _)| *metric);
        for metric in counters.collect::<BTreeSet<_>>() {
            let known = |labels: &str| expected.counters.contains_key(&(metric, labels.to_owned()));
            let mut others = self.labelled(metric).filter(|(labels, _)| !known(labels));
            let unexpected = others.find(|(_, value)| *value != 0.0);
            assert_eq!(unexpected, None, "{metric}");
        }
        let histograms = expected.values.keys().map(|(metric, _)| *metric);
        for metric in histograms.collect::<BTreeSet<_>>() {
            let known = expected.values.keys().filter(|(of, _)| *of == metric);
            let there = self.labelled(&format!("{metric}_count")).count();
            assert_eq!(there, known.count(), "{metric}");
        }
    }

    fn labelled(&self, metric: &str) -> impl Iterator<Item = (&str, f64)> {
        let samples = self.0.iter().filter(move |((of, _), _)| of == metric);
        samples.map(|((_, labels), value)| (labels.as_str(), *value))
    }

    /// Sums are rounded once there, and once for each summand here.
    fn has(&self, metric: &str, labels: &str, expected: f64) {
        let sample = (metric.to_owned(), labels.to_owned());
        let found = self.0.get(&sample);
        let found = *found.unwrap_or_else(|| panic!("{sample:?} is not in {:#?}", self.0));
        let is_near = (found - expected).abs() <= 1e-9 * expected.abs();
        assert!(is_near, "{sample:?} is {found} instead of {expected}");
    }

    fn has_histogram(&self, metric: &str, labels: &str, values: &[f64]) {
        let count = |to: f64| values.iter().filter(|value| **value <= to).count() as f64;
        self.has(&format!("{metric}_count"), labels, count(f64::INFINITY));
        self.has(&format!("{metric}_sum"), labels, values.iter().sum());
        let mut ranges = 0;
        for (range, found) in self.labelled(&format!("{metric}_bucket")) {
            let (le, of) = range
                .strip_prefix("le=\"")
                .unwrap()
                .split_once('"')
                .unwrap();
            if of.trim_start_matches(',') == labels {
                let expected = count(le.parse().unwrap());
                assert_eq!(found, expected, "{metric} up to {le}, {labels}: {values:?}");
                ranges += 1;
            }
        }
        assert!(ranges > 10, "{metric} has {ranges} ranges");
    }
}
