//! What the pipeline counts besides its outputs.

use super::Pipeline;
use crate::core::event::{EventKind, RecordKind};

/// Counts up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that are open, or ended and not emitted yet.
    pub open: u64,
    /// Decoded records, in the order of [`RecordKind::ALL`].
    pub records: [u64; RecordKind::COUNT],
}

impl Counts {
    pub(super) const fn add_record(&mut self, event: &EventKind<'_>) {
        self.records[event.record_kind() as usize] += 1;
    }
}

impl Pipeline {
    /// What there is to count now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            open: self.table.len() as u64,
            ..self.totals.counts
        }
    }
}
