//! From the link layer's header to the IP header. The types are those of libpcap's registry
//! (<https://www.tcpdump.org/linktypes.html>).

use super::{
    Bytes, Unread, serial,
    wifi::{self, Reception},
};

mod link_type {
    pub(super) const NULL: u16 = 0;
    pub(super) const ETHERNET: u16 = 1;
    pub(super) const TOKEN_RING: u16 = 6;
    pub(super) const PPP: u16 = 9;
    pub(super) const FDDI: u16 = 10;
    /// Raw IP as some systems number it.
    pub(super) const DLT_RAW: u16 = 12;
    pub(super) const DLT_RAW_OPENBSD: u16 = 14;
    pub(super) const PPP_HDLC: u16 = 50;
    pub(super) const PPP_ETHER: u16 = 51;
    pub(super) const ATM_RFC1483: u16 = 100;
    pub(super) const RAW: u16 = 101;
    /// Cisco's HDLC.
    pub(super) const C_HDLC: u16 = 104;
    pub(super) const WIFI: u16 = 105;
    pub(super) const FRAME_RELAY: u16 = 107;
    pub(super) const LOOP: u16 = 108;
    /// Tunnels of OpenBSD's IPsec.
    pub(super) const ENC: u16 = 109;
    pub(super) const LINUX_SLL: u16 = 113;
    /// The log of OpenBSD's packet filter.
    pub(super) const PFLOG: u16 = 117;
    pub(super) const WIFI_PRISM: u16 = 119;
    /// ARCnet as Linux has it.
    pub(super) const ARCNET: u16 = 129;
    pub(super) const WIFI_RADIOTAP: u16 = 127;
    pub(super) const FIREWIRE: u16 = 138;
    /// What macOS writes for [`PKTAP`], too.
    pub(super) const USER_2: u16 = 149;
    pub(super) const WIFI_AVS: u16 = 163;
    /// Per-packet information: a header with the link type of what follows.
    pub(super) const PPI: u16 = 192;
    /// Of Juniper's routers: a header, and an Ethernet frame.
    pub(super) const JUNIPER_ETHERNET: u16 = 178;
    pub(super) const PPP_WITH_DIRECTION: u16 = 204;
    pub(super) const IPV4: u16 = 228;
    pub(super) const IPV6: u16 = 229;
    pub(super) const NFLOG: u16 = 239;
    /// IP over InfiniBand.
    pub(super) const IPOIB: u16 = 242;
    /// What macOS's tcpdump writes for all interfaces together.
    pub(super) const PKTAP: u16 = 258;
    pub(super) const LINUX_SLL2: u16 = 276;
}

mod ether_type {
    pub(super) const IPV4: u16 = 0x0800;
    pub(super) const IPV6: u16 = 0x86dd;
    /// Transparent Ethernet bridging (RFC 1701).
    pub(super) const BRIDGED: u16 = 0x6558;
    pub(super) const VLAN: u16 = 0x8100;
    pub(super) const PROVIDER_BRIDGE: u16 = 0x88a8;
    /// QinQ before IEEE 802.1ad.
    pub(super) const OLD_QINQ: u16 = 0x9100;
    pub(super) const MPLS: u16 = 0x8847;
    pub(super) const PPP: u16 = 0x880b;
    pub(super) const PPPOE_SESSION: u16 = 0x8864;
    /// Cisco's metadata: a security group.
    pub(super) const METADATA: u16 = 0x8909;
    /// The tag of a virtual machine's interface.
    pub(super) const VN_TAG: u16 = 0x8926;
    /// A provider's backbone: Ethernet in Ethernet (IEEE 802.1ah).
    pub(super) const BACKBONE: u16 = 0x88e7;
    /// The tag of a port extender (IEEE 802.1BR).
    pub(super) const E_TAG: u16 = 0x893f;
    /// Cisco's encapsulation of Ethernet in Ethernet.
    pub(super) const FABRIC_PATH: u16 = 0x8903;
    /// Below, the field is the length of an IEEE 802.3 frame.
    pub(super) const FIRST: u16 = 0x0600;
}

/// Tags and encapsulations that one frame may have around its IP header; more are malformed.
const MAX_LAYERS: usize = 16;

/// The IP packet in a frame.
pub(super) fn network(link: u16, frame: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    if let Some((inner, frame)) = described(link, frame)? {
        // A description of a description is none.
        return match described(inner, frame)? {
            Some(_) => Err(Unread::Malformed),
            None => network(inner, frame),
        };
    }
    match link {
        link_type::ETHERNET => ethernet(frame),
        link_type::RAW
        | link_type::DLT_RAW
        | link_type::DLT_RAW_OPENBSD
        | link_type::IPV4
        | link_type::IPV6 => Ok(frame),
        link_type::NULL | link_type::LOOP => {
            let (family, packet) = frame.header::<4>()?;
            by_family(*family, packet)
        }
        link_type::ENC => {
            // The address family, a security parameter index, flags.
            let (header, packet) = frame.header::<12>()?;
            by_family([header[0], header[1], header[2], header[3]], packet)
        }
        link_type::PFLOG => {
            let (header, _) = frame.header::<2>()?;
            // Aligned to the size of a long.
            let length = usize::from(header[0]).next_multiple_of(4);
            by_family([header[1], 0, 0, 0], frame.skip(length)?)
        }
        link_type::WIFI => wifi::network(Reception::None, frame),
        link_type::WIFI_RADIOTAP => wifi::network(Reception::Radiotap, frame),
        link_type::WIFI_PRISM => wifi::network(Reception::Prism, frame),
        link_type::WIFI_AVS => wifi::network(Reception::Avs, frame),
        link_type::ARCNET => arcnet(frame),
        link_type::JUNIPER_ETHERNET => juniper(frame),
        link_type::IPOIB => {
            // Two addresses of twenty bytes, the EtherType, two reserved bytes (RFC 4391, section 6).
            let (header, packet) = frame.header::<44>()?;
            by_ether_type(u16::from_be_bytes([header[40], header[41]]), packet)
        }
        link_type::TOKEN_RING => token_ring(frame),
        // Frame control, and two addresses.
        link_type::FDDI => logical(frame.skip(13)?),
        link_type::ATM_RFC1483 => logical(frame),
        link_type::FRAME_RELAY => serial::frame_relay(frame),
        link_type::C_HDLC => serial::cisco_hdlc(frame),
        link_type::FIREWIRE => {
            // Two addresses of eight bytes.
            let (header, packet) = frame.header::<18>()?;
            by_ether_type(u16::from_be_bytes([header[16], header[17]]), packet)
        }
        link_type::LINUX_SLL => {
            let (header, packet) = frame.header::<16>()?;
            by_ether_type(u16::from_be_bytes([header[14], header[15]]), packet)
        }
        link_type::LINUX_SLL2 => {
            let (header, packet) = frame.header::<20>()?;
            by_ether_type(u16::from_be_bytes([header[0], header[1]]), packet)
        }
        link_type::PPP | link_type::PPP_HDLC => serial::point_to_point(frame),
        link_type::PPP_WITH_DIRECTION => serial::point_to_point(frame.skip(1)?),
        link_type::PPP_ETHER => by_ether_type(ether_type::PPPOE_SESSION, frame),
        link_type::NFLOG => nflog(frame),
        _ => Err(Unread::UnknownLink),
    }
}

/// A frame and its link type, where the capture's own link type is a description of both.
fn described(link: u16, frame: Bytes<'_>) -> Result<Option<(u16, Bytes<'_>)>, Unread> {
    let (length, inner) = match link {
        link_type::PPI => {
            let (header, _) = frame.header::<8>()?;
            let length = u16::from_le_bytes([header[2], header[3]]);
            (length.into(), [header[4], header[5], header[6], header[7]])
        }
        link_type::PKTAP | link_type::USER_2 => {
            let (header, _) = frame.header::<12>()?;
            let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
            // Its kind: 1 is a packet.
            if u32::from_le_bytes([header[4], header[5], header[6], header[7]]) != 1 {
                return Err(Unread::UnknownLink);
            }
            let inner = [header[8], header[9], header[10], header[11]];
            (usize::try_from(length).unwrap_or(usize::MAX), inner)
        }
        _ => return Ok(None),
    };
    let inner = u16::try_from(u32::from_le_bytes(inner)).map_err(|_| Unread::UnknownLink)?;
    Ok(Some((inner, frame.skip(length)?)))
}

/// The IP packet behind an address family, which is in the byte order of whoever captured.
fn by_family(family: [u8; 4], packet: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    // AF_INET is 2 everywhere; AF_INET6 is 24, 28 or 30 on BSD and macOS, 10 on Linux, 23 on Windows.
    let is_ip = [u32::from_le_bytes(family), u32::from_be_bytes(family)]
        .into_iter()
        .any(|family| matches!(family, 2 | 10 | 23 | 24 | 28 | 30));
    is_ip.then_some(packet).ok_or(Unread::NotTcp)
}

/// The IP packet behind LLC and SNAP (IEEE 802.2, RFC 1042), which name its EtherType.
pub(super) fn logical(frame: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    by_ether_type(0, frame)
}

/// The IP packet in a frame of Token Ring (IEEE 802.5): access and frame control, two addresses, and, where
/// the source address says so, the route.
fn token_ring(frame: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    const IS_ROUTED: u8 = 0x80;
    const LENGTH: u8 = 0x1f;
    let (header, rest) = frame.header::<14>()?;
    if header[8] & IS_ROUTED == 0 {
        return logical(rest);
    }
    let (route, _) = rest.header::<1>()?;
    logical(rest.skip((route[0] & LENGTH).into())?)
}

/// The IP packet in an Ethernet frame.
pub(super) fn ethernet(frame: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    let (header, rest) = frame.header::<14>()?;
    by_ether_type(u16::from_be_bytes([header[12], header[13]]), rest)
}

/// The IP packet in a payload of this EtherType.
pub(super) fn by_ether_type(mut kind: u16, mut rest: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    for _ in 0..MAX_LAYERS {
        match kind {
            ether_type::IPV4 | ether_type::IPV6 => return Ok(rest),
            ether_type::VLAN | ether_type::PROVIDER_BRIDGE | ether_type::OLD_QINQ => {
                let (tag, inner) = rest.header::<4>()?;
                kind = u16::from_be_bytes([tag[2], tag[3]]);
                rest = inner;
            }
            ether_type::METADATA => {
                // Version, length in words of four bytes, and that many bytes without the EtherType.
                let (fixed, _) = rest.header::<2>()?;
                let length = 4 * usize::from(fixed[1]) + 2;
                let inner = rest.skip(length)?;
                let (next, inner) = inner.header::<2>()?;
                kind = u16::from_be_bytes(*next);
                rest = inner;
            }
            ether_type::E_TAG => {
                let (tag, inner) = rest.header::<8>()?;
                kind = u16::from_be_bytes([tag[6], tag[7]]);
                rest = inner;
            }
            ether_type::BRIDGED => {
                let (header, inner) = rest.header::<14>()?;
                kind = u16::from_be_bytes([header[12], header[13]]);
                rest = inner;
            }
            ether_type::VN_TAG => {
                let (tag, inner) = rest.header::<6>()?;
                kind = u16::from_be_bytes([tag[4], tag[5]]);
                rest = inner;
            }
            ether_type::FABRIC_PATH | ether_type::BACKBONE => {
                let tag = if kind == ether_type::BACKBONE { 4 } else { 2 };
                let (header, inner) = rest.skip(tag)?.header::<14>()?;
                kind = u16::from_be_bytes([header[12], header[13]]);
                rest = inner;
            }
            ether_type::MPLS => return mpls(rest),
            ether_type::PPP => return serial::point_to_point(rest),
            ether_type::PPPOE_SESSION => {
                // Version and type, code, session, length (RFC 2516).
                let (header, inner) = rest.header::<6>()?;
                let is_session = header[1] == 0;
                let length = u16::from_be_bytes([header[4], header[5]]);
                return if is_session {
                    serial::point_to_point(inner.cut(length.into()))
                } else {
                    Err(Unread::NotTcp)
                };
            }
            length if length < ether_type::FIRST => {
                // LLC with SNAP (IEEE 802.2): six bytes before the EtherType.
                let (header, inner) = rest.header::<8>()?;
                if header[..3] != [0xaa, 0xaa, 3] {
                    return Err(Unread::NotTcp);
                }
                kind = u16::from_be_bytes([header[6], header[7]]);
                rest = inner;
            }
            _ => return Err(Unread::NotTcp),
        }
    }
    Err(Unread::Malformed)
}

/// The IP packet below a stack of MPLS labels (RFC 3032). Nothing names its protocol but its first bits.
pub(super) fn mpls(mut rest: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    for _ in 0..MAX_LAYERS {
        let (label, inner) = rest.header::<4>()?;
        rest = inner;
        let is_last = label[2] & 1 != 0;
        if is_last {
            let version = rest.captured.first().ok_or(Unread::CutHeader)? >> 4;
            return match version {
                4 | 6 => Ok(rest),
                // A control word (RFC 4448), and an Ethernet frame.
                0 => ethernet(rest.skip(4)?),
                _ => Err(Unread::NotTcp),
            };
        }
    }
    Err(Unread::Malformed)
}

/// The IP packet in a frame of ARCnet: two addresses, an offset, and the protocol; behind it, if the frame may be one of
/// several, a flag and a sequence number (RFC 1201, section 2.1).
fn arcnet(frame: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    const IP: u8 = 212;
    /// RFC 1051.
    const OLD_IP: u8 = 240;
    let (header, rest) = frame.header::<5>()?;
    match header[4] {
        OLD_IP => Ok(rest),
        IP => match rest.header::<3>()? {
            ([0, ..], packet) => Ok(packet),
            _ => Err(Unread::Fragment),
        },
        _ => Err(Unread::NotTcp),
    }
}

/// The IP packet in an Ethernet frame behind a header of Juniper: a mark, flags, and extensions with their length.
fn juniper(frame: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    const MARK: [u8; 3] = *b"MGC";
    const EXTENSIONS: u8 = 0x80;
    const NO_LINK_LAYER: u8 = 0x02;
    let (header, rest) = frame.header::<4>()?;
    if header[..3] != MARK {
        return Err(Unread::Malformed);
    }
    if header[3] & NO_LINK_LAYER != 0 {
        return Err(Unread::UnknownLink);
    }
    if header[3] & EXTENSIONS == 0 {
        return ethernet(rest);
    }
    let (length, rest) = rest.header::<2>()?;
    ethernet(rest.skip(u16::from_be_bytes(*length).into())?)
}

/// The IP packet in a message of netfilter's log: a header, and attributes in the byte order of the machine
/// that captured.
fn nflog(frame: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    const PAYLOAD: u16 = 9;
    let (header, mut rest) = frame.header::<4>()?;
    if header[1] != 0 {
        return Err(Unread::Malformed);
    }
    loop {
        let (attribute, _) = rest.header::<4>()?;
        let [length, kind] = [[0, 1], [2, 3]].map(|at: [usize; 2]| {
            let bytes = [attribute[at[0]], attribute[at[1]]];
            [u16::from_le_bytes(bytes), u16::from_be_bytes(bytes)]
        });
        // Kinds are below 256: the other byte tells the order.
        let order = usize::from(kind[0] > kind[1]);
        let length = usize::from(length[order]);
        if length < 4 {
            return Err(Unread::Malformed);
        }
        if kind[order] == PAYLOAD {
            let packet = rest.skip(4)?;
            return Ok(packet.cut(length - 4));
        }
        rest = rest.skip(length.next_multiple_of(4))?;
    }
}
