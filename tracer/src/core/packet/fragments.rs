//! Puts the fragments of IP packets together (RFC 791, section 3.2; RFC 8200, section 4.5).

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    net::Ipv6Addr,
};

use etherparse::{IpFragOffset, IpNumber, Ipv6ExtensionSlice, LaxIpSlice, defrag::IpDefragBuf};

use super::Packet;

/// Packets of which some fragments are there.
#[derive(Debug, Default)]
pub struct Fragments {
    packets: HashMap<Id, Parts>,
    /// The packets by age.
    ages: BTreeMap<u64, Id>,
    next: u64,
}

/// What the fragments of one packet have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    protocol: IpNumber,
    identification: u32,
}

/// A part of a packet's payload.
pub(super) struct Fragment<'a> {
    id: Id,
    offset: IpFragOffset,
    has_more: bool,
    /// The header of the whole packet, but for its length.
    header: Vec<u8>,
    payload: &'a [u8],
}

#[derive(Debug)]
struct Parts {
    age: u64,
    first_ns: u64,
    payload: IpDefragBuf,
    /// Of the first fragment: later ones may lack options.
    header: Vec<u8>,
}

/// A packet has at most 64 KiB: 16 MiB in all.
const MAX_PACKETS: usize = 256;
/// How long Linux waits for the rest of a packet (`net.ipv4.ipfrag_time`).
const LIFETIME_NS: u64 = 30_000_000_000;
/// LINKTYPE_RAW: a packet without a link layer.
const RAW: u16 = 101;

impl Fragments {
    /// Adds a fragment that was captured whole; returns its packet once that is complete.
    pub(super) fn add(&mut self, fragment: Fragment<'_>, mono_ns: u64) -> Option<Packet<'static>> {
        let id = fragment.id;
        let known = self.packets.get(&id);
        if known.is_some_and(|parts| mono_ns.saturating_sub(parts.first_ns) > LIFETIME_NS) {
            self.forget(id);
        }
        if !self.packets.contains_key(&id) {
            self.make_room();
            self.ages.insert(self.next, id);
        }
        let parts = self.packets.entry(id).or_insert_with(|| Parts {
            age: self.next,
            first_ns: mono_ns,
            payload: IpDefragBuf::new(id.protocol, Vec::new(), Vec::new()),
            header: fragment.header.clone(),
        });
        self.next += 1;
        if fragment.offset == IpFragOffset::ZERO {
            parts.header = fragment.header;
        }
        let added = parts
            .payload
            .add(fragment.offset, fragment.has_more, fragment.payload);
        if added.is_err() {
            // Lengths that contradict each other: no packet will come of them.
            self.forget(id);
            return None;
        }
        if !parts.payload.is_complete() {
            return None;
        }
        let parts = self.forget(id)?;
        let (payload, _) = parts.payload.take_bufs();
        whole(parts.header, &payload, mono_ns)
    }

    /// How many packets wait for fragments.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    fn make_room(&mut self) {
        if self.packets.len() >= MAX_PACKETS
            && let Some((_, oldest)) = self.ages.pop_first()
        {
            self.packets.remove(&oldest);
        }
    }

    fn forget(&mut self, id: Id) -> Option<Parts> {
        let parts = self.packets.remove(&id)?;
        self.ages.remove(&parts.age);
        Some(parts)
    }
}

impl<'a> Fragment<'a> {
    /// `None` if the packet is whole, or the fragment is cut.
    pub(super) fn of(ip: &LaxIpSlice<'a>) -> Option<Self> {
        let payload = ip.payload();
        if payload.incomplete || !payload.fragmented {
            return None;
        }
        let protocol = payload.ip_number;
        let payload = payload.payload;
        match ip {
            LaxIpSlice::Ipv4(ip) => {
                let header = ip.header();
                let mut whole = header.slice().to_vec();
                // Neither flags nor offset: it is no fragment any more.
                whole.get_mut(6..8)?.fill(0);
                Some(Self {
                    id: Id {
                        source: header.source_addr().to_ipv6_mapped(),
                        destination: header.destination_addr().to_ipv6_mapped(),
                        protocol,
                        identification: header.identification().into(),
                    },
                    offset: header.fragments_offset(),
                    has_more: header.more_fragments(),
                    header: whole,
                    payload,
                })
            }
            LaxIpSlice::Ipv6(ip) => {
                let header = ip.header();
                let fragment = ip
                    .extensions()
                    .clone()
                    .into_iter()
                    .find_map(|one| match one {
                        Ipv6ExtensionSlice::Fragment(fragment) => Some(fragment),
                        _ => None,
                    })?;
                let mut whole = header.slice().to_vec();
                *whole.get_mut(6)? = protocol.0;
                Some(Self {
                    id: Id {
                        source: header.source_addr(),
                        destination: header.destination_addr(),
                        protocol,
                        identification: fragment.identification(),
                    },
                    offset: fragment.fragment_offset(),
                    has_more: fragment.more_fragments(),
                    header: whole,
                    payload,
                })
            }
        }
    }
}

/// A packet put together. A length beyond 64 KiB is announced as 0: it ends where its bytes do.
fn whole(mut header: Vec<u8>, payload: &[u8], mono_ns: u64) -> Option<Packet<'static>> {
    const IPV4: u8 = 4;
    let (at, announced) = if header.first()? >> 4 == IPV4 {
        (2, header.len() + payload.len())
    } else {
        (4, payload.len())
    };
    let announced = u16::try_from(announced).unwrap_or(0);
    header
        .get_mut(at..at + 2)?
        .copy_from_slice(&announced.to_be_bytes());
    header.extend_from_slice(payload);
    Some(Packet {
        mono_ns,
        link_type: RAW,
        length: u32::try_from(header.len()).ok()?,
        capture: 0,
        bytes: Cow::Owned(header),
    })
}
