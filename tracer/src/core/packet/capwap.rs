//! From the tunnel between an access point and its controller (CAPWAP, RFC 5415 section 4) to the IP packet in it.

use super::{Bytes, Unread, link, wifi};

/// What the preamble announces.
mod preamble {
    pub(super) const CLEAR: u8 = 0;
    pub(super) const ENCRYPTED: u8 = 1;
}

/// Bits of the header's last byte.
mod flag {
    /// A part of a frame.
    pub(super) const FRAGMENT: u8 = 0x80;
    pub(super) const KEEP_ALIVE: u8 = 0x08;
}

/// The binding to IEEE 802.11 (RFC 5416).
const WIFI: u8 = 1;

/// The IP packet in a message of the data channel.
pub(super) fn network(message: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    let (&[version_and_type, length, binding, flags], _) = message.header::<4>()?;
    match version_and_type {
        preamble::CLEAR => {}
        preamble::ENCRYPTED => return Err(Unread::Encrypted),
        _ => return Err(Unread::NotTcp),
    }
    if flags & flag::KEEP_ALIVE != 0 {
        return Err(Unread::NotTcp);
    }
    if flags & flag::FRAGMENT != 0 {
        return Err(Unread::Fragment);
    }
    // Five bits, in words of four bytes.
    let frame = message.skip(usize::from(length >> 3) * 4)?;
    let is_native = binding & 1 != 0;
    let binding = binding >> 1 & 0x1f;
    match (is_native, binding) {
        (false, _) => link::ethernet(frame),
        (true, WIFI) => wifi::tunnelled(frame),
        (true, _) => Err(Unread::NotTcp),
    }
}
