//! Pairs the two ends of a connection: by their addresses or, if NAT translates the addresses on the
//! way, by the initial sequence numbers, which NAT keeps. A proxy changes them: its two sides are two
//! connections.

use foldhash::HashMap;
use upload_protocol::{End, Flags};

use super::Key;
use crate::core::{address::Address, event::Addresses, segment::Segment};

#[derive(Debug, Default)]
pub(super) struct Pairing {
    by_addresses: HashMap<Pair, Key>,
    /// Connections whose client was seen.
    by_numbers: HashMap<Numbers, Key>,
    numbers: HashMap<Key, Numbers>,
}

/// The 4-tuple, the same for both ends. The namespace is 0 except for loopback addresses, which mean
/// another host in each namespace; other addresses may be one conversation between two namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pair {
    pub(super) client: Address,
    pub(super) server: Address,
    netns: u32,
}

/// The initial sequence numbers of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Numbers {
    client: u32,
    server: u32,
}

impl Pair {
    pub(super) fn new(addresses: Addresses, end: End) -> Self {
        let (client, server) = match end {
            End::Client => (addresses.local, addresses.remote),
            End::Server => (addresses.remote, addresses.local),
        };
        let netns = if client.ip().is_loopback() || server.ip().is_loopback() {
            addresses.netns
        } else {
            0
        };
        Self {
            client,
            server,
            netns,
        }
    }
}

impl Numbers {
    /// The numbers of a SYN-ACK; `None` for another segment.
    pub(super) fn of_syn_ack<Packet>(segment: &Segment<Packet>) -> Option<Self> {
        let is_one = segment.flags.has(Flags::SYN | Flags::ACK);
        is_one.then(|| Self {
            client: segment.ack.wrapping_sub(1),
            server: segment.seq,
        })
    }

    /// The numbers of the client's first segment after its SYN; `None` for its SYN.
    pub(super) fn of_third_ack(segment: &Segment) -> Option<Self> {
        let is_one = segment.flags.has(Flags::ACK) && !segment.flags.has(Flags::SYN);
        is_one.then(|| Self {
            client: segment.seq.wrapping_sub(1),
            server: segment.ack.wrapping_sub(1),
        })
    }
}

impl Pairing {
    pub(super) fn await_peer(&mut self, pair: Pair, key: Key) {
        self.by_addresses.insert(pair, key);
    }

    /// A connection's client received a SYN-ACK: its server may be found by these numbers.
    pub(super) fn await_numbers(&mut self, numbers: Numbers, key: Key) {
        self.by_numbers.insert(numbers, key);
        self.numbers.insert(key, numbers);
    }

    pub(super) fn by_addresses(&self, pair: &Pair) -> Option<Key> {
        self.by_addresses.get(pair).copied()
    }

    pub(super) fn by_numbers(&self, numbers: Numbers) -> Option<Key> {
        self.by_numbers.get(&numbers).copied()
    }

    pub(super) fn paired(&mut self, key: Key, pair: &Pair) {
        self.by_addresses.remove(pair);
        self.forget_numbers(key);
    }

    pub(super) fn forget(&mut self, key: Key, pair: &Pair) {
        if self.by_addresses.get(pair) == Some(&key) {
            self.by_addresses.remove(pair);
        }
        self.forget_numbers(key);
    }

    fn forget_numbers(&mut self, key: Key) {
        if let Some(numbers) = self.numbers.remove(&key)
            && self.by_numbers.get(&numbers) == Some(&key)
        {
            self.by_numbers.remove(&numbers);
        }
    }
}
