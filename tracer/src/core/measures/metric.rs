//! A metric as exporters read it: OpenTelemetry's data model, with names as its semantic conventions make them.

use smallvec::SmallVec;

use super::Histogram;

/// One metric with its present points.
#[derive(Clone, Debug)]
pub struct Metric<'a> {
    /// Its name, such as `tracer.connect.duration`.
    pub name: &'static str,
    /// What it is, without a full stop.
    pub help: &'static str,
    /// The unit of its values.
    pub unit: Unit,
    pub points: Points<'a>,
}

/// A key and a value, both of which this program chose.
pub type Label = (&'static str, &'static str);

/// The labels of a point.
pub type Labels = SmallVec<[Label; 2]>;

/// The points of a metric: one for each set of labels, cumulative since the start.
#[derive(Clone, Debug)]
pub enum Points<'a> {
    /// Sums that only grow.
    Counters(Vec<(Labels, u64)>),
    /// A present value.
    Gauges(Vec<(Labels, u64)>),
    Histograms(Vec<(Labels, &'a Histogram)>),
}

/// What values are kept in, and exported in. They are kept as integers, so that sums are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Kept in nanoseconds.
    Seconds,
    Bytes,
    BytesPerSecond,
    /// A number of things: their name in braces, as UCUM writes annotations.
    Count(&'static str),
}

impl Points<'_> {
    /// One value without a label.
    pub(super) fn gauge(value: u64) -> Self {
        Self::Gauges(vec![(Labels::new(), value)])
    }
}

impl Unit {
    /// As the semantic conventions write it (UCUM).
    #[must_use]
    pub const fn ucum(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Bytes => "By",
            Self::BytesPerSecond => "By/s",
            Self::Count(annotation) => annotation,
        }
    }

    /// A value that is kept, in this unit. Exporters have floating-point numbers: of large ones, 53 bits stay.
    #[must_use]
    pub const fn export(self, kept: u128) -> f64 {
        match self {
            Self::Seconds => kept as f64 / 1e9,
            Self::Bytes | Self::BytesPerSecond | Self::Count(_) => kept as f64,
        }
    }
}
