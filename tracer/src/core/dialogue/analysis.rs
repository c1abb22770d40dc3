//! Compares a segment with those before it, as Wireshark's analysis does (User's Guide, "TCP
//! Analysis"), with one difference: a segment seen leaving its socket with old numbers is certainly a
//! retransmission, never out of order.

use std::num::NonZeroU16;

use upload_protocol::{Flags, segment::Analysis};

use super::in_flight::Observed;
use crate::core::segment::Segment;

/// How far one end's stream has advanced.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Progress {
    /// The sequence number after the highest seen, and when that was seen.
    next: Option<u32>,
    next_ns: u64,
    /// The last acknowledgment and window it sent.
    last_ack: Option<Acknowledged>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Acknowledged {
    mono_ns: u64,
    ack: u32,
    window: u16,
    /// How often it was sent in a row.
    times: NonZeroU16,
}

/// A retransmission within this time after duplicate acknowledgments is a fast one.
const FAST_NS: u64 = 20_000_000;
/// How late a reordered segment may arrive, if the handshake's round-trip time is unknown.
const REORDERED_NS: u64 = 3_000_000;

impl Progress {
    /// Analyses a segment, and advances past it.
    pub(super) fn analyse(
        &mut self,
        seen: &Observed,
        peer: &Self,
        first_rtt_ns: Option<u64>,
    ) -> Vec<Analysis> {
        let segment = &seen.segment;
        let plain = ![Flags::SYN, Flags::FIN, Flags::RST]
            .into_iter()
            .any(|flag| segment.flags.has(flag));
        let mut remarks = Vec::new();
        if let Some(next) = self.next {
            let ahead = segment.seq.wrapping_sub(next).cast_signed();
            if plain && segment.len <= 1 && ahead == -1 {
                remarks.push(Analysis::KeepAlive);
            } else if segment.sequence_length() > 0 && ahead < 0 {
                let since_next = seen.mono_ns().saturating_sub(self.next_ns);
                let reordered_ns = first_rtt_ns.unwrap_or(REORDERED_NS);
                let ends_at_next = segment.seq.wrapping_add(segment.sequence_length()) == next;
                let may_be_reordered =
                    !segment.leaving && since_next < reordered_ns && !ends_at_next;
                remarks.push(peer.name_repetition(seen, may_be_reordered));
            } else if ahead > 0 && !segment.flags.has(Flags::RST) {
                remarks.push(Analysis::PreviousSegmentNotSeen);
            }
        }
        if segment.window == 0 && plain {
            remarks.push(Analysis::ZeroWindow);
        }
        let is_pure_ack = plain && segment.len == 0 && segment.flags.has(Flags::ACK);
        let is_duplicate = is_pure_ack && remarks.is_empty() && self.repeats_ack(segment);
        if is_duplicate {
            remarks.push(Analysis::DuplicateAck);
        }
        self.advance(seen, is_duplicate);
        remarks
    }

    /// Classifies a segment from the peer whose numbers were sent before; `self` is the receiver.
    fn name_repetition(&self, seen: &Observed, may_be_reordered: bool) -> Analysis {
        let segment = &seen.segment;
        let end = segment.seq.wrapping_add(segment.sequence_length());
        match self.last_ack {
            Some(known) if known.ack.wrapping_sub(end).cast_signed() >= 0 => {
                Analysis::SpuriousRetransmission
            }
            Some(known)
                if known.times.get() > 2
                    && known.ack == segment.seq
                    && seen.mono_ns().saturating_sub(known.mono_ns) < FAST_NS =>
            {
                Analysis::FastRetransmission
            }
            _ if may_be_reordered => Analysis::OutOfOrder,
            _ => Analysis::Retransmission,
        }
    }

    fn repeats_ack(&self, segment: &Segment) -> bool {
        let at_next = self.next.is_none_or(|next| next == segment.seq);
        at_next
            && segment.window != 0
            && self
                .last_ack
                .is_some_and(|known| (known.ack, known.window) == (segment.ack, segment.window))
    }

    fn advance(&mut self, seen: &Observed, is_duplicate: bool) {
        let segment = &seen.segment;
        let end = segment.seq.wrapping_add(segment.sequence_length());
        let is_ahead = self
            .next
            .is_none_or(|next| end.wrapping_sub(next).cast_signed() > 0);
        if is_ahead && !segment.flags.has(Flags::RST) {
            self.next = Some(end);
            self.next_ns = seen.mono_ns();
        }
        if segment.flags.has(Flags::ACK) {
            let before = self.last_ack.filter(|_| is_duplicate);
            self.last_ack = Some(Acknowledged {
                ack: segment.ack,
                window: segment.window,
                mono_ns: seen.mono_ns(),
                times: before.map_or(NonZeroU16::MIN, |known| known.times.saturating_add(1)),
            });
        }
    }
}

#[cfg(test)]
mod tests;
