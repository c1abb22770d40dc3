//! Segments of handshakes that have no socket yet: until the third ACK, a handshake runs under the
//! listener. Bounded, because any host may send SYNs; segments dropped too early are counted.

use std::collections::{VecDeque, vec_deque};

use foldhash::HashMap;
use upload_protocol::{End, Flags};

use super::pairing::Numbers;
use crate::core::{address::Address, segment::Segment};

/// A SYN flood has no end: drop the oldest beyond this.
const MAX_SEGMENTS: usize = 4096;

/// A listener gives a handshake up after 63 s (`net.ipv4.tcp_synack_retries` is 5): older segments
/// belong to no connection, and dropping them is no loss.
pub(super) const STALE_NS: u64 = 64_000_000_000;

/// Two addresses, in an order that does not depend on who sends.
type Ends = (Address, Address);

/// Sequence numbers further apart belong to two handshakes. The window of a SYN-ACK is not scaled (RFC 7323,
/// section 2.2), so a client sends less than this before its socket exists. A port is used again after 1 s at the
/// earliest (`net.ipv4.tcp_tw_reuse`); an initial number has grown by 15 million by then (`seq_scale`).
const FAR: u32 = 1 << 17;

#[derive(Debug, Default)]
pub(super) struct PendingHandshakes {
    /// Retransmitted SYN-ACKs: client, server, when.
    syn_acks: VecDeque<(Address, Address, u64)>,
    segments: HashMap<Ends, Handshake>,
    /// The initial sequence number of each client whose SYN waits. NAT may give the SYN-ACK other
    /// addresses on its way out.
    by_number: HashMap<u32, Ends>,
    /// The number and addresses of each segment, the oldest first. Taken segments are removed later,
    /// many at once.
    order: VecDeque<(u64, Ends)>,
    next: u64,
    held: usize,
    dropped: u64,
    dropped_ns: Option<u64>,
}

/// The segments of one handshake between two addresses, in the order seen.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    segments: VecDeque<Unclaimed>,
    /// The latest sequence number of each end of [`Ends`].
    numbers: (Option<u32>, Option<u32>),
}

/// A segment that belongs to no socket yet.
#[derive(Debug)]
struct Unclaimed {
    number: u64,
    segment: Box<Segment>,
}

impl PendingHandshakes {
    pub(super) fn add_syn_ack(&mut self, client: Address, server: Address, mono_ns: u64) {
        if self.syn_acks.len() == MAX_SEGMENTS
            && let Some((_, _, seen_ns)) = self.syn_acks.pop_front()
        {
            self.count_dropped(seen_ns, mono_ns);
        }
        self.syn_acks.push_back((client, server, mono_ns));
    }

    pub(super) fn add_segment(&mut self, segment: Box<Segment>) {
        let mono_ns = segment.mono_ns;
        while self.held >= MAX_SEGMENTS {
            self.drop_oldest(mono_ns);
        }
        let ends = self.ends_of(&segment);
        let known = self.segments.get(&ends);
        if known.is_some_and(|known| known.is_followed_by(&segment, ends)) {
            // The earlier handshake came to nothing, or the records of its socket were lost.
            self.take_segments(ends.0, ends.1);
        }
        if is_syn(&segment) {
            self.by_number.insert(segment.seq, ends);
        }
        let number = self.next;
        self.next += 1;
        self.held += 1;
        let handshake = self.segments.entry(ends).or_default();
        handshake.learn_numbers(&segment, ends);
        let unclaimed = Unclaimed { number, segment };
        handshake.segments.push_back(unclaimed);
        self.order.push_back((number, ends));
        if self.order.len() > 2 * MAX_SEGMENTS {
            self.forget_taken();
        }
    }

    /// Takes the times of a connection's retransmitted SYN-ACKs since `since_ns`. Earlier ones are another
    /// connection's.
    pub(super) fn take_syn_acks(
        &mut self,
        client: Address,
        server: Address,
        since_ns: u64,
    ) -> Vec<u64> {
        let mut taken = Vec::new();
        self.syn_acks.retain(|(of, to, mono_ns)| {
            let is_its = (*of, *to) == (client, server);
            if is_its && *mono_ns >= since_ns {
                taken.push(*mono_ns);
            }
            !is_its
        });
        taken
    }

    /// The initial sequence numbers of a connection, from its third ACK. Not from the SYN-ACK: behind
    /// NAT that is seen with other addresses.
    pub(super) fn numbers(&self, client: Address, server: Address) -> Option<Numbers> {
        let handshake = self.segments.get(&ends(client, server))?;
        handshake
            .segments
            .iter()
            .find_map(|Unclaimed { segment, .. }| {
                let is_its = (segment.source, segment.destination) == (client, server);
                Numbers::of_third_ack(segment).filter(|_| is_its)
            })
    }

    pub(super) fn take_segments(&mut self, client: Address, server: Address) -> Handshake {
        let ends = ends(client, server);
        let taken = self.segments.remove(&ends).unwrap_or_default();
        self.held -= taken.segments.len();
        for Unclaimed { segment, .. } in &taken.segments {
            self.forget_number(segment, ends);
        }
        taken
    }

    /// The addresses of the handshake that a segment belongs to, as its socket sees them.
    fn ends_of(&self, segment: &Segment) -> Ends {
        let own = ends(segment.source, segment.destination);
        let is_answer = segment.leaving && segment.flags.has(Flags::SYN | Flags::ACK);
        if !is_answer || self.segments.contains_key(&own) {
            return own;
        }
        let client = segment.ack.wrapping_sub(1);
        self.by_number.get(&client).copied().unwrap_or(own)
    }

    fn forget_number(&mut self, segment: &Segment, ends: Ends) {
        if is_syn(segment) && self.by_number.get(&segment.seq) == Some(&ends) {
            self.by_number.remove(&segment.seq);
        }
    }

    /// Whether the client's SYN was seen.
    pub(super) fn has_syn(&self, client: Address, server: Address) -> bool {
        let handshake = self.segments.get(&ends(client, server));
        handshake.is_some_and(|handshake| {
            handshake.segments.iter().any(|Unclaimed { segment, .. }| {
                segment.source == client && segment.flags.has(Flags::SYN)
            })
        })
    }

    /// Whether a SYN or a SYN-ACK waits between these addresses.
    pub(super) fn has_syn_between(&self, one: Address, other: Address) -> bool {
        let handshake = self.segments.get(&ends(one, other));
        handshake.is_some_and(|known| {
            let mut segments = known.segments.iter();
            segments.any(|known| known.segment.flags.has(Flags::SYN))
        })
    }

    /// When a segment was last dropped.
    pub(super) const fn dropped_ns(&self) -> Option<u64> {
        self.dropped_ns
    }

    /// Takes the number of segments dropped since the last call.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn drop_oldest(&mut self, now_ns: u64) {
        let Some((number, ends)) = self.order.pop_front() else {
            self.held = 0;
            return;
        };
        let Some(handshake) = self.segments.get_mut(&ends) else {
            return;
        };
        let Some(oldest) = handshake
            .segments
            .pop_front_if(|oldest| oldest.number == number)
        else {
            return;
        };
        if handshake.segments.is_empty() {
            self.segments.remove(&ends);
        }
        self.held -= 1;
        self.forget_number(&oldest.segment, ends);
        // Count a handshake once, by its SYN. Other segments belong to it, or to a finished connection.
        if oldest.segment.flags.has(Flags::SYN) {
            self.count_dropped(oldest.segment.mono_ns, now_ns);
        }
    }

    const fn count_dropped(&mut self, seen_ns: u64, now_ns: u64) {
        if now_ns.saturating_sub(seen_ns) < STALE_NS {
            self.dropped += 1;
            self.dropped_ns = Some(now_ns);
        }
    }

    fn forget_taken(&mut self) {
        let segments = &self.segments;
        self.order.retain(|(number, ends)| {
            let first = segments
                .get(ends)
                .and_then(|handshake| handshake.segments.front());
            first.is_some_and(|first| first.number <= *number)
        });
    }
}

impl Handshake {
    /// Whether a segment is another handshake's, which makes this one the earlier. A server that has the earlier
    /// connection yet answers a SYN with an ACK of that one (RFC 9293, section 3.10.7.4): that is no handshake.
    fn is_followed_by(&self, segment: &Segment, ends: Ends) -> bool {
        let first = self.segments.front();
        let opens = segment.flags.has(Flags::SYN)
            || first.is_some_and(|first| first.segment.source == segment.source);
        opens && self.is_far_from(segment, ends)
    }

    /// Whether numbers can be compared, and none is near the end's latest. One may change within a handshake: a SYN
    /// cookie differs with each SYN.
    fn is_far_from(&self, segment: &Segment, ends: Ends) -> bool {
        let (one, other) = self.numbers;
        let numbers = numbers_of(segment, ends);
        let is_near = |(known, number): (u32, u32)| {
            let apart = number.wrapping_sub(known);
            apart.min(apart.wrapping_neg()) < FAR
        };
        let compared = [one.zip(numbers.0), other.zip(numbers.1)];
        let mut compared = compared.into_iter().flatten().map(is_near).peekable();
        compared.peek().is_some() && !compared.any(|is_near| is_near)
    }

    fn learn_numbers(&mut self, segment: &Segment, ends: Ends) {
        if !self.is_far_from(segment, ends) {
            let (one, other) = numbers_of(segment, ends);
            self.numbers = (one.or(self.numbers.0), other.or(self.numbers.1));
        }
    }

    /// When its first segment was seen.
    pub(super) fn first_ns(&self) -> Option<u64> {
        self.segments.front().map(|first| first.segment.mono_ns)
    }

    /// Leaves out the segments before `since_ns`: they are another connection's.
    pub(super) fn since(mut self, since_ns: u64) -> Self {
        self.segments.retain(|of| of.segment.mono_ns >= since_ns);
        self
    }

    /// Each segment, and the end that sent it.
    pub(super) fn of(self, client: Address) -> impl Iterator<Item = (End, Box<Segment>)> + use<> {
        let segments: vec_deque::IntoIter<Unclaimed> = self.segments.into_iter();
        segments.map(move |unclaimed| {
            let from = if unclaimed.segment.source == client {
                End::Client
            } else {
                End::Server
            };
            (from, unclaimed.segment)
        })
    }
}

/// The sequence numbers that a segment has for these ends: its own, and the one that it acknowledges. None of a RST,
/// which may have 0, and of a segment that NAT gave other addresses.
fn numbers_of(segment: &Segment, ends: Ends) -> (Option<u32>, Option<u32>) {
    if segment.flags.has(Flags::RST) {
        return (None, None);
    }
    let own = Some(segment.seq);
    let acknowledged = segment.flags.has(Flags::ACK).then_some(segment.ack);
    match (segment.source, segment.destination) {
        sent if sent == ends => (own, acknowledged),
        (source, destination) if (destination, source) == ends => (acknowledged, own),
        _ => (None, None),
    }
}

/// Whether it is a client's SYN that reached the listener.
fn is_syn(segment: &Segment) -> bool {
    !segment.leaving && segment.flags.has(Flags::SYN) && !segment.flags.has(Flags::ACK)
}

fn ends(one: Address, other: Address) -> Ends {
    if one < other {
        (one, other)
    } else {
        (other, one)
    }
}
