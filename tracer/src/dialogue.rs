//! The segments of one connection in their order, each once: numbered from the initial sequence
//! numbers, windows scaled, and compared with what came before as Wireshark's analysis does.

mod under_way;

use std::sync::Arc;

use serde::Serialize;

use self::under_way::{Seen, UnderWay};
use crate::{
    end::End,
    payload::Payload,
    segment::{Flags, Options, Segment},
};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dialogue {
    client: Side,
    server: Side,
    under_way: UnderWay,
    /// Segments that open or close the connection.
    pub steps: Vec<Told>,
    /// What the payload says.
    pub payload: Payload,
}

/// What is known of the segments that one end sends.
#[derive(Clone, Debug, Default, PartialEq)]
struct Side {
    /// The number that its relative sequence numbers count from.
    base: Option<u32>,
    /// The shift that it announced in its SYN.
    scale: Option<u8>,
    /// Whether its SYN was seen, so that a missing scale means none.
    syn_seen: bool,
    /// The sequence number after the highest seen.
    next: Option<u32>,
    /// The last acknowledgment and window it sent, and how often.
    last_ack: Option<(u32, u16)>,
}

/// A segment told in relation to its connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// When it passed, CLOCK_MONOTONIC.
    #[serde(skip)]
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
    pub options: Options,
    /// The ECN bits of the IP header; absent in outputs for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub ecn: u8,
    /// What it is in the light of those before it; absent in outputs for the ordinary.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub analysis: Vec<Remark>,
    /// Whether it was seen where it was sent; else where it arrived.
    pub seen_leaving: bool,
    /// Length of the packet from the IP header on.
    #[serde(skip)]
    pub packet_len: u32,
    /// As much of the packet as was captured.
    #[serde(skip)]
    pub packet: Arc<[u8]>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
const fn is_zero(ecn: &u8) -> bool {
    *ecn == 0
}

/// What a segment is in the light of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remark {
    /// Sequence numbers that were sent before.
    Retransmission,
    /// Sequence numbers before it were not seen.
    PreviousSegmentNotSeen,
    /// The receiver's buffer is full.
    ZeroWindow,
    /// A window and an acknowledgment already sent.
    DuplicateAck,
    /// Nothing but the number before the next: it asks whether the peer is there.
    KeepAlive,
}

/// A connection is opened and closed with a handful; more are retransmitted ones.
const MOST_STEPS: usize = 64;

impl Dialogue {
    /// Takes a segment in as it was seen; it is told by [`settle`](Self::settle).
    pub fn hear(&mut self, mono_ns: u64, from: End, receiver_is_here: bool, segment: Segment) {
        self.under_way
            .hear(mono_ns, from, receiver_is_here, segment);
    }

    /// Tells, in the order in which they were sent, the segments that were seen before `before_ns`.
    pub fn settle(&mut self, before_ns: u64) -> Vec<Told> {
        self.under_way
            .take(before_ns)
            .into_iter()
            .map(|seen| self.tell(&seen))
            .collect()
    }

    /// Whether something waits to be told.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.under_way.is_empty()
    }

    fn tell(&mut self, seen: &Seen) -> Told {
        let Seen {
            mono_ns,
            from,
            segment,
            ..
        } = seen;
        let (own, peer) = match from {
            End::Client => (&mut self.client, &mut self.server),
            End::Server => (&mut self.server, &mut self.client),
        };
        if segment.flags.has(Flags::SYN) {
            own.begin(segment);
        }
        let told = own.tell(*mono_ns, *from, segment, peer);
        if segment.len > 0 {
            // The SYN takes number 0, the first byte is number 1.
            let offset = u64::from(told.seq).saturating_sub(1);
            self.payload
                .hear(*mono_ns, *from, offset, segment.len, segment.payload());
        }
        let is_step = [Flags::SYN, Flags::FIN, Flags::RST]
            .into_iter()
            .any(|flag| segment.flags.has(flag));
        if (is_step || self.is_answer(&told)) && self.steps.len() < MOST_STEPS {
            self.steps.push(told.clone());
        }
        told
    }
}

impl Dialogue {
    /// Whether an ACK is the handshake's third segment, or the first to acknowledge a FIN.
    fn is_answer(&self, told: &Told) -> bool {
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

impl Side {
    fn begin(&mut self, segment: &Segment) {
        self.base = Some(segment.seq);
        self.scale = segment.options.window_scale;
        self.syn_seen = true;
    }

    fn tell(&mut self, mono_ns: u64, from: End, segment: &Segment, peer: &mut Self) -> Told {
        // Without a SYN seen, the first byte seen is number 1, as Wireshark has it.
        let base = *self.base.get_or_insert(segment.seq.wrapping_sub(1));
        let has_ack = segment.flags.has(Flags::ACK);
        let ack = if has_ack {
            let peer_base = *peer.base.get_or_insert(segment.ack.wrapping_sub(1));
            segment.ack.wrapping_sub(peer_base)
        } else {
            0
        };
        let mut options = segment.options.clone();
        for (left, right) in &mut options.sack {
            let peer_base = peer.base.unwrap_or_default();
            *left = left.wrapping_sub(peer_base);
            *right = right.wrapping_sub(peer_base);
        }
        let analysis = self.analyse(segment);
        self.advance(segment);
        Told {
            mono_ns,
            from,
            flags: segment.flags,
            seq: segment.seq.wrapping_sub(base),
            ack,
            len: segment.len,
            window: self.scaled(segment, peer),
            options,
            ecn: segment.ecn,
            analysis,
            seen_leaving: segment.leaving,
            packet_len: segment.packet_len,
            packet: Arc::clone(&segment.packet),
        }
    }

    /// A SYN's own window is never scaled, and others only if both ends announced a scale
    /// (RFC 7323, section 2.2).
    fn scaled(&self, segment: &Segment, peer: &Self) -> u32 {
        let window = u32::from(segment.window);
        let both = peer.scale.is_some() || !peer.syn_seen;
        match self.scale {
            Some(shift) if both && !segment.flags.has(Flags::SYN) => window << shift.min(14),
            _ => window,
        }
    }

    fn analyse(&self, segment: &Segment) -> Vec<Remark> {
        let mut remarks = Vec::new();
        let plain = ![Flags::SYN, Flags::FIN, Flags::RST]
            .into_iter()
            .any(|flag| segment.flags.has(flag));
        if let Some(next) = self.next {
            let ahead = segment.seq.wrapping_sub(next).cast_signed();
            if plain && segment.len <= 1 && ahead == -1 {
                remarks.push(Remark::KeepAlive);
            } else if segment.sequence_length() > 0 && ahead < 0 {
                remarks.push(Remark::Retransmission);
            } else if ahead > 0 && !segment.flags.has(Flags::RST) {
                remarks.push(Remark::PreviousSegmentNotSeen);
            }
        }
        if segment.window == 0 && plain {
            remarks.push(Remark::ZeroWindow);
        }
        if plain
            && segment.len == 0
            && self.last_ack == Some((segment.ack, segment.window))
            && remarks.is_empty()
            && !segment.options.sack.is_empty()
        {
            remarks.push(Remark::DuplicateAck);
        }
        remarks
    }

    fn advance(&mut self, segment: &Segment) {
        let end = segment.seq.wrapping_add(segment.sequence_length());
        let is_ahead = self
            .next
            .is_none_or(|next| end.wrapping_sub(next).cast_signed() > 0);
        if is_ahead && !segment.flags.has(Flags::RST) {
            self.next = Some(end);
        }
        self.last_ack = Some((segment.ack, segment.window));
    }
}
