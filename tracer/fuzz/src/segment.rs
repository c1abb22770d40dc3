//! A packet's first bytes. The input is the packet's length, a byte of [`LEAVING`] and [`MERGED`],
//! and the bytes.

use tracer::internals::core::segment::Segment;

/// The packet left the socket.
pub const LEAVING: u8 = 1;
/// The packet stands for several.
pub const MERGED: u8 = 2;

/// A packet parses to what it holds, or is refused.
pub fn check(bytes: &[u8]) {
    let Some((length, [flags, packet @ ..])) = bytes.split_first_chunk() else {
        return;
    };
    let (leaving, merged) = (flags & LEAVING != 0, flags & MERGED != 0);
    let length = u32::from_le_bytes(*length);
    if let Ok(segment) = Segment::parse(packet, length, leaving, merged) {
        assert_eq!(segment.packet, packet);
        assert_eq!((segment.leaving, segment.merged), (leaving, merged));
        check_segment(&segment);
    }
}

/// A segment as input of [`check`].
#[must_use]
pub fn input(segment: &Segment<&[u8]>) -> Vec<u8> {
    let mut input = segment.packet_len.to_le_bytes().to_vec();
    let leaving = if segment.leaving { LEAVING } else { 0 };
    let merged = if segment.merged { MERGED } else { 0 };
    input.push(leaving | merged);
    input.extend_from_slice(segment.packet);
    input
}

pub(crate) fn check_segment(segment: &Segment<&[u8]>) {
    assert!(segment.len <= segment.packet_len);
    assert!(segment.sequence_length() >= segment.len);
    assert!(segment.packet.ends_with(segment.payload()));
    // A header has room for 40 bytes of options (RFC 9293, section 3.1), 38 of them in one.
    let options = &segment.options;
    assert!(options.sack.len() <= 4 && options.other.len() <= 20);
    assert!(
        options
            .fast_open
            .as_ref()
            .is_none_or(|cookie| cookie.len() <= 2 * 38)
    );
}
