//! The state of one direction: when each packet leaves it, or that it does not.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
    segment::{Segment, Translation},
    way::Way,
};

/// How late a segment is that others overtake.
const OVERTAKEN: Duration = Duration::from_millis(5);

pub(crate) struct Line {
    way: Way,
    translation: Option<Translation>,
    first: Option<Instant>,
    /// When the rate allows the next packet.
    free: Instant,
    /// When the packet before arrives.
    latest: Instant,
    payloads: u64,
    acknowledgments: u64,
    losses: Losses,
}

/// The sequence numbers of segments with payload that were lost, in their order.
pub(crate) type Losses = Arc<Mutex<Vec<u32>>>;

impl Line {
    pub(crate) fn new(way: Way, translation: Option<Translation>) -> Self {
        let now = Instant::now();
        Self {
            way,
            translation,
            first: None,
            free: now,
            latest: now,
            payloads: 0,
            acknowledgments: 0,
            losses: Losses::default(),
        }
    }

    /// What it loses.
    pub(crate) fn losses(&self) -> Losses {
        Arc::clone(&self.losses)
    }

    /// When a packet arrives that comes now, with so many bytes waiting before it; `None` if it is lost.
    pub(crate) fn arrives(
        &mut self,
        now: Instant,
        packet: &mut [u8],
        waiting: usize,
    ) -> Option<Instant> {
        let segment = Segment::of(packet)?;
        if segment.has_payload {
            self.first.get_or_insert(now);
            self.payloads += 1;
        } else if !segment.is_syn {
            self.acknowledgments += 1;
        }
        let way = self.way;
        let is_too_much = way.queue > 0 && waiting + packet.len() > way.queue;
        let is_too_large = way.largest > 0 && packet.len() > way.largest;
        if self.is_lost(&segment, now) || is_too_much || is_too_large {
            if segment.has_payload
                && let Ok(mut losses) = self.losses.lock()
            {
                losses.push(segment.seq);
            }
            return None;
        }
        if way.unscaled && segment.is_syn {
            segment.remove_window_scale(packet);
        }
        if let Some(translation) = &self.translation {
            segment.translate(packet, translation);
        }
        let mut at = self.passes(now, packet.len()) + Duration::from_millis(way.delay_ms);
        if segment.has_payload && is_nth(self.payloads, way.reorder_every) {
            return Some(at + OVERTAKEN);
        }
        if way.jitter_ms > 0 {
            at += Duration::from_micros(fastrand::u64(..=way.jitter_ms * 1000));
        }
        self.latest = self.latest.max(at);
        Some(self.latest)
    }

    fn is_lost(&self, segment: &Segment, now: Instant) -> bool {
        let way = self.way;
        let has_payload = segment.has_payload;
        let is_acknowledgment = !has_payload && !segment.is_syn;
        if is_acknowledgment && is_nth(self.acknowledgments, way.lose_acks_every) {
            return true;
        }
        if has_payload && self.payloads == way.lose_nth {
            return true;
        }
        // The first of a burst is the segment with the number that is divided.
        let in_burst = way.lose_every > 0 && self.payloads >= way.lose_every;
        if has_payload && in_burst && self.payloads % way.lose_every < way.burst {
            return true;
        }
        self.first.is_some_and(|first| {
            let (begin, end) = way.blackout_ms;
            let since = now.duration_since(first);
            since >= Duration::from_millis(begin) && since < Duration::from_millis(end)
        })
    }

    /// When a packet has passed the slowest part of the way.
    fn passes(&mut self, now: Instant, length: usize) -> Instant {
        let way = self.way;
        let bits = u64::try_from(length * 8).unwrap_or(u64::MAX);
        let nanoseconds = bits.saturating_mul(1_000_000).checked_div(way.rate_kbit);
        self.free = self.free.max(now) + Duration::from_nanos(nanoseconds.unwrap_or(0));
        if let Some(first) = self.first {
            let (begin, end) = way.outage_ms;
            let (begin, end) = (Duration::from_millis(begin), Duration::from_millis(end));
            let since = self.free.duration_since(first);
            if since >= begin && since < end {
                self.free = first + end;
            }
        }
        self.free
    }
}

const fn is_nth(number: u64, every: u64) -> bool {
    every > 0 && number.is_multiple_of(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A packet of 1,000 bytes with payload.
    fn packet() -> Vec<u8> {
        let mut packet = vec![0; 1000];
        packet[0] = 0x45;
        packet[9] = 6;
        packet[32] = 5 << 4;
        packet
    }

    /// When so many packets arrive that all come at once, in milliseconds; `None` for those that are lost.
    fn arrivals(way: Way, count: usize) -> Vec<Option<u128>> {
        let (mut line, now) = (Line::new(way, None), Instant::now());
        (0..count)
            .map(|sent| {
                let at = line.arrives(now, &mut packet(), sent * 1000)?;
                Some(at.duration_since(now).as_millis())
            })
            .collect()
    }

    #[test]
    fn a_rate_and_a_delay_add_up() {
        let way = Way {
            delay_ms: 20,
            rate_kbit: 8000,
            ..Way::DIRECT
        };
        assert_eq!(arrivals(way, 3), [Some(21), Some(22), Some(23)]);
    }

    #[test]
    fn a_full_queue_takes_no_more() {
        let way = Way {
            queue: 2000,
            ..Way::DIRECT
        };
        assert_eq!(arrivals(way, 3), [Some(0), Some(0), None]);
    }

    #[test]
    fn losses_come_alone_or_in_bursts() {
        let lost = |way: Way, count| -> Vec<usize> {
            let arrivals = arrivals(way, count).into_iter().enumerate();
            let lost = arrivals.filter(|(_, at)| at.is_none());
            lost.map(|(number, _)| number + 1).collect()
        };
        let one = Way {
            lose_every: 4,
            ..Way::DIRECT
        };
        assert_eq!(lost(one, 9), [4, 8]);
        assert_eq!(lost(Way { burst: 2, ..one }, 9), [4, 5, 8, 9]);
        let third = Way {
            lose_nth: 3,
            ..Way::DIRECT
        };
        assert_eq!(lost(third, 9), [3]);
    }

    #[test]
    fn a_late_segment_is_overtaken_and_no_other_is() {
        let way = Way {
            reorder_every: 2,
            ..Way::DIRECT
        };
        assert_eq!(arrivals(way, 3), [Some(0), Some(5), Some(0)]);
        let jitter = Way {
            jitter_ms: 50,
            ..Way::DIRECT
        };
        assert!(arrivals(jitter, 50).is_sorted());
    }

    #[test]
    fn an_outage_delays_and_a_blackout_loses() {
        let outage = Way {
            outage_ms: (10, 50),
            ..Way::DIRECT
        };
        let (mut line, now) = (Line::new(outage, None), Instant::now());
        line.arrives(now, &mut packet(), 0);
        let at = line.arrives(now + 20 * MS, &mut packet(), 0).unwrap();
        assert_eq!(at.duration_since(now), 50 * MS);
        let blackout = Way {
            blackout_ms: (10, 50),
            ..Way::DIRECT
        };
        let mut line = Line::new(blackout, None);
        assert!(line.arrives(now, &mut packet(), 0).is_some());
        assert!(line.arrives(now + 20 * MS, &mut packet(), 0).is_none());
        assert!(line.arrives(now + 60 * MS, &mut packet(), 0).is_some());
    }
}
