//! What became of a segment: it arrived, it was lost between the points or beyond the second, or a capture lacks
//! it.

use upload_protocol::timeline::LostAt;

use super::{Crossing, Crossings, EARLY_NS, held::Held};

/// How long a segment is held at most.
const PATIENCE_NS: u64 = 10_000_000_000;
/// How late a segment is taken for lost at the earliest.
const LATE_NS: u64 = 200_000_000;
/// … and how many times the greatest delay before it.
const LATE_TIMES: u64 = 4;

impl Crossings {
    /// Whether all is known of a segment that can be.
    pub(super) fn is_over(&self, held: &Held, now_ns: u64) -> bool {
        let sent_ns = held.segment.mono_ns;
        if !held.is_near {
            return sent_ns.saturating_add(EARLY_NS) <= now_ns;
        }
        let is_decided = held.has_arrived() || self.is_late(held, now_ns);
        let is_answered = !held.copy.has_sequence() || held.acknowledged_ns.is_some();
        is_decided && is_answered || sent_ns.saturating_add(PATIENCE_NS) <= now_ns
    }

    /// Whether a segment would have arrived by now.
    fn is_late(&self, held: &Held, now_ns: u64) -> bool {
        let greatest = self.direction(held.from).max_ns;
        let late = LATE_NS
            .max(greatest.saturating_mul(LATE_TIMES))
            .min(PATIENCE_NS);
        held.segment.mono_ns.saturating_add(late) <= now_ns
    }

    pub(super) fn judge(&self, held: &Held, now_ns: u64) -> Crossing {
        let mut crossing = Crossing {
            point: held.point,
            ..Crossing::default()
        };
        let sent_ns = held.segment.mono_ns;
        let other = 1 - held.point;
        let (begin, end) = self.spans[other];
        if !held.is_near {
            let was_watched = sent_ns > begin && sent_ns <= end;
            crossing.missing_in = was_watched.then_some(other);
            return crossing;
        }
        if held.has_arrived() {
            crossing.one_way_delay_ns = held.delay_ns();
            if self.was_lost_beyond(held) {
                crossing.lost = Some(LostAt::Beyond);
                crossing.lost_bytes = Some((0, held.segment.len));
            }
            return crossing;
        }
        let greatest = self.direction(held.from).max_ns;
        let was_watched = sent_ns >= begin && sent_ns.saturating_add(greatest) <= end;
        if !was_watched || !self.is_late(held, now_ns) && held.acknowledged_ns.is_none() {
            return crossing;
        }
        let is_acknowledged = held.acknowledged_ns.is_some();
        if is_acknowledged && !self.came_otherwise(held) {
            crossing.missing_in = Some(other);
        } else {
            crossing.lost = Some(LostAt::Between);
            crossing.lost_bytes = held.missing();
        }
        crossing
    }

    /// Whether another copy of what did not arrive of a segment did.
    fn came_otherwise(&self, held: &Held) -> bool {
        let missing = held.missing_copy();
        let others = self.held.iter().filter(|other| other.from == held.from);
        let mut arrived = others.filter(|other| other.has_begun_to_arrive() || !other.is_near);
        let mut past = self.direction(held.from).past.iter();
        arrived.any(|other| other.copy.overlaps(&missing))
            || past.any(|known| known.overlaps(&missing))
    }

    /// Whether a segment that passed both points was lost after that: its copy arrived before anything of it
    /// was acknowledged, and the receiver did not say that it had it twice.
    fn was_lost_beyond(&self, held: &Held) -> bool {
        let Some(acknowledged_ns) = held.acknowledged_ns else {
            return false;
        };
        let may_be = held.copy.has_sequence() && !held.came_twice;
        may_be
            && self.direction(held.from).again > 0
            && self.held.iter().any(|other| {
                other.from == held.from
                    && other.is_near
                    && !other.came_twice
                    && other.copy.overlaps(&held.copy)
                    && other
                        .arrived_ns
                        .is_some_and(|arrived_ns| arrived_ns <= acknowledged_ns)
            })
    }
}
