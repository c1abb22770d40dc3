//! Reads a record's bytes: checks their length.

use crate::core::segment::NoSegment;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Fewer bytes than the header or the kind's record has, or more.
    #[error("a record of kind {kind} has {found} bytes instead of {expected}")]
    Length {
        /// The kind, 0 where not even that could be read.
        kind: u16,
        /// How many bytes there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    #[error("unknown record kind {0}")]
    Kind(u16),
    #[error("unknown TCP state {0}")]
    State(u8),
    #[error("a packet that is no TCP segment: {0}")]
    Segment(#[from] NoSegment),
}

pub(super) fn read<T: zerocopy::FromBytes>(kind: u16, bytes: &[u8]) -> Result<T, Malformed> {
    T::read_from_bytes(bytes).map_err(|_| Malformed::Length {
        kind,
        found: bytes.len(),
        expected: size_of::<T>(),
    })
}

/// A record and the bytes that follow it.
pub(super) fn read_prefix<T: zerocopy::FromBytes>(
    kind: u16,
    bytes: &[u8],
) -> Result<(T, &[u8]), Malformed> {
    T::read_from_prefix(bytes).map_err(|_| Malformed::Length {
        kind,
        found: bytes.len(),
        expected: size_of::<T>(),
    })
}

/// The captured ones of the bytes that follow a record.
pub(super) fn captured(kind: u16, bytes: &[u8], length: u32) -> Result<&[u8], Malformed> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    bytes.get(..length).ok_or(Malformed::Length {
        kind,
        found: bytes.len(),
        expected: length,
    })
}
