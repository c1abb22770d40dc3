//! One direction's byte stream: skips bytes that were passed before, and marks the holes. It does not
//! wait for missing segments.

use upload_protocol::End;

use super::Chunk;

/// How far a direction was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stream {
    position: u64,
}

/// The part of a segment that is new.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewBytes<'a> {
    pub(super) mono_ns: u64,
    pub(super) from: End,
    /// Its offset in the stream.
    pub(super) offset: u64,
    /// See [`Chunk`].
    pub(super) turned_ns: Option<u64>,
    /// See [`Chunk`].
    pub(super) received: Option<u32>,
    /// Whether it starts the stream.
    pub(super) is_start: bool,
    /// Length of the hole before it: bytes in segments that were not seen.
    pub(super) gap: u64,
    /// Its captured bytes.
    pub(super) bytes: &'a [u8],
    /// Length of the hole after those.
    pub(super) rest: u64,
}

impl Stream {
    /// Whether nothing was sent yet.
    pub(super) const fn is_silent(&self) -> bool {
        self.position == 0
    }

    /// How far it was read.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// The new bytes of a segment, if any.
    pub(super) fn take<'a>(&mut self, burst: &Chunk<'a>) -> Option<NewBytes<'a>> {
        let Chunk {
            offset, len, head, ..
        } = *burst;
        let end = offset.saturating_add(u64::from(len));
        let new = end.checked_sub(self.position).filter(|new| *new > 0)?;
        let repeated = self.position.saturating_sub(offset);
        let length = usize::try_from(len).unwrap_or(usize::MAX);
        let head = head.get(..length).unwrap_or(head);
        let bytes = usize::try_from(repeated)
            .ok()
            .and_then(|repeated| head.get(repeated..))
            .unwrap_or_default();
        let gap = offset.saturating_sub(self.position);
        let new_bytes = NewBytes {
            mono_ns: burst.mono_ns,
            from: burst.from,
            offset: offset + repeated,
            turned_ns: burst.turned_ns,
            received: burst.received,
            is_start: end == new && gap == 0,
            gap,
            bytes,
            rest: (new - gap).saturating_sub(bytes.len() as u64),
        };
        self.position = end;
        Some(new_bytes)
    }
}

impl NewBytes<'_> {
    /// Leaves out its first `count` bytes, which are no part of what follows.
    pub(super) fn skip(&mut self, count: usize) {
        let (skipped, rest) = self.bytes.split_at(count.min(self.bytes.len()));
        self.offset += skipped.len() as u64;
        self.bytes = rest;
    }
}

/// Payload further ahead is no part of the stream: no window is larger (RFC 7323, section 2.3).
pub(crate) const MAX_AHEAD: u64 = 1 << 30;

/// The stream offset that equals `number` modulo 2^32 and is nearest to `about`.
//
// Sequence numbers repeat every 2^32 bytes. The kernel side counts the bytes before each segment, which
// tells offsets apart that have the same number.
pub(crate) fn nearest(about: u64, number: u32) -> u64 {
    const MODULUS: u64 = 1 << 32;
    let candidates = (about / MODULUS).saturating_sub(1)..=about / MODULUS + 1;
    candidates
        .map(|times| {
            times
                .saturating_mul(MODULUS)
                .saturating_add(u64::from(number))
        })
        .min_by_key(|place| place.abs_diff(about))
        .unwrap_or_default()
}
