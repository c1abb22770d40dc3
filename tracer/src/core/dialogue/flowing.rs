//! What a segment shows of the payload that is under way.

use upload_protocol::{End, Flags, segment::Analysis};

use super::RelativeSegment;

/// A segment of the connection; numbers are relative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flowing {
    pub mono_ns: u64,
    pub from: End,
    pub seq: u32,
    /// How many sequence numbers it takes: payload, and one each for a SYN and a FIN.
    pub length: u32,
    pub is_syn: bool,
    /// Whether its sequence numbers were sent before.
    pub is_again: bool,
    pub ack: Option<u32>,
    /// In bytes.
    pub window: u32,
    /// Sequence numbers beyond `ack` that arrived (SACK, RFC 2018).
    pub selected: u32,
}

impl RelativeSegment {
    /// What it shows of what is under way; `None` of one that resets the connection, that a capture has twice, or that probes
    /// a window.
    #[must_use]
    pub fn flowing(&self) -> Option<Flowing> {
        let (segment, position) = (&self.observed.segment, &self.position);
        let flags = segment.flags;
        let is_probe = position.analysis.contains(&Analysis::ZeroWindowProbe);
        if flags.has(Flags::RST) || segment.is_duplicate || is_probe {
            return None;
        }
        Some(Flowing {
            mono_ns: segment.mono_ns,
            from: self.observed.from,
            seq: position.seq,
            length: segment.sequence_length(),
            is_syn: flags.has(Flags::SYN),
            is_again: self.is_retransmission(),
            ack: flags.has(Flags::ACK).then_some(position.ack),
            window: position.window,
            selected: selected(&segment.options.sack, segment.ack),
        })
    }
}

/// How many sequence numbers SACK blocks name. The first block may be one that arrived twice (D-SACK, RFC 2883): then it is
/// acknowledged, or a part of the second.
fn selected(blocks: &[(u32, u32)], ack: u32) -> u32 {
    let from = |number: u32| number.wrapping_sub(ack).cast_signed();
    let (first, second) = (blocks.first(), blocks.get(1));
    let is_twice = first.zip(second).is_some_and(|(first, second)| {
        from(second.0) <= from(first.0) && from(first.1) <= from(second.1)
    });
    let new = blocks.iter().skip(usize::from(is_twice));
    new.filter(|(_, right)| from(*right) > 0)
        .map(|(left, right)| right.wrapping_sub(*left))
        .fold(0, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::selected;

    #[test]
    fn what_arrived_twice_is_not_selected() {
        let check = |blocks: &[(u32, u32)], expected| {
            assert_eq!(selected(blocks, 1000), expected, "{blocks:?}");
        };
        check(&[], 0);
        check(&[(2000, 2500), (3000, 3100)], 600);
        check(&[(500, 900)], 0);
        check(&[(500, 1000), (2000, 2500)], 500);
        check(&[(2100, 2200), (2000, 2500), (3000, 3100)], 600);
        let (left, right) = (u32::MAX - 9, 10);
        assert_eq!(selected(&[(left, right)], u32::MAX - 100), 20);
    }
}
