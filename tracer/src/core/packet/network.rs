//! From an IP header, through tunnels, to the TCP segment.

use std::net::Ipv4Addr;

use etherparse::{IpNumber, LaxIpSlice, err::ip::LaxHeaderSliceError};

use super::{Bytes, Unread, fragments::Fragment, link, streams::Header, udp_tunnel, wifi};
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
            IpNumber::UDP => udp_tunnel::network(payload)?,
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
pub(super) fn generic_routing(bytes: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
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
    if is_aruba(kind) {
        return wifi::tunnelled(rest);
    }
    link::by_ether_type(kind, rest)
}

/// Whether Aruba's access points name a frame of a wireless network so.
const fn is_aruba(kind: u16) -> bool {
    kind & 0xfe0f == 0x8200 || kind & 0xff0f == 0x9000
}
