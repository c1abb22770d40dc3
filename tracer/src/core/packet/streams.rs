//! Numbers conversations as tshark's `tcp.stream` does: in the order of their first segment, and anew where
//! a SYN shows that the ports are used again.

use std::net::Ipv6Addr;

use foldhash::HashMap;
use upload_protocol::Flags;

use crate::core::{address::Address, segment::Segment};

/// Conversations that a generation remembers; two generations are kept. A conversation that is older and
/// goes on gets a new number.
//
// What 2^19 places of a hash table hold: of 34 MB. One more would double it.
const MAX_GENERATION: usize = 7 << 16;

/// The conversations of a capture.
#[derive(Debug, Default)]
pub struct Streams {
    known: HashMap<(Address, Address), Stream>,
    /// The previous generation. A conversation still in use is in the current one since.
    older: HashMap<(Address, Address), Stream>,
    next: u64,
}

/// A conversation, its lower address first.
#[derive(Clone, Copy, Debug)]
struct Stream {
    number: u64,
    /// The initial sequence number of each end, or what stands for it.
    bases: [Option<u32>; 2],
}

/// What tells a segment's conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub source: Address,
    pub destination: Address,
    pub flags: Flags,
    pub seq: u32,
    pub ack: u32,
}

/// The number of a segment's conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    pub number: u64,
    /// Whether this is its first segment.
    pub is_new: bool,
    /// The conversation that had the same ports before, if this is the first segment since.
    pub replaces: Option<u64>,
}

impl Streams {
    /// The number of the conversation that a segment belongs to.
    pub fn number(&mut self, segment: &Header) -> Numbered {
        let (source, destination) = (segment.source, segment.destination);
        let is_lower = source <= destination;
        let ends = if is_lower {
            (source, destination)
        } else {
            (destination, source)
        };
        let own = usize::from(!is_lower);
        // Nearly every segment goes on with a conversation of the current generation.
        if let Some(stream) = self.known.get_mut(&ends)
            && !stream.is_reused_by(own, segment)
        {
            stream.record(own, segment);
            return Numbered {
                number: stream.number,
                is_new: false,
                replaces: None,
            };
        }
        let known = self.known.get(&ends).or_else(|| self.older.get(&ends));
        let continued = known.filter(|stream| !stream.is_reused_by(own, segment));
        let replaces = known
            .filter(|_| continued.is_none())
            .map(|stream| stream.number);
        let is_new = continued.is_none();
        let mut stream = continued.copied().unwrap_or(Stream {
            number: self.next,
            bases: [None; 2],
        });
        self.next += u64::from(is_new);
        stream.record(own, segment);
        if self.known.len() >= MAX_GENERATION {
            self.older = std::mem::take(&mut self.known);
        }
        self.known.insert(ends, stream);
        Numbered {
            number: stream.number,
            is_new,
            replaces,
        }
    }
}

impl Header {
    /// The first bytes of a TCP header, which may end before its checksum, behind these IP addresses.
    #[must_use]
    pub fn parse(bytes: &[u8], (source, destination): (Ipv6Addr, Ipv6Addr)) -> Option<Self> {
        let fixed: &[u8; 16] = bytes.first_chunk()?;
        let half = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let word = |at: usize| u32::from(half(at)) << 16 | u32::from(half(at + 2));
        Some(Self {
            source: Address::new(source, half(0)),
            destination: Address::new(destination, half(2)),
            flags: Flags(half(12) & 0x01ff),
            seq: word(4),
            ack: word(8),
        })
    }
}

impl<Packet> From<&Segment<Packet>> for Header {
    fn from(segment: &Segment<Packet>) -> Self {
        Self {
            source: segment.source,
            destination: segment.destination,
            flags: segment.flags,
            seq: segment.seq,
            ack: segment.ack,
        }
    }
}

impl Stream {
    /// Whether a SYN begins another conversation: it is not the first one sent again.
    fn is_reused_by(&self, own: usize, segment: &Header) -> bool {
        let is_syn = segment.flags.has(Flags::SYN) && !segment.flags.has(Flags::ACK);
        is_syn && self.bases[own].is_some_and(|base| base != segment.seq)
    }

    fn record(&mut self, own: usize, segment: &Header) {
        let is_syn = segment.flags.has(Flags::SYN);
        let first = segment.seq.wrapping_sub(u32::from(!is_syn));
        if is_syn {
            self.bases[own] = Some(first);
        }
        self.bases[own].get_or_insert(first);
        if segment.flags.has(Flags::ACK) {
            self.bases[1 - own].get_or_insert(segment.ack.wrapping_sub(1));
        }
    }
}

#[cfg(test)]
mod tests;
