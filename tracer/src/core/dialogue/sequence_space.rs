//! One end's sequence space: relative numbers, which count from the initial sequence number, and
//! scaled windows.

use upload_protocol::{Flags, SegmentOptions, segment::Analysis};

use super::{analysis::Progress, in_flight::Observed};
use crate::core::segment::Segment;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SequenceSpace {
    /// The number that relative sequence numbers count from.
    base: Option<u32>,
    /// The window scale that its SYN announced.
    scale: Option<u8>,
    /// Whether its SYN was seen, so that a missing scale means none.
    syn_seen: bool,
    from_start: bool,
    progress: Progress,
}

/// A segment's relative numbers and scaled window, and its analysis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) seq: u32,
    pub(super) ack: u32,
    /// The number that acknowledgments and SACK blocks count from.
    pub(super) ack_base: u32,
    pub(super) window: u32,
    pub(super) analysis: Vec<Analysis>,
}

impl Position {
    /// A segment's options with SACK blocks that are relative, too.
    pub(super) fn relative(&self, mut options: SegmentOptions) -> SegmentOptions {
        let blocks = options.sack.iter_mut();
        for edge in blocks.flat_map(|(left, right)| [left, right]) {
            *edge = edge.wrapping_sub(self.ack_base);
        }
        options
    }
}

impl SequenceSpace {
    /// Takes its SYN: relative numbers count from here.
    pub(super) fn begin(&mut self, segment: &Segment) {
        let before = self.base.replace(segment.seq);
        if before.is_some_and(|before| before != segment.seq) {
            // What was seen before belongs to no connection, such as a forged RST.
            self.progress = Progress::default();
        }
        self.from_start = true;
        self.scale = segment.options.window_scale;
        self.syn_seen = true;
    }

    /// Takes the acknowledgment of its SYN.
    pub(super) fn begin_before(&mut self, ack: u32) {
        let first = ack.wrapping_sub(1);
        self.from_start |= *self.base.get_or_insert(first) == first;
    }

    /// Whether relative number 1 is the first byte of the stream; else that of the first segment seen.
    pub(super) const fn is_from_start(&self) -> bool {
        self.from_start
    }

    /// Its initial sequence number, if the handshake showed it.
    pub(super) fn initial(&self) -> Option<u32> {
        self.base.filter(|_| self.from_start)
    }

    /// The position of a segment that this end sent.
    pub(super) fn place(
        &mut self,
        seen: &Observed,
        peer: &mut Self,
        rtt_ns: Option<u64>,
    ) -> Position {
        let segment = &seen.segment;
        // Without a SYN, the first byte seen gets number 1, as in Wireshark.
        let base = *self.base.get_or_insert(segment.seq.wrapping_sub(1));
        let has_ack = segment.flags.has(Flags::ACK);
        let ack = if has_ack {
            let peer_base = *peer.base.get_or_insert(segment.ack.wrapping_sub(1));
            segment.ack.wrapping_sub(peer_base)
        } else {
            0
        };
        let shift = self.shift(segment, peer);
        Position {
            seq: segment.seq.wrapping_sub(base),
            ack,
            ack_base: peer.base.unwrap_or_default(),
            window: u32::from(segment.window) << shift,
            analysis: self.progress.analyse(
                seen,
                self.syn_seen.then_some(shift),
                &mut peer.progress,
                rtt_ns,
            ),
        }
    }

    /// What scales its window. A SYN's own window is never scaled; others are only if both ends
    /// announced a scale (RFC 7323, section 2.2).
    fn shift(&self, segment: &Segment, peer: &Self) -> u8 {
        let both = peer.scale.is_some() || !peer.syn_seen;
        match self.scale {
            Some(shift) if both && !segment.flags.has(Flags::SYN) => shift.min(14),
            _ => 0,
        }
    }
}
