//! The course of one end's payload, from segments alone: every one is seen. Its numbers are Wireshark's.

use std::collections::VecDeque;

use super::thinned::{Point, Room, Spacing, Thinned};
use crate::core::{dialogue::Flowing, payload::nearest};

/// Segments whose acknowledgment is awaited, to measure a round trip.
const MAX_TIMED: usize = 1024;

/// How the payload of one end goes.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentCourse {
    /// The first number that was sent, and the one after the last; `None` before the first segment.
    sent: Option<(u64, u64)>,
    acked: u64,
    /// The least number that was sent again after it was acknowledged, since the latest acknowledgment.
    resent: Option<u64>,
    /// How many numbers the latest acknowledgment selects.
    selected: u32,
    window: Option<u32>,
    rtt_ns: Option<u64>,
    retransmits: u32,
    /// The number after each segment that was sent once, and when that was.
    timed: VecDeque<(u64, u64)>,
    points: Thinned<SegmentPoint>,
}

/// The state of the payload after a segment has passed. Numbers are relative, and do not wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPoint {
    pub mono_ns: u64,
    /// The number after the last that was sent.
    pub sent: u64,
    pub acked: u64,
    pub in_flight: u32,
    /// The receiver's latest, in bytes.
    pub window: Option<u32>,
    /// The latest round trip.
    pub rtt_ns: Option<u64>,
    pub retransmits: u32,
}

impl Point for SegmentPoint {
    fn in_flight(&self) -> u32 {
        self.in_flight
    }
}

impl SegmentCourse {
    pub(super) const fn new() -> Self {
        Self {
            sent: None,
            acked: 0,
            resent: None,
            selected: 0,
            window: None,
            rtt_ns: None,
            retransmits: 0,
            timed: VecDeque::new(),
            points: Thinned::new(Spacing::Even),
        }
    }

    /// The end sends a segment.
    pub(super) fn sends(&mut self, segment: &Flowing, room: &mut Room) {
        if segment.length == 0 {
            return;
        }
        let about = self.sent.map_or(self.acked, |(_, next)| next);
        let seq = nearest(about, segment.seq);
        let end = seq.saturating_add(segment.length.into());
        let (first, next) = self.sent.unwrap_or((seq, seq));
        if self.sent.is_none() {
            self.acked = self.acked.max(seq);
        }
        self.sent = Some((first, next.max(end)));
        if end > next {
            if self.timed.len() < MAX_TIMED {
                self.timed.push_back((end, segment.mono_ns));
            }
        } else {
            // Which of the two an acknowledgment answers is not known (Karn's algorithm, RFC 6298).
            self.timed
                .retain(|(timed, _)| *timed <= seq || *timed > end);
            self.retransmits = self.retransmits.saturating_add(u32::from(segment.is_again));
        }
        if seq < self.acked {
            self.resent = Some(self.resent.map_or(seq, |before| before.min(seq)));
        }
        if !segment.is_syn {
            self.add_point(segment.mono_ns, room);
        }
    }

    /// Its peer sends one, which acknowledges.
    pub(super) fn acknowledged(&mut self, segment: &Flowing, room: &mut Room) {
        let Some(ack) = segment.ack.map(|ack| nearest(self.acked, ack)) else {
            return;
        };
        if ack < self.acked {
            return;
        }
        let before = (self.acked, self.window, self.selected);
        self.acked = ack;
        self.window = Some(segment.window);
        self.selected = segment.selected;
        self.resent = None;
        if let Some((_, next)) = &mut self.sent {
            *next = ack.max(*next);
        }
        while let Some((end, sent_ns)) = self.timed.front().copied().filter(|(end, _)| *end <= ack)
        {
            self.timed.pop_front();
            if end == ack {
                self.rtt_ns = Some(segment.mono_ns.saturating_sub(sent_ns));
            }
        }
        if before != (self.acked, self.window, self.selected) {
            self.add_point(segment.mono_ns, room);
        }
    }

    /// How many sequence numbers were sent.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.sent
            .map_or(0, |(first, next)| next.saturating_sub(first))
    }

    #[must_use]
    pub const fn points(&self) -> &Thinned<SegmentPoint> {
        &self.points
    }

    fn add_point(&mut self, mono_ns: u64, room: &mut Room) {
        let Some((_, next)) = self.sent else {
            return;
        };
        let from = self.resent.unwrap_or(self.acked).min(self.acked);
        let in_flight = next
            .saturating_sub(from)
            .saturating_sub(self.selected.into());
        let point = SegmentPoint {
            mono_ns,
            sent: next,
            acked: self.acked,
            in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
            window: self.window,
            rtt_ns: self.rtt_ns,
            retransmits: self.retransmits,
        };
        self.points.push(point, room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(mono_ns: u64, seq: u32, length: u32) -> Flowing {
        Flowing {
            mono_ns,
            seq,
            length,
            ..Flowing::default()
        }
    }

    fn ack(mono_ns: u64, ack: u32, selected: u32) -> Flowing {
        Flowing {
            mono_ns,
            ack: Some(ack),
            window: 1000,
            selected,
            ..Flowing::default()
        }
    }

    /// The state after each segment: sent, acknowledged, in flight, round trip.
    fn course(segments: &[Flowing]) -> Vec<(u64, u64, u32, Option<u64>)> {
        let mut room = Room::new(1 << 20);
        let mut course = SegmentCourse::new();
        for segment in segments {
            if segment.ack.is_some() {
                course.acknowledged(segment, &mut room);
            } else {
                course.sends(segment, &mut room);
            }
        }
        let points = course.points().points();
        points
            .map(|point| (point.sent, point.acked, point.in_flight, point.rtt_ns))
            .collect()
    }

    #[test]
    fn as_wireshark_counts() {
        let found = course(&[
            ack(0, 1, 0),
            segment(10, 1, 100),
            segment(11, 101, 100),
            ack(30, 201, 0),
            segment(31, 201, 100),
            segment(32, 301, 100),
            // The first of the two is missing.
            ack(50, 201, 100),
            segment(51, 401, 100),
            segment(52, 201, 100),
            ack(70, 501, 0),
        ]);
        let expected = [
            (101, 1, 100, None),
            (201, 1, 200, None),
            (201, 201, 0, Some(19)),
            (301, 201, 100, Some(19)),
            (401, 201, 200, Some(19)),
            (401, 201, 100, Some(19)),
            (501, 201, 200, Some(19)),
            (501, 201, 200, Some(19)),
            (501, 501, 0, Some(19)),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_sent_again_for_nothing_is_in_flight_again() {
        let found = course(&[
            ack(0, 1, 0),
            segment(10, 1, 100),
            ack(20, 101, 0),
            segment(30, 1, 100),
        ]);
        assert_eq!(found.last(), Some(&(101, 101, 100, Some(10))));
    }

    #[test]
    fn numbers_do_not_wrap() {
        let low = |seq: u64| u32::try_from(seq & u64::from(u32::MAX)).unwrap();
        let mut all = vec![ack(0, 1, 0)];
        for number in 0..6_u64 {
            let seq = 1 + number * (1 << 30);
            all.push(segment(number, low(seq), 1 << 30));
            all.push(ack(number, low(seq + (1 << 30)), 0));
        }
        let last = course(&all).pop().unwrap();
        assert_eq!((last.0, last.1, last.2), (1 + (6 << 30), 1 + (6 << 30), 0));
    }
}
