//! From an IP header, through tunnels, to the TCP segment.

use std::net::Ipv4Addr;

use etherparse::{IpNumber, LaxIpSlice, err::ip::LaxHeaderSliceError};

use super::{Bytes, Unread, capwap, fragments::Fragment, link, streams::Header};
use crate::core::segment::{Carrier, Segment};

/// Tunnels within tunnels; more are malformed.
const MAX_TUNNELS: usize = 8;
/// Destination unreachable, source quench, redirect, time exceeded, parameter problem (RFC 792).
const ICMP_ERRORS: [u8; 5] = [3, 4, 5, 11, 12];
/// Destination unreachable, packet too big, time exceeded, parameter problem (RFC 4443).
const ICMP_V6_ERRORS: [u8; 4] = [1, 2, 3, 4];

/// An IP packet, cut to its own length.
struct IpPacket<'a> {
    ip: LaxIpSlice<'a>,
    carrier: Carrier,
    /// From the IP header on.
    bytes: Bytes<'a>,
}

/// What a packet carries, below all tunnels.
enum Carried<'a> {
    Segment(IpPacket<'a>),
    Fragment(IpPacket<'a>),
    /// The beginning of a packet that could not be delivered.
    Quoted(Bytes<'a>),
}

/// The segment in a packet that begins with an IP header.
pub(super) fn segment(bytes: Bytes<'_>) -> Result<Segment<&[u8]>, Unread> {
    match carried(bytes)? {
        Carried::Segment(packet) => Ok(Segment::behind(packet.bytes.captured, &packet.carrier)?),
        Carried::Fragment(_) => Err(Unread::Fragment),
        Carried::Quoted(_) => Err(Unread::NotTcp),
    }
}

/// The TCP header in a packet that begins with an IP header, or in what an ICMP error quotes.
pub(super) fn header(bytes: Bytes<'_>) -> Option<Header> {
    let carried = match carried(bytes).ok()? {
        Carried::Quoted(packet) => carried(packet).ok()?,
        carried => carried,
    };
    let Carried::Segment(packet) = carried else {
        return None;
    };
    let IpPacket { carrier, bytes, .. } = packet;
    let addresses = (carrier.source, carrier.destination);
    Header::parse(bytes.captured.get(carrier.headers..)?, addresses)
}

/// The fragment in a packet that begins with an IP header, if it has one that was captured whole.
pub(super) fn fragment(bytes: Bytes<'_>) -> Option<Fragment<'_>> {
    match carried(bytes).ok()? {
        Carried::Segment(_) | Carried::Quoted(_) => None,
        Carried::Fragment(packet) => Fragment::of(&packet.ip),
    }
}

fn carried(mut bytes: Bytes<'_>) -> Result<Carried<'_>, Unread> {
    for _ in 0..MAX_TUNNELS {
        let packet = IpPacket::parse(bytes)?;
        if packet.ip.payload().fragmented {
            return Ok(Carried::Fragment(packet));
        }
        let payload = packet.bytes.skip(packet.carrier.headers)?;
        bytes = match packet.ip.payload().ip_number {
            IpNumber::TCP => return Ok(Carried::Segment(packet)),
            IpNumber::IPV4 | IpNumber::IPV6 => payload,
            IpNumber::GRE => generic_routing(payload)?,
            IpNumber::UDP => udp_tunnel(payload)?,
            IpNumber::ICMP => return quoted(payload, &ICMP_ERRORS),
            IpNumber::IPV6_ICMP => return quoted(payload, &ICMP_V6_ERRORS),
            _ => return Err(Unread::NotTcp),
        };
    }
    Err(Unread::Malformed)
}

/// The packet that an ICMP error is about: its IP header, and what follows it, behind eight bytes.
fn quoted<'a>(message: Bytes<'a>, errors: &[u8]) -> Result<Carried<'a>, Unread> {
    let (header, packet) = message.header::<8>()?;
    if errors.contains(&header[0]) {
        Ok(Carried::Quoted(packet))
    } else {
        Err(Unread::NotTcp)
    }
}

impl<'a> IpPacket<'a> {
    fn parse(bytes: Bytes<'a>) -> Result<Self, Unread> {
        let (ip, stopped) =
            LaxIpSlice::from_slice(bytes.captured).map_err(|error| match error {
                LaxHeaderSliceError::Len(_) => Unread::CutHeader,
                LaxHeaderSliceError::Content(_) => Unread::Malformed,
            })?;
        if stopped.is_some() {
            return Err(Unread::CutHeader);
        }
        let (announced, carrier) = match &ip {
            LaxIpSlice::Ipv4(ip) => {
                let header = ip.header();
                let extensions = ip.extensions().auth.map_or(0, |auth| auth.slice().len());
                let destination = routed_to(header.options()).unwrap_or(header.destination());
                let carrier = Carrier {
                    source: Ipv4Addr::from(header.source()).to_ipv6_mapped(),
                    destination: Ipv4Addr::from(destination).to_ipv6_mapped(),
                    ecn: header.ecn().value(),
                    headers: header.slice().len() + extensions,
                    length: 0,
                };
                (usize::from(header.total_len()), carrier)
            }
            LaxIpSlice::Ipv6(ip) => {
                let header = ip.header();
                let carrier = Carrier {
                    source: header.source_addr(),
                    destination: header.destination_addr(),
                    ecn: header.ecn().value(),
                    headers: header.slice().len() + ip.extensions().slice().len(),
                    length: 0,
                };
                let announced = match header.payload_length() {
                    0 => 0,
                    length => header.slice().len() + usize::from(length),
                };
                (announced, carrier)
            }
        };
        // A card that cuts large frames up (segmentation offload) is given packets of length 0. A length
        // beyond the frame's end is a lie; what follows a packet within its frame is padding.
        let length = match announced {
            0 => bytes.length,
            announced if announced < carrier.headers => return Err(Unread::Malformed),
            announced => announced.min(bytes.length),
        };
        Ok(Self {
            carrier: Carrier {
                length: u32::try_from(length).unwrap_or(u32::MAX),
                ..carrier
            },
            ip,
            bytes: bytes.cut(length),
        })
    }
}

/// The last address of a source route (RFC 791, section 3.1) that has not been gone to its end: the destination.
fn routed_to(mut options: &[u8]) -> Option<[u8; 4]> {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const LOOSE: u8 = 131;
    const STRICT: u8 = 137;
    loop {
        options = match *options {
            [] | [END, ..] => return None,
            [NOTHING, ref rest @ ..] => rest,
            [LOOSE | STRICT, length, next, ..] => {
                let route = options.get(..length.into())?;
                let last = route.get(3..)?.last_chunk()?;
                return (next <= length).then_some(*last);
            }
            [_, length, ..] if length >= 2 => options.get(length.into()..)?,
            _ => return None,
        };
    }
}

/// The IP packet in Generic Routing Encapsulation (RFC 2784, RFC 2890; RFC 2637 for version 1).
fn generic_routing(bytes: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    const CHECKSUM: u16 = 1 << 15;
    const ROUTING: u16 = 1 << 14;
    const KEY: u16 = 1 << 13;
    const SEQUENCE: u16 = 1 << 12;
    const ACKNOWLEDGMENT: u16 = 1 << 7;
    const ERSPAN_2: u16 = 0x88be;
    /// A web cache's redirection.
    const WCCP: u16 = 0x883e;
    let (header, rest) = bytes.header::<4>()?;
    let [flags, kind] = [[header[0], header[1]], [header[2], header[3]]].map(u16::from_be_bytes);
    let version = flags & 7;
    let optional = [CHECKSUM | ROUTING, KEY, SEQUENCE];
    let words = optional.iter().filter(|flag| flags & **flag != 0).count()
        + usize::from(version == 1 && flags & ACKNOWLEDGMENT != 0);
    let rest = rest.skip(4 * words)?;
    if kind == WCCP {
        // The second version has a header of its own (draft-param-wccp-v2rev1, section 4.12).
        let first = rest.captured.first().ok_or(Unread::CutHeader)? >> 4;
        return if first == 4 { Ok(rest) } else { rest.skip(4) };
    }
    if kind == ERSPAN_2 {
        // Type II has a header of its own and, in GRE, a sequence number; type I has neither.
        let header = if flags & SEQUENCE != 0 { 8 } else { 0 };
        return link::ethernet(rest.skip(header)?);
    }
    link::by_ether_type(kind, rest)
}

/// The IP packet in a tunnel over UDP that is known by its port.
fn udp_tunnel(bytes: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    const VXLAN: u16 = 4789;
    const VXLAN_GPE: u16 = 4790;
    const GENEVE: u16 = 6081;
    const GTP_USER: u16 = 2152;
    const TEREDO: u16 = 3544;
    const CAPWAP_DATA: u16 = 5247;
    let (header, rest) = bytes.header::<8>()?;
    let [from, to] = [[header[0], header[1]], [header[2], header[3]]].map(u16::from_be_bytes);
    match (from, to) {
        // RFC 7348: eight bytes, and an Ethernet frame.
        (_, VXLAN) | (VXLAN, _) => link::ethernet(rest.skip(8)?),
        (_, VXLAN_GPE) => vxlan_gpe(rest),
        (_, GENEVE) => geneve(rest),
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
