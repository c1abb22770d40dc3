//! Which connections a loss touches, or a suspend.

use super::{ConnectionTable, Key, pairing::Pair, pending_handshakes::STALE_NS};

impl ConnectionTable {
    /// Counts `count` lost records against every connection in the table; `at_most` where it may
    /// have been fewer. It was noticed at `now_ns`.
    pub fn record_loss(&mut self, count: u64, at_most: bool, now_ns: u64) {
        self.lost_ns = Some(now_ns);
        for connection in self.connections.values_mut() {
            connection.record_loss(count, at_most);
        }
    }

    /// How many segments of handshakes were dropped since this was asked last.
    pub fn take_dropped_segments(&mut self) -> u64 {
        self.pending.take_dropped()
    }

    /// Of a client elsewhere a SYN came, to the listener: where it is not known, and something was
    /// lost not long ago, it is among that.
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

    /// The machine was suspended.
    pub fn record_suspend(&mut self) {
        for connection in self.connections.values_mut() {
            connection.suspended = true;
        }
    }
}
