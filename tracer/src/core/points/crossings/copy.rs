//! What tells one copy of a range of sequence numbers from another.

use upload_protocol::Flags;

use crate::core::segment::Segment;

/// A segment without its payload: the range that it fills, and what identifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    /// The first sequence number.
    seq: u32,
    /// How many there are.
    length: u32,
    ack: u32,
    /// SYN and RST.
    kind: u16,
    tsval: Option<u32>,
    tsecr: Option<u32>,
    /// The identification of IPv4; `None` for none.
    identification: Option<u16>,
}

/// A frame that is cut up has an identification that counts on with each piece.
const MAX_PIECES: u16 = 64;

impl Copy {
    pub(super) fn of(segment: &Segment) -> Self {
        const IPV4: u8 = 4;
        let packet = &segment.packet;
        let is_ipv4 = packet.first().is_some_and(|first| first >> 4 == IPV4);
        let identification = packet
            .get(4..6)
            .filter(|_| is_ipv4)
            .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        let is_reset = segment.flags.has(Flags::RST);
        Self {
            seq: segment.seq,
            length: if is_reset {
                0
            } else {
                segment.sequence_length()
            },
            ack: segment.ack,
            kind: segment.flags.0 & (Flags::SYN | Flags::RST),
            tsval: segment.options.tsval,
            tsecr: segment.options.tsecr,
            identification: identification.filter(|number| *number != 0),
        }
    }

    /// Whether it takes sequence numbers, so that it is acknowledged.
    pub(super) const fn has_sequence(&self) -> bool {
        self.length > 0
    }

    pub(super) const fn length(&self) -> u32 {
        self.length
    }

    /// Where another's range begins in this one's.
    pub(super) const fn offset_of(&self, other: &Self) -> u32 {
        other.seq.wrapping_sub(self.seq)
    }

    /// A part of it.
    pub(super) const fn part(mut self, offset: u32, length: u32) -> Self {
        self.seq = self.seq.wrapping_add(offset);
        self.length = length;
        self
    }

    /// Leaves out its first numbers; whether some remain.
    pub(super) const fn skip(&mut self, count: u32) -> bool {
        self.seq = self.seq.wrapping_add(count);
        self.length = self.length.saturating_sub(count);
        self.length > 0
    }

    /// Whether it is the same segment, neither cut up nor put together.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        *self == *other
    }

    /// Whether both are of the same kind and, without sequence numbers, acknowledge the same.
    pub(super) const fn is_alike(&self, other: &Self) -> bool {
        let is_kind = self.kind == other.kind && (self.length == 0) == (other.length == 0);
        is_kind && (self.length > 0 || self.seq == other.seq && self.ack == other.ack)
    }

    /// Whether it has the other's numbers, and nothing says that they are of another copy.
    pub(super) fn has(&self, other: &Self) -> bool {
        let is_range = other.length == 0 || self.overlaps(other);
        is_range
            && self.is_alike(other)
            && self.may_be_of_time(other)
            && !self.has_other_identification(other)
    }

    pub(super) fn has_same_timestamp(&self, other: &Self) -> bool {
        self.tsval.is_some() && self.tsval == other.tsval && self.tsecr == other.tsecr
    }

    /// Whether the timestamps are the same, or one has none.
    pub(super) fn may_be_of_time(&self, other: &Self) -> bool {
        self.tsval.is_none() || other.tsval.is_none() || self.tsval == other.tsval
    }

    /// Whether the other cannot be a piece of it by its identification.
    pub(super) fn has_other_identification(&self, other: &Self) -> bool {
        let both = self.identification.zip(other.identification);
        both.is_some_and(|(own, other)| other.wrapping_sub(own) >= MAX_PIECES)
    }

    /// The sequence number after it.
    pub(super) const fn end(&self) -> u32 {
        self.seq.wrapping_add(self.length)
    }

    pub(super) const fn begins_before(&self, number: u32) -> bool {
        is_before(self.seq, number)
    }

    /// Whether an acknowledgment covers it.
    pub(super) const fn ends_by(&self, ack: u32) -> bool {
        !is_before(ack, self.end())
    }

    /// Whether it lies within a SACK block.
    pub(super) const fn is_within(&self, left: u32, right: u32) -> bool {
        self.length > 0 && !is_before(self.seq, left) && self.ends_by(right)
    }

    pub(super) const fn overlaps(&self, other: &Self) -> bool {
        is_before(self.seq, other.end()) && is_before(other.seq, self.end())
    }
}

/// Whether a sequence number comes before another, modulo 2^32.
pub(super) const fn is_before(one: u32, other: u32) -> bool {
    one.wrapping_sub(other).cast_signed() < 0
}
