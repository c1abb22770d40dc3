//! Marks the connections that a loss or a suspend affects.

use crate::core::connection::Connection;

use super::{ConnectionTable, Key, pairing::Pair, pending_handshakes::STALE_NS};

impl ConnectionTable {
    /// Counts `count` lost records against every connection in the table: any of them may have lost
    /// them. `at_most`: there may have been fewer. Noticed at `now_ns`.
    pub fn record_loss(&mut self, count: u64, at_most: bool, now_ns: u64) {
        self.lost_ns = Some(now_ns);
        for connection in self.connections.values_mut() {
            connection.record_loss(count, at_most);
        }
    }

    /// Counts up to `count` lost reports against the connections that they may have been about.
    pub fn record_loss_of(&mut self, count: u64, may_concern: impl Fn(&Connection) -> bool) {
        for connection in self.connections.values_mut() {
            if may_concern(connection) {
                connection.record_loss(count, true);
            }
        }
    }

    /// Takes the number of handshake segments dropped since the last call.
    pub fn take_dropped_segments(&mut self) -> u64 {
        self.pending.take_dropped()
    }

    /// A connection from another machine began with a SYN to the listener. If that SYN is missing
    /// shortly after a loss, it was probably lost: count it.
    pub(super) fn record_lost_syn(&mut self, key: Key, pair: &Pair) {
        let lost_ns = self.lost_ns.max(self.pending.dropped_ns());
        let is_recent = lost_ns.is_some_and(|at| self.now_ns.saturating_sub(at) < STALE_NS);
        if is_recent
            && !self.pending.has_syn(pair.client, pair.server)
            && let Some(connection) = self.connections.get_mut(&key)
        {
            connection.record_loss(1, true);
        }
    }

    pub fn record_suspend(&mut self) {
        for connection in self.connections.values_mut() {
            connection.suspended = true;
        }
    }
}
