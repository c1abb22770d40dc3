//! The segments of a capture: each is seen once, and in the order of the file.

use std::num::NonZeroU64;

use upload_protocol::{End, Flags, segment::Analysis, timeline::LostSegment};

use super::{Dialogue, Observed, Reassembly, RelativeSegment, SequenceSpace};
use crate::core::{
    payload::{Payload, nearest},
    segment::Segment,
};

/// A segment of the connection; numbers are relative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub mono_ns: u64,
    pub from: End,
    pub seq: u32,
    pub len: u32,
    pub is_fin: bool,
    pub ack: Option<u32>,
    /// In bytes.
    pub window: u32,
    /// Whether it reports bytes that had arrived before (RFC 2883).
    pub has_dsack: bool,
    pub tsval: Option<u32>,
}

impl Dialogue {
    /// A dialogue of captured segments.
    #[must_use]
    pub fn captured() -> Self {
        Self {
            payload: Payload::whole(),
            reassembly: Some(Box::new(Reassembly::default())),
            ..Self::default()
        }
    }

    /// Takes the next segment, and places it. `wanted`: it is shown.
    pub fn pass(&mut self, from: End, segment: Box<Segment>, wanted: bool) -> RelativeSegment {
        if wanted {
            self.payload.keep_begun();
        }
        let observed = Observed::captured(from, segment);
        let position = self.place(&observed);
        let relative = RelativeSegment {
            observed,
            position,
            info: self.payload.take_begun(),
        };
        if relative.observed.segment.flags.has(Flags::ACK) {
            self.record_acknowledgment(&relative);
            // What is passed on because of that did not begin in this segment.
            self.payload.take_begun();
        }
        relative
    }

    /// Passes on all payload that waits for a hole before it.
    pub fn flush(&mut self) {
        if let Some(reassembly) = &mut self.reassembly {
            reassembly.flush(&mut self.payload);
        }
    }

    /// Payload that waits for a hole before it, in bytes of memory.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.reassembly.as_ref().map_or(0, |held| held.held_bytes())
    }

    /// Payload of an end that its receiver is known to have, in bytes. Where the stream does not begin with the
    /// capture, only what was seen: no number is known to be its first.
    #[must_use]
    pub fn received_bytes(&self, from: End) -> u64 {
        let is_from_start = self.space(from).is_from_start();
        let reassembly = self.reassembly.as_ref();
        reassembly.map_or(0, |all| {
            if is_from_start {
                all.received(from)
            } else {
                all.position(from)
            }
        })
    }

    /// Payload that the capture lacks, in bytes.
    #[must_use]
    pub fn missing_bytes(&self) -> u64 {
        self.reassembly.as_ref().map_or(0, |all| all.missing())
    }

    /// Keeps the relative numbers alone: for segments that come after the timeline.
    #[must_use]
    pub fn numbers_alone(&self) -> Self {
        Self {
            client: self.client.clone(),
            server: self.server.clone(),
            first_rtt: self.first_rtt,
            ..Self::default()
        }
    }

    pub(super) const fn space(&self, end: End) -> &SequenceSpace {
        match end {
            End::Client => &self.client,
            End::Server => &self.server,
        }
    }

    fn record_acknowledgment(&mut self, relative: &RelativeSegment) {
        let from = relative.observed.from;
        let acknowledged = self.bytes_acknowledged(from, relative.position.ack);
        let sender = from.other();
        let hidden = u64::from(!self.space(sender).is_from_start());
        let Some(reassembly) = &mut self.reassembly else {
            return;
        };
        let offset = nearest(reassembly.position(sender), acknowledged).saturating_add(hidden);
        reassembly.acknowledged(sender, offset, &mut self.payload);
    }
}

impl RelativeSegment {
    /// When it passed, CLOCK_MONOTONIC or since the capture's first packet.
    #[must_use]
    pub fn mono_ns(&self) -> u64 {
        self.observed.segment.mono_ns
    }

    /// What was lost of it between two captures, or beyond them.
    #[must_use]
    pub fn lost(&self) -> Option<LostSegment> {
        let segment = &self.observed.segment;
        let crossing = segment.crossing.as_deref()?;
        let (from, to) = crossing.lost_bytes?;
        Some(LostSegment {
            from: self.observed.from,
            at_ns: segment.mono_ns,
            seq: self.position.seq.wrapping_add(from),
            len: to - from,
            at: crossing.lost?,
            frame: segment.frame.map(NonZeroU64::get),
        })
    }

    /// Bytes of payload; 0 of a RST, whose text is no part of the stream.
    #[must_use]
    pub fn payload_len(&self) -> u32 {
        let segment = &self.observed.segment;
        if segment.flags.has(Flags::RST) {
            0
        } else {
            segment.len
        }
    }

    /// Whether the capture has it twice, and this is the second.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.observed.segment.is_duplicate
    }

    /// Whether its sequence numbers were sent before.
    #[must_use]
    pub fn is_retransmission(&self) -> bool {
        let mut remarks = self.position.analysis.iter();
        remarks.any(|what| what.is_retransmission())
    }

    /// What it shows of what held its sender back; `None` if it opens or resets the connection.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        let (segment, position) = (&self.observed.segment, &self.position);
        let flags = segment.flags;
        if flags.has(Flags::SYN) || flags.has(Flags::RST) {
            return None;
        }
        let base = position.ack_base;
        let blocks = segment.options.sack.iter();
        let mut ends = blocks.map(|(_, right)| right.wrapping_sub(base));
        let first = ends.next();
        let is_dsack = |right: u32| right.wrapping_sub(position.ack).cast_signed() <= 0;
        Some(Seen {
            mono_ns: segment.mono_ns,
            from: self.observed.from,
            seq: position.seq,
            len: segment.len,
            is_fin: flags.has(Flags::FIN),
            ack: flags.has(Flags::ACK).then_some(position.ack),
            window: position.window,
            has_dsack: first.is_some_and(is_dsack),
            tsval: segment.options.tsval,
        })
    }

    /// Whether it acknowledges bytes that were not seen.
    #[must_use]
    pub fn acknowledges_unseen(&self) -> bool {
        self.position
            .analysis
            .contains(&Analysis::AckedUnseenSegment)
    }

    /// The offset in the stream after its payload; `before` is the furthest offset until then.
    #[must_use]
    pub fn payload_end(&self, before: u64) -> u64 {
        let segment = &self.observed.segment;
        let syn = u32::from(segment.flags.has(Flags::SYN));
        let offset = self.position.seq.wrapping_add(syn).wrapping_sub(1);
        nearest(before, offset).saturating_add(segment.len.into())
    }
}
