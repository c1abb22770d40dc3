//! The segments of one connection, in the order sent, each once: relative sequence numbers, scaled
//! windows, and the analysis that Wireshark makes of a segment and those before it.

mod analysis;
mod captured;
mod flowing;
mod in_flight;
mod milestone;
mod reassembly;
mod sequence_space;

use std::num::NonZeroU64;

use upload_protocol::{ConnectionId, End, Flags, segment::SegmentLine, timeline::InitialNumbers};

pub use self::{
    captured::Seen,
    flowing::Flowing,
    milestone::{Milestone, MilestoneOptions},
};
use self::{
    in_flight::{InFlight, Observed},
    reassembly::Reassembly,
    sequence_space::{Position, SequenceSpace},
};
use crate::core::{
    event::MoreBytes,
    host::Clock,
    output::TracedSegment,
    payload::{Chunk, Payload, nearest},
    points::Point,
    segment::Segment,
};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dialogue {
    client: SequenceSpace,
    server: SequenceSpace,
    /// Boxed and mostly `None`: most of the time no segment of a connection is in flight.
    in_flight: Option<Box<InFlight>>,
    first_rtt: FirstRtt,
    /// Boxed and mostly `None`: see [`Early`].
    early: Option<Box<Early>>,
    /// Segments that open or close the connection.
    pub steps: Vec<Milestone>,
    /// How many of these came after the first 64.
    pub steps_left_out: u32,
    pub payload: Payload,
    /// Puts the payload of a capture's segments in order; `None` if the kernel reports them.
    reassembly: Option<Box<Reassembly>>,
}

/// Payload that came before its receiver had a socket.
#[derive(Clone, Debug, Default, PartialEq)]
struct Early {
    /// The last of it: from whom, and when it reached the listener. The receiver's socket did not see it,
    /// and cannot say when the direction turned.
    last: Option<(End, u64)>,
    /// A SYN with payload (TCP Fast Open). The payload counts once a SYN-ACK acknowledges it; else it is
    /// sent again.
    syn: Option<(Observed, Position)>,
}

/// The first round-trip time, measured as Wireshark does: from the SYN to the third ACK.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum FirstRtt {
    /// No SYN was seen.
    #[default]
    Unknown,
    /// When the SYN was sent.
    Since(u64),
    /// In nanoseconds.
    Known(u64),
}

/// A segment with relative numbers, ready to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct RelativeSegment {
    observed: Observed,
    position: Position,
    /// What begins in its payload.
    info: Option<String>,
}

/// A connection has about seven; more are retransmissions.
const MAX_STEPS: usize = 64;
/// SYN, SYN-ACK, ACK.
const HANDSHAKE: usize = 3;

impl Dialogue {
    /// Takes a segment as it was seen; [`settle`](Self::settle) puts it in order.
    pub fn observe(&mut self, from: End, receiver_is_here: bool, segment: Box<Segment>) {
        let in_flight = self.in_flight.get_or_insert_default();
        in_flight.observe(from, receiver_is_here, segment);
    }

    /// Adds more of the payload of a segment that was [observed](Self::observe) and is not settled. The
    /// programs send both at once.
    pub fn add_bytes(&mut self, from: End, more: MoreBytes<'_>) {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.add_bytes(from, more);
        }
    }

    /// Whether this is the arrival of a segment that was seen leaving. Forgets the departure.
    pub fn match_arrival<Packet>(&mut self, from: End, segment: &Segment<Packet>) -> bool {
        let Some(in_flight) = &mut self.in_flight else {
            return false;
        };
        let is_matched = in_flight.match_arrival(from, segment);
        if in_flight.is_over() {
            self.in_flight = None;
        }
        is_matched
    }

    /// Processes the segments seen before `before_ns`, in the order sent. Returns them if `wanted`.
    pub fn settle(&mut self, before_ns: u64, wanted: bool) -> Vec<RelativeSegment> {
        let mut settled = Vec::new();
        let Some(in_flight) = &mut self.in_flight else {
            return settled;
        };
        let taken = in_flight.take(before_ns);
        if in_flight.is_over() {
            self.in_flight = None;
        }
        if wanted {
            self.payload.keep_begun();
        }
        for observed in taken {
            let position = self.place(&observed);
            if wanted {
                settled.push(RelativeSegment {
                    observed,
                    position,
                    info: self.payload.take_begun(),
                });
            }
        }
        settled
    }

    /// Payload from an end has reached a listener at `mono_ns`.
    pub fn record_early_payload(&mut self, from: End, mono_ns: u64) {
        let early = self.early.get_or_insert_default();
        early.last = Some((from, mono_ns));
    }

    /// Whether every segment was processed.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.in_flight.as_ref().is_none_or(|found| found.is_empty())
    }

    /// The initial sequence numbers of both ends, if the handshake showed them.
    #[must_use]
    pub fn initial_numbers(&self) -> Option<InitialNumbers> {
        Some(InitialNumbers {
            client: self.client.initial()?,
            server: self.server.initial()?,
        })
    }

    fn place(&mut self, observed: &Observed) -> Position {
        let (from, segment) = (observed.from, &observed.segment);
        self.record_handshake(segment.mono_ns, from, segment.flags);
        let (own, peer) = match from {
            End::Client => (&mut self.client, &mut self.server),
            End::Server => (&mut self.server, &mut self.client),
        };
        if segment.flags.has(Flags::SYN) {
            own.begin(segment);
        }
        if segment.flags.has(Flags::SYN | Flags::ACK) {
            peer.begin_before(segment.ack);
        }
        let position = own.place(observed, peer, self.first_rtt.known());
        if segment.is_duplicate {
            return position;
        }
        let remarks = &position.analysis;
        let is_to_itself = segment.source == segment.destination;
        let milestone = Milestone {
            mono_ns: segment.mono_ns,
            seq: position.seq,
            ack: position.ack,
            len: segment.len,
            window: position.window,
            options: MilestoneOptions::default(),
            flags: segment.flags,
            from,
            seen_leaving: segment.leaving,
            is_retransmission: remarks.iter().any(|what| what.is_retransmission()),
            is_captured: segment.frame.is_some(),
        };
        if let Some((syn, at)) = self.take_syn(observed, &position) {
            self.feed(&syn, &at);
            // It began in the SYN, which has been shown.
            self.payload.take_begun();
        }
        // What a RST carries is no part of the stream: a text for people (RFC 9293, section 3.5.3).
        if segment.len > 0 && !segment.flags.has(Flags::RST) {
            if segment.flags.has(Flags::SYN) {
                let early = self.early.get_or_insert_default();
                early.syn = Some((observed.clone(), position.clone()));
            } else {
                self.feed(observed, &position);
            }
        }
        let is_step = [Flags::SYN, Flags::FIN, Flags::RST]
            .into_iter()
            .any(|flag| segment.flags.has(flag));
        if is_step || self.is_answer(&milestone, is_to_itself) {
            if self.steps.is_empty() {
                // Most connections have no more until they are closed.
                self.steps.reserve_exact(HANDSHAKE);
            }
            if self.steps.len() < MAX_STEPS {
                self.steps.push(Milestone {
                    options: MilestoneOptions::of(position.relative(segment.options.clone())),
                    ..milestone
                });
            } else {
                self.steps_left_out = self.steps_left_out.saturating_add(1);
            }
        }
        position
    }
}

impl RelativeSegment {
    /// The segment as an output line, with its packet.
    #[must_use]
    pub fn traced(self, clock: Clock, connection: ConnectionId) -> TracedSegment {
        let Self {
            observed,
            position,
            info,
        } = self;
        let segment = *observed.segment;
        let crossing = segment.crossing.as_deref();
        TracedSegment {
            line: SegmentLine {
                at: clock.moment(segment.mono_ns),
                connection,
                from: observed.from,
                flags: segment.flags,
                seq: position.seq,
                ack: position.ack,
                len: segment.len,
                window: position.window,
                options: position.relative(segment.options),
                ecn: segment.ecn,
                info,
                analysis: position.analysis,
                seen_leaving: segment.leaving,
                frame: segment.frame.map(NonZeroU64::get),
                duplicate: segment.is_duplicate,
                capture: crossing.map(|crossing| number(crossing.point)),
                one_way_delay_ns: crossing.and_then(|crossing| crossing.one_way_delay_ns),
                lost: crossing.and_then(|crossing| crossing.lost),
                missing_in: crossing
                    .and_then(|crossing| crossing.missing_in)
                    .map(number),
            },
            packet_len: segment.packet_len,
            packet: segment.packet,
        }
    }
}

/// Captures are counted from 1.
fn number(point: Point) -> u8 {
    u8::from(point > 0) + 1
}

impl FirstRtt {
    const fn known(self) -> Option<u64> {
        match self {
            Self::Known(ns) => Some(ns),
            Self::Unknown | Self::Since(_) => None,
        }
    }
}

impl Dialogue {
    /// The SYN with payload, once a segment after it shows that the peer took the payload: it acknowledges
    /// it or, sent by the same end, follows it. Forgets the SYN otherwise: the payload is sent again.
    fn take_syn(&mut self, next: &Observed, at: &Position) -> Option<(Observed, Position)> {
        let syn = self.early.as_mut()?.syn.take()?;
        let is_taken = if next.from == syn.0.from {
            at.seq > 1
        } else {
            at.ack > 1
        };
        is_taken.then_some(syn)
    }

    fn feed(&mut self, observed: &Observed, position: &Position) {
        let (from, segment) = (observed.from, &observed.segment);
        // The SYN has sequence number 0, the first byte has 1.
        let syn = segment.flags.has(Flags::SYN);
        let offset = position.seq.wrapping_sub(u32::from(!syn));
        let has_ack = segment.flags.has(Flags::ACK);
        // In the middle of a stream, at least one byte precedes the first that is seen.
        let hidden = self.reassembly.is_some() && !self.space(from).is_from_start();
        let chunk = Chunk {
            mono_ns: segment.mono_ns,
            from,
            offset: nearest(segment.before_bytes, offset) + u64::from(hidden),
            len: segment.len,
            head: segment.payload(),
            turned_ns: segment.turned_ns.or_else(|| self.turned_early(observed)),
            received: has_ack.then(|| {
                let hidden = self.reassembly.is_some() && !self.space(from.other()).is_from_start();
                let received = self.bytes_acknowledged(from, position.ack);
                received.wrapping_add(u32::from(hidden))
            }),
        };
        match &mut self.reassembly {
            Some(reassembly) => reassembly.add(&chunk, !hidden, &mut self.payload),
            None => self.payload.feed(&chunk),
        }
    }

    /// When payload turned its direction, where the socket that sends now did not see the payload before.
    fn turned_early(&self, observed: &Observed) -> Option<u64> {
        let (from, last_ns) = self.early.as_ref()?.last?;
        let segment = &observed.segment;
        let is_turn = observed.from != from && segment.before_bytes == 0;
        (is_turn && last_ns <= segment.mono_ns).then_some(last_ns)
    }

    /// How many bytes of the peer's stream a segment acknowledges, modulo 2^32. Subtracts the numbers
    /// of SYN and FIN, which are no bytes: a client may close its direction before the answer comes.
    fn bytes_acknowledged(&self, from: End, ack: u32) -> u32 {
        let ends_here = |step: &Milestone| {
            let next = step.seq.wrapping_add(step.len).wrapping_add(1);
            step.from != from && step.flags.has(Flags::FIN) && next == ack
        };
        let fin = self.steps.iter().any(ends_here);
        ack.wrapping_sub(1 + u32::from(fin))
    }

    fn record_handshake(&mut self, mono_ns: u64, from: End, flags: Flags) {
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
    fn is_answer(&self, segment: &Milestone, is_to_itself: bool) -> bool {
        let from_peer = |flag: u16| {
            self.steps
                .iter()
                .rfind(|step| (step.from != segment.from || is_to_itself) && step.flags.has(flag))
        };
        let answered = |number: u32| {
            self.steps.iter().any(|step| {
                step.from == segment.from
                    && step.flags.has(Flags::ACK)
                    && step.ack.wrapping_sub(number).cast_signed() >= 0
            })
        };
        let syn_ack = from_peer(Flags::SYN | Flags::ACK).filter(|_| segment.from == End::Client);
        let fin = from_peer(Flags::FIN).map(|fin| fin.seq.wrapping_add(fin.len + 1));
        syn_ack.is_some() && !answered(1)
            || fin.is_some_and(|number| segment.ack == number && !answered(number))
    }
}
