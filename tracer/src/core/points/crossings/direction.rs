//! What one end sent: which of it is under way, and what became of the rest.

use std::collections::VecDeque;

use upload_protocol::timeline::{LostAt, OneWayDelay, Passage};

use super::{Crossing, copy::Copy, held::Held};

/// Released segments that are remembered of each direction: they may arrive again.
const MAX_PAST: usize = 256;
/// Released segments that had not arrived. There are many only if too much was held.
const MAX_LATE: usize = 1 << 14;

/// What one end sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Direction {
    /// Numbers of those that did not arrive yet, or not whole.
    pub(super) under_way: VecDeque<u64>,
    /// Numbers of those that were not acknowledged yet.
    pub(super) unacknowledged: VecDeque<u64>,
    pub(super) past: VecDeque<Copy>,
    /// Segments that were released before they arrived, and when they were sent.
    late: VecDeque<(Copy, u64)>,
    /// When the latest of those was sent that arrived.
    latest_ns: u64,
    /// The latest delay and the greatest.
    pub(super) delay_ns: u64,
    pub(super) max_ns: u64,
    sum_ns: u128,
    /// The sequence number after the furthest that was sent.
    furthest: Option<u32>,
    /// Segments that are held and were sent before.
    pub(super) again: u64,
    /// Whether timestamps are the same at both points.
    pub(super) keeps_timestamps: bool,
    pub(super) passage: Passage,
}

impl Direction {
    /// Whether a segment was sent before.
    pub(super) fn is_again(&mut self, copy: &Copy) -> bool {
        if !copy.has_sequence() {
            return false;
        }
        let furthest = self
            .furthest
            .filter(|furthest| copy.begins_before(*furthest));
        if furthest.is_none_or(|furthest| !copy.ends_by(furthest)) {
            self.furthest = Some(copy.end());
        }
        self.again += u64::from(furthest.is_some());
        furthest.is_some()
    }

    pub(super) fn forget_under_way(&mut self, number: u64) {
        if self.under_way.front() == Some(&number) {
            self.under_way.pop_front();
        } else {
            self.under_way.retain(|under_way| *under_way != number);
        }
    }

    /// Records an arrival; 0 for one at the time of the departure.
    pub(super) fn record_delay(&mut self, sent_ns: u64, now_ns: u64) {
        let delay = now_ns.saturating_sub(sent_ns);
        self.passage.reordered += u64::from(sent_ns < self.latest_ns);
        self.latest_ns = self.latest_ns.max(sent_ns);
        self.delay_ns = delay;
        self.max_ns = self.max_ns.max(delay);
    }

    pub(super) fn count(&mut self, held: &Held, crossing: &Crossing) {
        self.again -= u64::from(held.is_again);
        let passage = &mut self.passage;
        if !held.is_near {
            passage.missing_at_sender += u64::from(crossing.missing_in.is_some());
            return;
        }
        passage.segments += 1;
        passage.missing_at_receiver += u64::from(crossing.missing_in.is_some());
        match crossing.lost {
            Some(LostAt::Between) => passage.lost_between += 1,
            Some(LostAt::Beyond) => passage.lost_beyond += 1,
            None => {}
        }
        let Some(delay) = crossing.one_way_delay_ns else {
            return;
        };
        self.count_arrival(delay);
    }

    fn count_arrival(&mut self, delay: u64) {
        let passage = &mut self.passage;
        passage.arrived += 1;
        self.sum_ns += u128::from(delay);
        let known = passage.one_way_delay.get_or_insert(OneWayDelay {
            min_ns: delay,
            mean_ns: delay,
            max_ns: delay,
        });
        known.min_ns = known.min_ns.min(delay);
        known.max_ns = known.max_ns.max(delay);
    }

    /// Remembers a segment that was released before it arrived: it may do so yet.
    pub(super) fn remember_late(&mut self, copy: Copy, sent_ns: u64) {
        if self.late.len() == MAX_LATE {
            self.late.pop_front();
        }
        self.late.push_back((copy, sent_ns));
    }

    /// Takes the arrival of a segment that was released before; false if there is no such segment.
    pub(super) fn arrive_late(&mut self, copy: &Copy, now_ns: u64) -> bool {
        let Some(at) = self.late.iter().position(|(late, _)| late.has(copy)) else {
            return false;
        };
        let Some((late, sent_ns)) = self.late.remove(at) else {
            return false;
        };
        self.record_delay(sent_ns, now_ns);
        self.count_arrival(now_ns.saturating_sub(sent_ns));
        self.remember(late);
        true
    }

    /// Remembers a segment that was released: it may arrive again.
    pub(super) fn remember(&mut self, copy: Copy) {
        if self.past.len() == MAX_PAST {
            self.past.pop_front();
        }
        self.past.push_back(copy);
    }

    /// Forgets the segments with lower numbers: they were released.
    pub(super) fn forget_before(&mut self, first: u64) {
        for numbers in [&mut self.under_way, &mut self.unacknowledged] {
            while numbers.front().is_some_and(|number| *number < first) {
                numbers.pop_front();
            }
        }
    }

    pub(super) fn passage(&self) -> Passage {
        let mean = self.sum_ns.checked_div(u128::from(self.passage.arrived));
        let mean = mean.and_then(|mean| u64::try_from(mean).ok());
        Passage {
            one_way_delay: self.passage.one_way_delay.map(|delay| OneWayDelay {
                mean_ns: mean.unwrap_or_default(),
                ..delay
            }),
            ..self.passage
        }
    }
}
