//! How the segments of one capture differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};

use super::{
    Segment, Segments,
    reason::{Before, alone},
    tshark::Expected,
};

/// The segments that differ, by what differs.
#[derive(Default)]
pub(super) struct Differences {
    different: BTreeMap<u64, Difference>,
    explained: BTreeMap<&'static str, usize>,
}

/// What differs of one segment, and how the tracer and tshark have it.
struct Difference {
    fields: Vec<&'static str>,
    found: Option<Segment>,
    expected: Option<Segment>,
}

impl Differences {
    pub(super) fn between(found: &Segments, expected: &Expected) -> Self {
        let mut differences = Self::default();
        let mut before = Before::default();
        let frames: BTreeSet<u64> = found
            .keys()
            .chain(expected.segments.keys())
            .copied()
            .collect();
        for frame in frames {
            let (found, expected, remark) = (
                found.get(&frame),
                expected.segments.get(&frame),
                expected.remark(frame),
            );
            let fields = match (found, expected) {
                (Some(found), Some(expected)) => fields(found, expected),
                (None, _) => vec!["missing"],
                (_, None) => vec!["not in tshark"],
            };
            let reason = match expected {
                Some(expected) => before.explain((found, expected), remark, &fields),
                None => found.and_then(alone),
            };
            if let Some(reason) = reason {
                *differences.explained.entry(reason).or_default() += 1;
            } else if !fields.is_empty() {
                let difference = Difference {
                    fields,
                    found: found.cloned(),
                    expected: expected.cloned(),
                };
                differences.different.insert(frame, difference);
            }
        }
        differences
    }

    /// How many segments differ for a reason that is known.
    pub(super) const fn explained(&self) -> &BTreeMap<&'static str, usize> {
        &self.explained
    }

    /// How many segments differ in each field.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for difference in self.different.values() {
            for name in &difference.fields {
                *counts.entry(*name).or_default() += 1;
            }
        }
        counts
    }

    /// How many segments differ.
    pub(super) fn len(&self) -> usize {
        self.different.len()
    }

    /// Each segment that differs, as both programs have it.
    pub(super) fn details(&self, file: &Path) -> String {
        let mut text = String::new();
        for (frame, difference) in &self.different {
            let Difference {
                fields,
                found,
                expected,
            } = difference;
            let _ = writeln!(
                text,
                "{} frame {frame}: {}\n  tracer  {found:?}\n  tshark  {expected:?}",
                file.display(),
                fields.join(", ")
            );
        }
        text
    }
}

fn fields(found: &Segment, expected: &Segment) -> Vec<&'static str> {
    let same_window = match (found.window, expected.window) {
        (Some(found), Some(expected)) => found == expected,
        _ => true,
    };
    // Without a length, tshark has stopped in the middle of the header: the frame is cut there.
    let is_whole = expected.len.is_some();
    let comparisons = [
        ("stream", found.stream == expected.stream),
        ("direction", found.source_port == expected.source_port),
        ("flags", found.flags == expected.flags),
        ("seq", found.seq == expected.seq),
        ("ack", found.ack == expected.ack),
        ("len", found.len == expected.len || !is_whole),
        ("window", same_window),
        ("options", found.options == expected.options || !is_whole),
        ("analysis", found.analysis == expected.analysis || !is_whole),
    ];
    let differing = comparisons.into_iter().filter(|(_, is_same)| !is_same);
    differing.map(|(name, _)| name).collect()
}
