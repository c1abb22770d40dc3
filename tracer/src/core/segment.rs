//! A TCP segment out of a packet's first bytes: IPv4 or IPv6, TCP, its options, the head of its
//! payload. Every length is checked: a malformed packet is an error, never a guess.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    num::NonZeroU64,
};

use upload_protocol::{AcceptQueue, Flags, SegmentOptions};

use crate::core::{address::Address, points::Crossing};

/// A segment as it passed a socket, with its packet's bytes borrowed from the record, or owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<Packet = Box<[u8]>> {
    /// When it passed, CLOCK_MONOTONIC.
    pub mono_ns: u64,
    /// Whether it left the socket; else it arrived.
    pub leaving: bool,
    /// Whether it is sent as several segments (segmentation offload).
    pub merged: bool,
    pub source: Address,
    pub destination: Address,
    /// The ECN bits of the IP header (RFC 3168): 0 for none, 3 for congestion experienced.
    pub ecn: u8,
    /// Sequence number, as on the wire.
    pub seq: u32,
    /// Acknowledgment number, as on the wire.
    pub ack: u32,
    pub flags: Flags,
    /// The window field, not scaled.
    pub window: u16,
    /// Bytes of payload.
    pub len: u32,
    pub options: SegmentOptions,
    /// Length of the packet from the IP header on.
    pub packet_len: u32,
    /// The captured part of the packet, from the IP header on; or of its payload, if only that is kept.
    pub packet: Packet,
    /// Where its payload starts.
    headers: usize,
    /// Payload that passed the socket in this direction before it, retransmitted bytes included.
    pub before_bytes: u64,
    /// For the first payload after some in the other direction: when the last payload of that direction
    /// passed the socket.
    pub turned_ns: Option<u64>,
    /// Whether its socket is a listener: the connection has none of its own yet.
    pub under_listener: bool,
    /// The port of its socket, which may not be the packet's (NAT); 0 if unknown.
    pub socket_port: u16,
    /// For a SYN that reached a listener: its accept queue then.
    pub accept_queue: Option<AcceptQueue>,
    /// Its frame in a capture, counted from 1; `None` if the kernel reported it.
    pub frame: Option<NonZeroU64>,
    /// Whether a capture has it twice, and this is the second.
    pub is_duplicate: bool,
    /// What became of it on the way from one capture to another; `None` where there are not two.
    pub crossing: Option<Box<Crossing>>,
}

/// What an IP header tells about the segment behind it.
#[derive(Clone, Copy, Debug)]
pub struct Carrier {
    /// IPv4 as `::ffff:a.b.c.d`.
    pub source: Ipv6Addr,
    /// Likewise.
    pub destination: Ipv6Addr,
    /// The ECN bits (RFC 3168).
    pub ecn: u8,
    /// Length of the IP header, with its options and extension headers.
    pub headers: usize,
    /// Length of the whole packet, from the IP header on.
    pub length: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSegment {
    /// The bytes end before the header does.
    #[error("{0} is cut off")]
    Truncated(&'static str),
    /// A header says that it is shorter than it can be.
    #[error("{0} is too short to be one")]
    TooShort(&'static str),
    #[error("IP version {0}")]
    Version(u8),
    #[error("IP protocol {0}")]
    Protocol(u8),
}

const IPPROTO_TCP: u8 = 6;
const IP: &str = "the IP header";
const TCP: &str = "the TCP header";

impl<'a> Segment<&'a [u8]> {
    /// Parses a packet's first bytes; `length` is the whole packet's. Leaves empty what is not in the
    /// packet (time, bytes before it, the accept queue).
    pub fn parse(
        packet: &'a [u8],
        length: u32,
        leaving: bool,
        merged: bool,
    ) -> Result<Self, NoSegment> {
        let ip = IpHeader::parse(packet)?;
        let carrier = Carrier {
            source: ip.source,
            destination: ip.destination,
            ecn: ip.ecn,
            headers: ip.length,
            length,
        };
        // Changed where it is: to take it out, and put it back, would be two copies for each record.
        let mut parsed = Self::behind(packet, &carrier);
        if let Ok(segment) = &mut parsed {
            if packet.len() < segment.headers {
                return Err(NoSegment::Truncated(TCP));
            }
            segment.leaving = leaving;
            segment.merged = merged;
        }
        parsed
    }

    /// The segment behind an IP header that was read already. A capture may cut it within the options:
    /// those that remain are read.
    pub fn behind(packet: &'a [u8], ip: &Carrier) -> Result<Self, NoSegment> {
        let tcp = packet.get(ip.headers..).ok_or(NoSegment::Truncated(IP))?;
        let fixed: &[u8; 20] = tcp.first_chunk().ok_or(NoSegment::Truncated(TCP))?;
        let header = usize::from(fixed[12] >> 4) * 4;
        if header < fixed.len() {
            return Err(NoSegment::TooShort(TCP));
        }
        let options = &tcp[fixed.len()..header.min(tcp.len())];
        let headers = ip.headers + header;
        // A header beyond the packet's end: the kernel drops it (tcp_v4_rcv, "bad_packet").
        let Some(len) = u32::try_from(headers)
            .ok()
            .and_then(|headers| ip.length.checked_sub(headers))
        else {
            return Err(NoSegment::TooShort(TCP));
        };
        let word = |at: usize| {
            u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]])
        };
        let half = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        Ok(Self {
            mono_ns: 0,
            leaving: false,
            merged: false,
            source: Address::new(ip.source, half(0)),
            destination: Address::new(ip.destination, half(2)),
            ecn: ip.ecn,
            seq: word(4),
            ack: word(8),
            flags: Flags(half(12) & 0x01ff),
            window: half(14),
            len,
            options: parse_options(options),
            packet_len: ip.length,
            packet,
            headers,
            before_bytes: 0,
            turned_ns: None,
            under_listener: false,
            socket_port: 0,
            accept_queue: None,
            frame: None,
            is_duplicate: false,
            crossing: None,
        })
    }

    /// Copies the segment, with its headers or with its payload alone, and takes its options out of it.
    //
    // Without --segments nobody reads the headers again. Most segments have no payload, so nothing is copied.
    #[must_use]
    pub fn keep(&mut self, with_headers: bool) -> Box<Segment> {
        let (packet, headers) = if with_headers {
            (self.packet, self.headers)
        } else {
            (self.payload(), 0)
        };
        let packet = packet.into();
        Box::new(Segment {
            mono_ns: self.mono_ns,
            leaving: self.leaving,
            merged: self.merged,
            source: self.source,
            destination: self.destination,
            ecn: self.ecn,
            seq: self.seq,
            ack: self.ack,
            flags: self.flags,
            window: self.window,
            len: self.len,
            options: std::mem::take(&mut self.options),
            packet_len: self.packet_len,
            packet,
            headers,
            before_bytes: self.before_bytes,
            turned_ns: self.turned_ns,
            under_listener: self.under_listener,
            socket_port: self.socket_port,
            accept_queue: self.accept_queue,
            frame: self.frame,
            is_duplicate: self.is_duplicate,
            crossing: self.crossing.take(),
        })
    }
}

impl Segment {
    /// The same segment, with its packet borrowed.
    #[must_use]
    pub fn borrowed(&self) -> Segment<&[u8]> {
        Segment {
            mono_ns: self.mono_ns,
            leaving: self.leaving,
            merged: self.merged,
            source: self.source,
            destination: self.destination,
            ecn: self.ecn,
            seq: self.seq,
            ack: self.ack,
            flags: self.flags,
            window: self.window,
            len: self.len,
            options: self.options.clone(),
            packet_len: self.packet_len,
            packet: &self.packet,
            headers: self.headers,
            before_bytes: self.before_bytes,
            turned_ns: self.turned_ns,
            under_listener: self.under_listener,
            socket_port: self.socket_port,
            accept_queue: self.accept_queue,
            frame: self.frame,
            is_duplicate: self.is_duplicate,
            crossing: self.crossing.clone(),
        }
    }

    /// Adds bytes to the captured part of the payload, if they follow it.
    pub fn add_bytes(&mut self, offset: u32, bytes: &[u8]) {
        if usize::try_from(offset) == Ok(self.payload().len()) {
            let mut packet = std::mem::take(&mut self.packet).into_vec();
            packet.extend_from_slice(bytes);
            self.packet = packet.into();
        }
    }
}

impl<Packet: AsRef<[u8]>> Segment<Packet> {
    /// The captured part of the payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.packet.as_ref().get(self.headers..).unwrap_or_default()
    }

    /// Whether some of its payload was not captured.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        usize::try_from(self.len).is_ok_and(|len| self.payload().len() < len)
    }

    /// The number of sequence numbers it takes: its payload, and one each for SYN and FIN.
    #[must_use]
    pub const fn sequence_length(&self) -> u32 {
        self.len + self.flags.has(Flags::SYN) as u32 + self.flags.has(Flags::FIN) as u32
    }
}

struct IpHeader {
    /// IPv4 as `::ffff:a.b.c.d`.
    source: Ipv6Addr,
    /// Likewise.
    destination: Ipv6Addr,
    ecn: u8,
    length: usize,
}

impl IpHeader {
    fn parse(packet: &[u8]) -> Result<Self, NoSegment> {
        let first = packet.first().ok_or(NoSegment::Truncated(IP))?;
        match first >> 4 {
            4 => Self::parse_v4(packet),
            6 => Self::parse_v6(packet),
            version => Err(NoSegment::Version(version)),
        }
    }

    fn parse_v4(packet: &[u8]) -> Result<Self, NoSegment> {
        let fixed: &[u8; 20] = packet.first_chunk().ok_or(NoSegment::Truncated(IP))?;
        let length = usize::from(fixed[0] & 0x0f) * 4;
        if length < fixed.len() {
            return Err(NoSegment::TooShort(IP));
        }
        if fixed[9] != IPPROTO_TCP {
            return Err(NoSegment::Protocol(fixed[9]));
        }
        let address = |at: usize| {
            let ip = Ipv4Addr::new(fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]);
            ip.to_ipv6_mapped()
        };
        Ok(Self {
            source: address(12),
            destination: address(16),
            ecn: fixed[1] & 0b11,
            length,
        })
    }

    fn parse_v6(packet: &[u8]) -> Result<Self, NoSegment> {
        let fixed: &[u8; 40] = packet.first_chunk().ok_or(NoSegment::Truncated(IP))?;
        if fixed[6] != IPPROTO_TCP {
            return Err(NoSegment::Protocol(fixed[6]));
        }
        let address = |at: usize| {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&fixed[at..at + 16]);
            Ipv6Addr::from(bytes)
        };
        Ok(Self {
            source: address(8),
            destination: address(24),
            ecn: fixed[1] >> 4 & 0b11,
            length: fixed.len(),
        })
    }
}

fn parse_options(mut bytes: &[u8]) -> SegmentOptions {
    let mut options = SegmentOptions::default();
    while let Some((&kind, rest)) = bytes.split_first() {
        match kind {
            0 => break,
            1 => {
                bytes = rest;
                continue;
            }
            _ => {}
        }
        let length = rest.first().copied().map_or(0, usize::from);
        let Some(value) = bytes.get(2..length) else {
            options.malformed = true;
            break;
        };
        if !add_option(&mut options, kind, value) {
            options.malformed = true;
        }
        bytes = &bytes[length..];
    }
    options
}

/// Adds one option; false when its length is not its kind's.
fn add_option(options: &mut SegmentOptions, kind: u8, value: &[u8]) -> bool {
    match (kind, value) {
        (2, &[high, low]) => options.mss = Some(u16::from_be_bytes([high, low])),
        (3, &[shift]) => options.window_scale = Some(shift),
        (4, []) => options.sack_permitted = true,
        (5, blocks) if !blocks.is_empty() && blocks.len() % 8 == 0 => {
            options.sack = blocks.chunks_exact(8).map(sack_block).collect();
        }
        (8, stamps) if stamps.len() == 8 => {
            let (value, echo) = sack_block(stamps);
            options.tsval = Some(value);
            options.tsecr = Some(echo);
        }
        (34, cookie) => {
            options.fast_open = Some(cookie.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        (2 | 3 | 4 | 5 | 8, _) => return false,
        (kind, _) => options.other.push(kind),
    }
    true
}

fn sack_block(bytes: &[u8]) -> (u32, u32) {
    let word = |at: usize| {
        bytes[at..at + 4]
            .iter()
            .fold(0, |word, byte| word << 8 | u32::from(*byte))
    };
    (word(0), word(4))
}

#[cfg(test)]
mod tests;
