//! The frames of a capture: from the link layer through IP, and through tunnels, to the TCP segment.
//!
//! Reads headers alone. What has no segment, or none that can be read, is an error with its reason, and
//! is counted.

mod capwap;
mod fragments;
mod link;
mod network;
mod serial;
mod states;
mod streams;
mod udp_tunnel;
mod wifi;

use std::{
    borrow::Cow,
    hash::{BuildHasher as _, Hasher as _},
};

use foldhash::fast::FixedState;
use upload_protocol::line::CaptureTotals;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, little_endian as le};

pub use self::{
    fragments::Fragments,
    states::{Change, Changes, States},
    streams::{Header as ConversationHeader, Numbered, Streams},
};
use crate::core::{
    points::Point,
    segment::{NoSegment, Segment},
};

/// One frame of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When it was captured, in nanoseconds since the capture's first packet.
    pub mono_ns: u64,
    /// What it begins with: a LINKTYPE value of libpcap's registry.
    pub link_type: u16,
    /// Its length before the snap length cut it.
    pub length: u32,
    /// Which of two captures of one conversation it is from: 0 or 1; else 0.
    pub capture: Point,
    /// The captured bytes, from the link layer's header on.
    pub bytes: Cow<'a, [u8]>,
}

/// Why a frame gives no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It carries another protocol.
    NotTcp,
    /// It is a fragment of an IP packet (RFC 791, RFC 8200 section 4.5).
    Fragment,
    /// It is encrypted on a wireless network.
    Encrypted,
    /// Several packets stand in one frame of a wireless network (A-MSDU).
    Aggregated,
    /// It ends within a header.
    CutHeader,
    /// A header cannot be one.
    Malformed,
    /// The link type is not known here.
    UnknownLink,
}

/// The fields of a packet before its bytes, as a recording has them.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    mono_ns: le::U64,
    length: le::U32,
    link_type: le::U16,
    capture: u8,
}

impl Packet<'_> {
    /// The TCP segment in it.
    pub fn segment(&self) -> Result<Segment<&[u8]>, Unread> {
        let mut segment = network::segment(self.network()?)?;
        segment.mono_ns = self.mono_ns;
        Ok(segment)
    }

    /// The TCP header in a frame that gives no segment: it cannot be one, or is cut, or an ICMP error quotes it.
    /// tshark numbers its conversation, too.
    #[must_use]
    pub fn conversation(&self) -> Option<ConversationHeader> {
        network::header(self.network().ok()?)
    }

    /// The packet, if it is the last missing fragment of one.
    pub fn put_together(&self, with: &mut Fragments) -> Option<Packet<'static>> {
        let fragment = network::fragment(self.network().ok()?)?;
        with.add(fragment, self.mono_ns)
    }

    fn network(&self) -> Result<Bytes<'_>, Unread> {
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        let frame = Bytes {
            captured: &self.bytes,
            length: length.max(self.bytes.len()),
        };
        link::network(self.link_type, frame)
    }

    /// The packet as a frame of a recording.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = Header {
            mono_ns: self.mono_ns.into(),
            length: self.length.into(),
            link_type: self.link_type.into(),
            capture: u8::from(self.capture > 0),
        };
        [header.as_bytes(), &self.bytes].concat()
    }

    #[must_use]
    pub fn into_owned(self) -> Packet<'static> {
        Packet {
            mono_ns: self.mono_ns,
            link_type: self.link_type,
            length: self.length,
            capture: self.capture,
            bytes: Cow::Owned(self.bytes.into_owned()),
        }
    }
}

impl<'a> Packet<'a> {
    /// The packet in a frame of a recording; `None` if the frame is too short.
    #[must_use]
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = Header::read_from_prefix(bytes).ok()?;
        Some(Self {
            mono_ns: header.mono_ns.get(),
            link_type: header.link_type.get(),
            length: header.length.get(),
            capture: usize::from(header.capture > 0),
            bytes: Cow::Borrowed(rest),
        })
    }
}

/// What tells a packet from another one of its connection: all but what a router changes. `None` if two
/// packets may well be the same: those of IPv6, or without an identification, that bring nothing but an
/// acknowledgment.
#[must_use]
pub fn fingerprint(segment: &Segment<&[u8]>) -> Option<u64> {
    const IPV4: u8 = 4;
    let packet = segment.packet;
    let is_ipv4 = packet.first()? >> 4 == IPV4;
    let has_identification = is_ipv4 && packet.get(4..6)? != [0, 0];
    if segment.sequence_length() == 0 && !has_identification {
        return None;
    }
    let mut hasher = FixedState::default().build_hasher();
    // The time to live, or hop limit; the differentiated services; IPv4's checksum.
    let changing: &[usize] = if is_ipv4 { &[1, 8, 10, 11] } else { &[0, 1, 7] };
    let mut header = [0; 20];
    let (own, rest) = packet.split_at_checked(header.len())?;
    header.copy_from_slice(own);
    for at in changing {
        header[*at] = 0;
    }
    hasher.write(&header);
    hasher.write(rest);
    Some(hasher.finish())
}

impl Unread {
    /// Counts a frame.
    pub const fn count(self, totals: &mut CaptureTotals) {
        let count = match self {
            Self::NotTcp => &mut totals.not_tcp,
            Self::Fragment => &mut totals.fragments,
            Self::Encrypted => &mut totals.encrypted,
            Self::Aggregated => &mut totals.aggregated,
            Self::CutHeader => &mut totals.cut_headers,
            Self::Malformed => &mut totals.malformed,
            Self::UnknownLink => &mut totals.unknown_link,
        };
        *count += 1;
    }
}

impl From<NoSegment> for Unread {
    fn from(error: NoSegment) -> Self {
        match error {
            NoSegment::Truncated(_) => Self::CutHeader,
            NoSegment::TooShort(_) | NoSegment::Version(_) => Self::Malformed,
            NoSegment::Protocol(_) => Self::NotTcp,
        }
    }
}

/// The bytes of a layer: what was captured of it, and its length before it was cut.
#[derive(Clone, Copy, Debug)]
struct Bytes<'a> {
    captured: &'a [u8],
    length: usize,
}

impl<'a> Bytes<'a> {
    /// Splits a header of fixed length off.
    fn header<const N: usize>(self) -> Result<(&'a [u8; N], Self), Unread> {
        let (header, rest) = self.captured.split_first_chunk().ok_or(Unread::CutHeader)?;
        let rest = Bytes {
            captured: rest,
            length: self.length.saturating_sub(N),
        };
        Ok((header, rest))
    }

    /// Leaves out what is beyond this length.
    fn cut(self, length: usize) -> Self {
        Bytes {
            captured: &self.captured[..length.min(self.captured.len())],
            length: length.min(self.length),
        }
    }

    /// Drops a header of this length.
    fn skip(self, length: usize) -> Result<Self, Unread> {
        Ok(Bytes {
            captured: self.captured.get(length..).ok_or(Unread::CutHeader)?,
            length: self.length.saturating_sub(length),
        })
    }
}

#[cfg(test)]
mod tests;
