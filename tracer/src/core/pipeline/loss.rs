//! Reports losses: at which hop, how many, when; and marks the affected connections.

use upload_protocol::line::{Hop, LostLine};

use super::Pipeline;
use crate::core::{input::Tick, output::Output};

impl Pipeline {
    pub(super) fn report_lost(&mut self, before: Tick, out: &mut Vec<Output>) {
        let now = self.tick;
        let counts = [
            (Hop::Ring, now.lost_ring.saturating_sub(before.lost_ring)),
            (
                Hop::Sockets,
                now.lost_sockets.saturating_sub(before.lost_sockets),
            ),
            (
                Hop::Recursion,
                now.lost_recursion.saturating_sub(before.lost_recursion),
            ),
            (Hop::Decode, std::mem::take(&mut self.malformed)),
        ];
        for (hop, count) in counts {
            if count > 0 {
                self.table.record_loss(count, hop.is_at_most(), now.mono_ns);
                self.emit_loss(hop, count, before, out);
            }
        }
        let missed = self.correlator.take_missed();
        if missed > 0 {
            let correlator = &self.correlator;
            self.table
                .record_loss_of(missed, |connection| correlator.serves(connection));
            self.emit_loss(Hop::Feed, missed, before, out);
        }
        // The evicted connections are marked already.
        let dropped = std::mem::take(&mut self.dropped);
        self.emit_loss(Hop::Table, dropped, before, out);
        let dropped_segments = self.table.take_dropped_segments();
        self.emit_loss(Hop::Handshakes, dropped_segments, before, out);
    }

    fn emit_loss(&mut self, hop: Hop, count: u64, before: Tick, out: &mut Vec<Output>) {
        if count == 0 {
            return;
        }
        self.totals.lost = self.totals.lost.saturating_add(count);
        self.totals.lost_at_most |= hop.is_at_most();
        out.push(Output::Lost(LostLine {
            at: self.host.clock.moment(self.tick.mono_ns),
            count,
            at_most: hop.is_at_most(),
            hop,
            from_ns: before.counted_ns,
            to_ns: self.tick.counted_ns,
        }));
    }
}
