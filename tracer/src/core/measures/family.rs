//! One value for each set of labels.

use super::{Histogram, Labels, Points, metric::Label};

/// Few sets of labels: they are searched one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Family<T>(Vec<(Labels, T)>);

impl<T> Family<T> {
    fn find(&mut self, labels: &[Label], new: impl FnOnce() -> T) -> &mut T {
        let place = self.0.iter().position(|(known, _)| **known == *labels);
        let place = place.unwrap_or_else(|| {
            self.0.push((Labels::from_slice(labels), new()));
            self.0.len() - 1
        });
        let (_, value) = &mut self.0[place];
        value
    }
}

impl Family<u64> {
    /// Counters that are there from the start.
    pub(super) fn beginning_at_0<const N: usize>(
        labels: impl IntoIterator<Item = [Label; N]>,
    ) -> Self {
        let labels = labels.into_iter();
        Self(
            labels
                .map(|labels| (Labels::from_slice(&labels), 0))
                .collect(),
        )
    }

    pub(super) fn of<const N: usize>(&mut self, labels: [Label; N]) -> &mut u64 {
        self.find(&labels, || 0)
    }

    pub(super) fn counters(&self) -> Points<'static> {
        Points::Counters(self.0.clone())
    }
}

/// Histograms with the same bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Histograms {
    bounds: &'static [u64],
    family: Family<Histogram>,
}

impl Histograms {
    pub(super) const fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            family: Family(Vec::new()),
        }
    }

    pub(super) fn observe(&mut self, labels: &[Label], value: u64) {
        let bounds = self.bounds;
        let histogram = self.family.find(labels, || Histogram::new(bounds));
        histogram.observe(value);
    }

    pub(super) fn points(&self) -> Points<'_> {
        let points = self.family.0.iter();
        let points = points.map(|(labels, histogram)| (labels.clone(), histogram));
        Points::Histograms(points.collect())
    }
}
