//! From a frame of a serial line to the IP packet in it.

use super::{Bytes, Unread, link};

/// The IP packet in a frame of PPP (RFC 1661), with or without the bytes of HDLC before it (RFC 1662); or in one of
/// Cisco's HDLC, which captures of serial lines have under the same link type.
pub(super) fn point_to_point(frame: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    const HDLC: [u8; 2] = [0xff, 3];
    const CISCO_UNICAST: u8 = 0x0f;
    const CISCO_BROADCAST: u8 = 0x8f;
    if let [CISCO_UNICAST | CISCO_BROADCAST, 0, ..] = frame.captured {
        return cisco_hdlc(frame);
    }
    let frame = match frame.captured {
        [first, second, ..] if [*first, *second] == HDLC => frame.skip(HDLC.len())?,
        _ => frame,
    };
    // A protocol's number is odd at its end: one byte may be left out at its front.
    let first = frame.captured.first().ok_or(Unread::CutHeader)?;
    let (protocol, packet) = if first & 1 == 1 {
        (u16::from(*first), frame.skip(1)?)
    } else {
        let (protocol, packet) = frame.header::<2>()?;
        (u16::from_be_bytes(*protocol), packet)
    };
    match protocol {
        0x21 | 0x57 => Ok(packet),
        0x281 => link::mpls(packet),
        _ => Err(Unread::NotTcp),
    }
}

/// The IP packet behind an address, a zero and an EtherType.
pub(super) fn cisco_hdlc(frame: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    let (header, packet) = frame.header::<4>()?;
    link::by_ether_type(u16::from_be_bytes([header[2], header[3]]), packet)
}

/// The IP packet in a frame of Frame Relay (RFC 2427): an address, a control byte, perhaps a pad, and which
/// network protocol follows.
pub(super) fn frame_relay(frame: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    const UNNUMBERED: u8 = 3;
    const SNAP: u8 = 0x80;
    // The last byte of the address is odd; it has two to four.
    let last = frame.captured.iter().take(4).position(|byte| byte & 1 == 1);
    let length = last.ok_or(Unread::CutHeader)? + 1;
    let rest = frame.skip(length)?;
    let (&[control, kind], _) = rest.header::<2>()?;
    if control != UNNUMBERED {
        // Cisco's encapsulation: an EtherType.
        return link::by_ether_type(u16::from_be_bytes([control, kind]), rest.skip(2)?);
    }
    let rest = rest.skip(if kind == 0 { 2 } else { 1 })?;
    let (&[kind], packet) = rest.header::<1>()?;
    match kind {
        0xcc | 0x8e => Ok(packet),
        SNAP => {
            let (header, packet) = packet.header::<5>()?;
            link::by_ether_type(u16::from_be_bytes([header[3], header[4]]), packet)
        }
        _ => Err(Unread::NotTcp),
    }
}
