//! From a tunnel over UDP that is known by its port to the IP packet in it.

use super::{Bytes, Unread, capwap, link, network::generic_routing};

/// The IP packet in a datagram.
pub(super) fn network(bytes: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    const VXLAN: u16 = 4789;
    const VXLAN_GPE: u16 = 4790;
    const GENEVE: u16 = 6081;
    const GTP_USER: u16 = 2152;
    const TEREDO: u16 = 3544;
    const GRE: u16 = 4754;
    const AYIYA: u16 = 5072;
    const CAPWAP_DATA: u16 = 5247;
    let (header, rest) = bytes.header::<8>()?;
    let [from, to] = [[header[0], header[1]], [header[2], header[3]]].map(u16::from_be_bytes);
    match (from, to) {
        // RFC 7348: eight bytes, and an Ethernet frame.
        (_, VXLAN) | (VXLAN, _) => link::ethernet(rest.skip(8)?),
        (_, VXLAN_GPE) => vxlan_gpe(rest),
        (_, GENEVE) => geneve(rest),
        // RFC 8086.
        (_, GRE) => generic_routing(rest),
        (_, AYIYA) | (AYIYA, _) => ayiya(rest),
        (_, GTP_USER) | (GTP_USER, _) => gtp_user(rest),
        (_, TEREDO) | (TEREDO, _) => teredo(rest),
        (_, CAPWAP_DATA) | (CAPWAP_DATA, _) => capwap::network(rest),
        _ => Err(Unread::NotTcp),
    }
}

/// The generic extension of VXLAN (draft-ietf-nvo3-vxlan-gpe), which names what follows.
fn vxlan_gpe(bytes: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    const IPV4: u8 = 1;
    const IPV6: u8 = 2;
    const ETHERNET: u8 = 3;
    let (header, rest) = bytes.header::<8>()?;
    match header[3] {
        IPV4 | IPV6 => Ok(rest),
        ETHERNET => link::ethernet(rest),
        _ => Err(Unread::NotTcp),
    }
}

/// RFC 8926.
fn geneve(bytes: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    let (header, rest) = bytes.header::<8>()?;
    let options = usize::from(header[0] & 0x3f) * 4;
    let kind = u16::from_be_bytes([header[2], header[3]]);
    link::by_ether_type(kind, rest.skip(options)?)
}

/// A user's packet in the GPRS Tunnelling Protocol (3GPP TS 29.281, section 5.1).
fn gtp_user(bytes: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    const USER_PACKET: u8 = 255;
    let (header, mut rest) = bytes.header::<8>()?;
    let is_version_1 = header[0] >> 5 == 1 && header[0] & 0x10 != 0;
    if !is_version_1 || header[1] != USER_PACKET {
        return Err(Unread::NotTcp);
    }
    if header[0] & 7 != 0 {
        // Sequence number, N-PDU number, and the kind of the first extension header.
        let (optional, inner) = rest.header::<4>()?;
        rest = inner;
        let mut next = optional[3];
        while next != 0 {
            let words = usize::from(*rest.captured.first().ok_or(Unread::CutHeader)?);
            let last = (4 * words).checked_sub(1).ok_or(Unread::Malformed)?;
            next = *rest.captured.get(last).ok_or(Unread::CutHeader)?;
            rest = rest.skip(4 * words)?;
        }
    }
    match rest.captured.first().ok_or(Unread::CutHeader)? >> 4 {
        4 | 6 => Ok(rest),
        _ => Err(Unread::NotTcp),
    }
}

/// RFC 4380, section 5.1.1: an authentication and an origin indication may come before the packet.
fn teredo(mut bytes: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    loop {
        let first = bytes.captured.first().ok_or(Unread::CutHeader)?;
        if first >> 4 == 6 {
            return Ok(bytes);
        }
        let (kind, _) = bytes.header::<2>()?;
        bytes = match kind {
            [0, 0] => bytes.skip(8)?,
            [0, 1] => {
                let (header, _) = bytes.header::<4>()?;
                bytes.skip(13 + usize::from(header[2]) + usize::from(header[3]))?
            }
            _ => return Err(Unread::NotTcp),
        };
    }
}

/// Anything in Anything (draft-massar-v6ops-ayiya, section 3): an identity and a signature come before the packet.
fn ayiya(bytes: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    const FORWARD: u8 = 1;
    const IPV4: u8 = 4;
    const IPV6: u8 = 41;
    let (header, rest) = bytes.header::<8>()?;
    let identity = 1 << (header[0] >> 4);
    let signature = usize::from(header[1] >> 4) * 4;
    match (header[2] & 0xf, header[3]) {
        (FORWARD, IPV4 | IPV6) => rest.skip(identity + signature),
        _ => Err(Unread::NotTcp),
    }
}
