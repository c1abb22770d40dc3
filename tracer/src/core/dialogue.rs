//! The segments of one connection in their order, each once: numbered from the initial sequence
//! numbers, windows scaled, and compared with what came before as Wireshark's analysis does.

mod analysis;
mod in_flight;
mod sequence_space;

use upload_protocol::{
    ConnectionId, End, Flags, SegmentOptions,
    segment::{Analysis, SegmentLine},
};

use self::{
    in_flight::{InFlight, Seen},
    sequence_space::{Position, SequenceSpace},
};
use crate::core::{
    host::Clock,
    output::TracedSegment,
    payload::{Burst, Payload},
    segment::Segment,
};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dialogue {
    client: SequenceSpace,
    server: SequenceSpace,
    /// None most of the time.
    in_flight: Option<Box<InFlight>>,
    first_rtt: FirstRtt,
    /// Segments that open or close the connection.
    pub steps: Vec<Milestone>,
    /// What the payload says.
    pub payload: Payload,
}

/// The first round-trip time, as Wireshark takes it: from the SYN to the third ACK.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum FirstRtt {
    /// No SYN was seen.
    #[default]
    Unknown,
    /// A SYN was sent then.
    Since(u64),
    /// In nanoseconds.
    Known(u64),
}

/// A segment as it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// When, CLOCK_MONOTONIC.
    pub mono_ns: u64,
    /// The segment.
    pub segment: Box<Segment>,
    /// Payload that had passed the same socket in its direction, retransmitted bytes included.
    pub before_bytes: u64,
    /// Where it is the first payload after some of the peer's: when the last of that passed the
    /// same socket.
    pub turned_ns: Option<u64>,
}

/// A segment told in relation to its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelativeSegment {
    /// When it passed, CLOCK_MONOTONIC.
    pub mono_ns: u64,
    /// Who sent it.
    pub from: End,
    /// Its flags.
    pub flags: Flags,
    /// Sequence number, relative to the sender's first.
    pub seq: u32,
    /// Acknowledgment number, relative to the peer's first; 0 without the flag ACK.
    pub ack: u32,
    /// Bytes of payload.
    pub len: u32,
    /// The window in bytes, scaled where a scale was agreed on.
    pub window: u32,
    /// The options, SACK blocks relative.
    pub options: SegmentOptions,
    /// The ECN bits of the IP header; absent in outputs for none.
    pub ecn: u8,
    /// What it is in the light of those before it; absent in outputs for the ordinary.
    pub analysis: Vec<Analysis>,
    /// Whether it was seen where it was sent; else where it arrived.
    pub seen_leaving: bool,
    /// Length of the packet from the IP header on.
    pub packet_len: u32,
    /// As much of the packet as was captured.
    pub packet: Box<[u8]>,
}

/// What is kept of a segment that opens or closes the connection: the fields of [`RelativeSegment`] with these
/// names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "said there")]
pub struct Milestone {
    pub mono_ns: u64,
    pub seq: u32,
    pub ack: u32,
    pub len: u32,
    pub flags: Flags,
    pub from: End,
    pub seen_leaving: bool,
    /// Whether its numbers were sent before.
    pub is_retransmission: bool,
}

/// A connection is opened and closed with a handful; more are retransmitted ones.
const MOST_STEPS: usize = 64;
/// SYN, SYN-ACK, ACK.
const HANDSHAKE: usize = 3;

impl Dialogue {
    /// Takes a segment in as it was seen; it is told by [`settle`](Self::settle).
    pub fn hear(&mut self, from: End, receiver_is_here: bool, sighting: Sighting) {
        let in_flight = self.in_flight.get_or_insert_default();
        in_flight.hear(from, receiver_is_here, sighting);
    }

    /// Whether this is the arrival of a segment that was seen to leave: it is awaited no more.
    pub fn arrives<Packet>(&mut self, from: End, segment: &Segment<Packet>) -> bool {
        let Some(in_flight) = &mut self.in_flight else {
            return false;
        };
        let is_known = in_flight.arrives(from, segment);
        if in_flight.is_over() {
            self.in_flight = None;
        }
        is_known
    }

    /// Goes through the segments that were seen before `before_ns`, in the order in which they were
    /// sent. Tells each of them where they are `wanted`.
    pub fn settle(&mut self, before_ns: u64, wanted: bool) -> Vec<RelativeSegment> {
        let mut told = Vec::new();
        let Some(in_flight) = &mut self.in_flight else {
            return told;
        };
        let taken = in_flight.take(before_ns);
        if in_flight.is_over() {
            self.in_flight = None;
        }
        for seen in taken {
            let place = self.place(&seen);
            if wanted {
                told.push(RelativeSegment::of(seen, place));
            }
        }
        told
    }

    /// Whether something waits to be told.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.in_flight.as_ref().is_none_or(|found| found.is_empty())
    }

    fn place(&mut self, seen: &Seen) -> Position {
        let Seen {
            mono_ns,
            from,
            segment,
            before_bytes,
            turned_ns,
            ..
        } = seen;
        self.note_handshake(*mono_ns, *from, segment.flags);
        let (own, peer) = match from {
            End::Client => (&mut self.client, &mut self.server),
            End::Server => (&mut self.server, &mut self.client),
        };
        if segment.flags.has(Flags::SYN) {
            own.begin(segment);
        }
        let place = own.place(seen, peer, self.first_rtt.known());
        let milestone = Milestone {
            mono_ns: *mono_ns,
            seq: place.seq,
            ack: place.ack,
            len: segment.len,
            flags: segment.flags,
            from: *from,
            seen_leaving: segment.leaving,
            is_retransmission: place.analysis.iter().any(|what| what.is_retransmission()),
        };
        if segment.len > 0 {
            // The SYN takes number 0, the first byte is number 1.
            let offset = place.seq.wrapping_sub(1);
            self.payload.hear(&Burst {
                mono_ns: *mono_ns,
                from: *from,
                offset: nearest(*before_bytes, offset),
                len: segment.len,
                head: segment.payload(),
                turned_ns: *turned_ns,
                received: segment
                    .flags
                    .has(Flags::ACK)
                    .then(|| self.bytes_acknowledged(&milestone)),
            });
        }
        let is_step = [Flags::SYN, Flags::FIN, Flags::RST]
            .into_iter()
            .any(|flag| segment.flags.has(flag));
        if (is_step || self.is_answer(&milestone)) && self.steps.len() < MOST_STEPS {
            if self.steps.is_empty() {
                // Most have no more before they are closed.
                self.steps.reserve_exact(HANDSHAKE);
            }
            self.steps.push(milestone);
        }
        place
    }
}

impl RelativeSegment {
    /// The same on both clocks, under its connection's name.
    #[must_use]
    pub fn traced(self, clock: Clock, connection: ConnectionId) -> TracedSegment {
        TracedSegment {
            line: SegmentLine {
                at: clock.moment(self.mono_ns),
                connection,
                from: self.from,
                flags: self.flags,
                seq: self.seq,
                ack: self.ack,
                len: self.len,
                window: self.window,
                options: self.options,
                ecn: self.ecn,
                analysis: self.analysis,
                seen_leaving: self.seen_leaving,
            },
            packet_len: self.packet_len,
            packet: self.packet,
        }
    }

    fn of(seen: Seen, place: Position) -> Self {
        let segment = *seen.segment;
        let mut options = segment.options;
        for edge in options
            .sack
            .iter_mut()
            .flat_map(|(left, right)| [left, right])
        {
            *edge = edge.wrapping_sub(place.ack_base);
        }
        Self {
            mono_ns: seen.mono_ns,
            from: seen.from,
            flags: segment.flags,
            seq: place.seq,
            ack: place.ack,
            len: segment.len,
            window: place.window,
            options,
            ecn: segment.ecn,
            analysis: place.analysis,
            seen_leaving: segment.leaving,
            packet_len: segment.packet_len,
            packet: segment.packet,
        }
    }
}

impl FirstRtt {
    const fn known(self) -> Option<u64> {
        match self {
            Self::Known(ns) => Some(ns),
            Self::Unknown | Self::Since(_) => None,
        }
    }
}

/// The place in a stream that has this number modulo 2^32 and is nearest to `about`.
fn nearest(about: u64, number: u32) -> u64 {
    const MODULUS: u64 = 1 << 32;
    let candidates = (about / MODULUS).saturating_sub(1)..=about / MODULUS + 1;
    candidates
        .map(|times| {
            times
                .saturating_mul(MODULUS)
                .saturating_add(u64::from(number))
        })
        .min_by_key(|place| place.abs_diff(about))
        .unwrap_or_default()
}

impl Dialogue {
    /// How many bytes of the peer's stream a segment acknowledges, modulo 2^32: the SYN takes one
    /// number, and so does the FIN.
    fn bytes_acknowledged(&self, told: &Milestone) -> u32 {
        let ends_here = |step: &Milestone| {
            let next = step.seq.wrapping_add(step.len).wrapping_add(1);
            step.from != told.from && step.flags.has(Flags::FIN) && next == told.ack
        };
        let fin = self.steps.iter().any(ends_here);
        told.ack.wrapping_sub(1 + u32::from(fin))
    }

    fn note_handshake(&mut self, mono_ns: u64, from: End, flags: Flags) {
        let is_syn = flags.has(Flags::SYN) && !flags.has(Flags::ACK);
        let is_third = from == End::Client && flags.has(Flags::ACK) && !flags.has(Flags::SYN);
        self.first_rtt = match self.first_rtt {
            FirstRtt::Unknown | FirstRtt::Since(_) if is_syn => FirstRtt::Since(mono_ns),
            FirstRtt::Since(syn_ns) if is_third && mono_ns >= syn_ns => {
                FirstRtt::Known(mono_ns - syn_ns)
            }
            known => known,
        };
    }

    /// Whether an ACK is the handshake's third segment, or the first to acknowledge a FIN.
    fn is_answer(&self, told: &Milestone) -> bool {
        let from_peer = |flag: u16| {
            self.steps
                .iter()
                .rfind(|step| step.from != told.from && step.flags.has(flag))
        };
        let answered = |number: u32| {
            self.steps.iter().any(|step| {
                step.from == told.from
                    && step.flags.has(Flags::ACK)
                    && step.ack.wrapping_sub(number).cast_signed() >= 0
            })
        };
        let syn_ack = from_peer(Flags::SYN | Flags::ACK).filter(|_| told.from == End::Client);
        let fin = from_peer(Flags::FIN).map(|fin| fin.seq.wrapping_add(fin.len + 1));
        syn_ack.is_some() && !answered(1)
            || fin.is_some_and(|number| told.ack == number && !answered(number))
    }
}
