//! Connections that leave the table before their end.

use super::Pipeline;
use crate::core::{connection::Unfinished, input::Present, output::Output};

/// A full table drops one connection in this many at once: finding the idlest takes a scan of all.
const DROP_ONE_IN: usize = 16;

impl Pipeline {
    /// Drops the connections that were idle for longest if there are too many.
    pub(super) fn make_room(&mut self, out: &mut Vec<Output>) {
        let Some(room) = self.room else { return };
        let excess = self.table.len().saturating_sub(room);
        if excess == 0 {
            return;
        }
        for key in self.table.idlest(excess + room / DROP_ONE_IN) {
            if self.closed.remove(&key).is_none() {
                self.table.leave_unfinished(key, Unfinished::Evicted);
                self.dropped += 1;
            }
            self.emit(key, out);
        }
    }

    /// Emits the connections whose CLOSE was lost.
    pub(super) fn emit_gone(&mut self, present: &Present, out: &mut Vec<Output>) {
        for key in self.table.absent(present) {
            if !self.closed.contains_key(&key) {
                self.table.leave_unfinished(key, Unfinished::Gone);
                self.emit(key, out);
            }
        }
    }
}
