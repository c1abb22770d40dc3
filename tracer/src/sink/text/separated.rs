//! Writes a separator between items of which some may be missing.

use super::chart::put;

pub(super) struct Separated {
    by: &'static str,
    is_first: bool,
}

impl Separated {
    pub(super) const fn by(separator: &'static str) -> Self {
        Self {
            by: separator,
            is_first: true,
        }
    }

    /// Call this before writing each item.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.is_first) {
            put(out, self.by);
        }
    }
}
