//! Compares a segment with those before it, as Wireshark's analysis does (User's Guide, "TCP
//! Analysis"), with one difference: a segment seen leaving its socket with old numbers is certainly a
//! retransmission, never out of order.

use upload_protocol::{Flags, segment::Analysis};

use super::in_flight::Observed;
use crate::core::segment::Segment;

/// How far one end's stream has advanced.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Progress {
    /// The sequence number after the highest seen, and when that was seen.
    next: Option<u32>,
    next_ns: u64,
    /// How far before `next` the first number is that is missing; 0 if none is.
    missing_before_next: u32,
    /// The acknowledgment and window that it sent last.
    last_ack: Option<Acknowledged>,
    /// How often it repeated that acknowledgment.
    duplicates: Duplicates,
    /// Whether its last segment asked for an answer.
    asked: Option<Question>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Acknowledged {
    mono_ns: u64,
    ack: u32,
    /// As the header has it.
    window: u16,
    /// What scales it; `None` if that is unknown.
    shift: Option<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Duplicates {
    #[default]
    None,
    One,
    Several,
    /// An acknowledgment of unseen bytes was remarked: do not repeat that.
    Unseen,
}

/// What a segment without news asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    KeepAlive,
    ZeroWindowProbe,
}

/// A retransmission within this time after duplicate acknowledgments is a fast one.
const FAST_NS: u64 = 20_000_000;
/// How late a reordered segment may arrive, if the handshake's round-trip time is unknown.
const REORDERED_NS: u64 = 3_000_000;

impl Progress {
    /// Analyses a segment, and advances past it. `shift` scales its window; `None` if that is unknown.
    pub(super) fn analyse(
        &mut self,
        seen: &Observed,
        shift: Option<u8>,
        peer: &mut Self,
        first_rtt_ns: Option<u64>,
    ) -> Vec<Analysis> {
        let segment = &seen.segment;
        let mut remarks = Vec::new();
        if is_plain(segment) && self.is_zero_window_probe(segment, peer) {
            remarks.push(Analysis::ZeroWindowProbe);
        } else {
            self.compare_numbers(segment, peer, &mut remarks);
            self.compare_acknowledgment(segment, peer, &mut remarks);
        }
        if remarks.contains(&Analysis::DuplicateAck) {
            self.duplicates = self.duplicates.and_one_more();
        } else if segment.flags.has(Flags::ACK)
            && self.last_ack.is_none_or(|known| known.ack != segment.ack)
        {
            self.duplicates = Duplicates::None;
        }
        if segment.flags.has(Flags::ACK) && peer.is_unseen(segment.ack) {
            remarks.push(Analysis::AckedUnseenSegment);
        }
        let is_keep_alive = remarks.contains(&Analysis::KeepAlive);
        if segment.sequence_length() > 0 && !is_keep_alive {
            remarks.extend(self.name_repetition(seen, peer, first_rtt_ns));
        }
        self.advance(seen, shift, &remarks);
        remarks
    }

    /// Sequence numbers and windows.
    fn compare_numbers(&self, segment: &Segment, peer: &Self, remarks: &mut Vec<Analysis>) {
        let is_plain = is_plain(segment);
        if segment.window == 0 && is_plain {
            remarks.push(Analysis::ZeroWindow);
        }
        if let Some(next) = self.next {
            if is_after(segment.seq, next) && !segment.flags.has(Flags::RST) {
                remarks.push(Analysis::PreviousSegmentNotSeen);
            }
            let is_before = segment.seq.wrapping_add(1) == next;
            if is_before && segment.len <= 1 && is_plain {
                remarks.push(Analysis::KeepAlive);
            }
        }
        let end = segment.seq.wrapping_add(segment.len);
        let edge = peer.last_ack.and_then(Acknowledged::edge);
        if is_plain && segment.len > 0 && edge == Some(end) {
            remarks.push(Analysis::WindowFull);
        }
    }

    /// A segment that brings nothing but an acknowledgment that was sent before.
    fn compare_acknowledgment(&self, segment: &Segment, peer: &Self, remarks: &mut Vec<Analysis>) {
        let Some(known) = self.last_ack.filter(|known| known.ack == segment.ack) else {
            return;
        };
        if segment.len > 0 || !is_plain(segment) || self.next != Some(segment.seq) {
            return;
        }
        remarks.extend(match (segment.window == known.window, segment.window) {
            (false, 0) => None,
            (false, _) => Some(Analysis::WindowUpdate),
            (true, 0) if peer.asked == Some(Question::ZeroWindowProbe) => {
                Some(Analysis::ZeroWindowProbeAck)
            }
            (true, 0) => None,
            (true, _) if peer.asked == Some(Question::KeepAlive) => Some(Analysis::KeepAliveAck),
            (true, _) => Some(Analysis::DuplicateAck),
        });
    }

    fn is_zero_window_probe(&self, segment: &Segment, peer: &Self) -> bool {
        segment.len == 1
            && self.next == Some(segment.seq)
            && peer.last_ack.is_some_and(|known| known.window == 0)
    }

    /// Whether the peer acknowledges bytes of this end that were not seen; once for the same bytes.
    fn is_unseen(&mut self, ack: u32) -> bool {
        let Some(next) = self.next else {
            return false;
        };
        if !is_after(ack, next.wrapping_sub(self.missing_before_next)) {
            return false;
        }
        if self.missing_before_next > 0 {
            self.missing_before_next = 0;
            return true;
        }
        let is_first = self.duplicates == Duplicates::None;
        self.duplicates = Duplicates::Unseen;
        is_first
    }

    /// What a segment is whose sequence numbers were sent before.
    fn name_repetition(
        &self,
        seen: &Observed,
        peer: &Self,
        first_rtt_ns: Option<u64>,
    ) -> Option<Analysis> {
        let segment = &seen.segment;
        let acknowledged = peer.last_ack;
        let is_acknowledged = |known: Acknowledged| {
            let end = segment.seq.wrapping_add(segment.len);
            end == known.ack || is_after(known.ack, end)
        };
        // Also where a capture has nothing else of this end.
        if segment.len > 0 && acknowledged.is_some_and(is_acknowledged) {
            return Some(Analysis::SpuriousRetransmission);
        }
        let next = self.next?;
        let end = segment.seq.wrapping_add(segment.sequence_length());
        let ahead = segment.seq.wrapping_sub(next).cast_signed();
        // One byte of a longer segment may have been a probe.
        if ahead >= 0 || ahead == -1 && segment.len > 1 {
            return None;
        }
        let asked_for = |known: Acknowledged| {
            known.ack == segment.seq && seen.mono_ns().saturating_sub(known.mono_ns) < FAST_NS
        };
        if peer.duplicates.are_many() && acknowledged.is_some_and(asked_for) {
            return Some(Analysis::FastRetransmission);
        }
        let since_next = seen.mono_ns().saturating_sub(self.next_ns);
        // Two times that are the same measure nothing.
        let first_rtt_ns = first_rtt_ns.filter(|rtt_ns| *rtt_ns > 0);
        let is_soon = since_next < first_rtt_ns.unwrap_or(REORDERED_NS);
        // What ends where the stream ends was sent last: nothing overtook it.
        if !segment.leaving && is_soon && end != next {
            return Some(Analysis::OutOfOrder);
        }
        Some(Analysis::Retransmission)
    }

    fn advance(&mut self, seen: &Observed, shift: Option<u8>, remarks: &[Analysis]) {
        let segment = &seen.segment;
        let end = segment.seq.wrapping_add(segment.sequence_length());
        let is_probe = remarks.contains(&Analysis::ZeroWindowProbe);
        if !is_probe {
            let before = self.next.unwrap_or(segment.seq);
            let missing = before.wrapping_sub(self.missing_before_next);
            let next = if is_after(end, before) { end } else { before };
            if next != before || self.next.is_none() {
                self.next = Some(next);
                self.next_ns = seen.mono_ns();
            }
            // A segment that begins at the first missing number fills what is known to be missing.
            self.missing_before_next = if segment.seq == missing {
                0
            } else {
                next.wrapping_sub(missing)
            };
        }
        if segment.flags.has(Flags::ACK) {
            self.last_ack = Some(Acknowledged {
                mono_ns: seen.mono_ns(),
                ack: segment.ack,
                window: segment.window,
                shift,
            });
        }
        self.asked = if is_probe {
            Some(Question::ZeroWindowProbe)
        } else {
            Some(Question::KeepAlive).filter(|_| remarks.contains(&Analysis::KeepAlive))
        };
    }
}

impl Acknowledged {
    /// The sequence number after the last that its peer may send.
    fn edge(self) -> Option<u32> {
        let window = u32::from(self.window) << self.shift?;
        Some(self.ack.wrapping_add(window))
    }
}

impl Duplicates {
    const fn and_one_more(self) -> Self {
        match self {
            Self::None | Self::Unseen => Self::One,
            Self::One | Self::Several => Self::Several,
        }
    }

    /// Whether what is sent again answers them. Of an end that lacks bytes, duplicates may be among these.
    const fn are_many(self) -> bool {
        matches!(self, Self::Several | Self::Unseen)
    }
}

/// A segment that neither opens nor closes the connection.
fn is_plain(segment: &Segment) -> bool {
    ![Flags::SYN, Flags::FIN, Flags::RST]
        .into_iter()
        .any(|flag| segment.flags.has(flag))
}

/// Whether a sequence number comes after another, modulo 2^32. Of two that are 2^31 apart, each comes after the
/// other, as in Wireshark.
const fn is_after(number: u32, other: u32) -> bool {
    other.wrapping_sub(number).cast_signed() < 0
}

#[cfg(test)]
mod tests;
