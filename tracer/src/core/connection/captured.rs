//! What the segments of a capture show of a connection, in place of what a kernel reports.

use tracer_ebpf::record::{Counters, Limits};
use upload_protocol::{End, SegmentOptions};
use zerocopy::FromZeros as _;

use super::{Estimate, Vantage};
use crate::core::{
    address::Address,
    packet::States,
    payload::{MAX_AHEAD, nearest},
    points::Crossings,
};

/// A connection as its captured segments show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Captured {
    pub client: Address,
    pub server: Address,
    /// The addresses of client and server in the capture that is nearer to the client, and in the one that is
    /// nearer to the server, if there are two.
    pub at_ends: Option<[(Address, Address); 2]>,
    /// What became of its segments between two captures, at its end.
    pub crossings: Option<Box<Crossings>>,
    pub states: States,
    by_client: Sent,
    by_server: Sent,
    /// Who sent payload last, and when.
    last_payload: Option<(End, u64)>,
    /// Whether a segment acknowledged bytes that the capture lacks.
    pub has_holes: bool,
}

/// What one end sent.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sent {
    segments: u64,
    /// Whether one of them acknowledged something.
    acknowledges: bool,
    /// The options of its SYN.
    syn: Option<SegmentOptions>,
    /// The furthest offset in its stream that was seen: bytes before the next.
    furthest: u64,
    /// How many of its sequence numbers its peer acknowledged, a SYN included.
    acknowledged: u64,
    /// Bytes of payload that were sent before.
    retransmitted: u64,
    latest: Latest,
    /// What held its payload back.
    estimate: Option<Box<Estimate>>,
}

/// The latest segments of one end: their fingerprints, and when each passed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Latest([Option<(u64, u64)>; 4]);

/// A mirror port that shows a packet as it comes and as it goes shows it twice within this time. No packet is
/// sent again so soon.
const MIRRORED_NS: u64 = 1_000_000;

impl Captured {
    /// A connection of which nothing was seen yet.
    #[must_use]
    pub fn new(client: Address, server: Address) -> Self {
        Self {
            client,
            server,
            at_ends: None,
            crossings: None,
            states: States::default(),
            by_client: Sent::default(),
            by_server: Sent::default(),
            last_payload: None,
            has_holes: false,
        }
    }

    /// Takes the client for the server, before anything was seen of either.
    pub const fn turn(&mut self) {
        std::mem::swap(&mut self.client, &mut self.server);
        if let Some([at_client, at_server]) = &mut self.at_ends {
            std::mem::swap(at_client, at_server);
            std::mem::swap(&mut at_client.0, &mut at_client.1);
            std::mem::swap(&mut at_server.0, &mut at_server.1);
        }
    }

    /// Counts a segment.
    pub fn record_segment(&mut self, from: End, acknowledges: bool) {
        let sent = self.sent_mut(from);
        sent.segments += 1;
        sent.acknowledges |= acknowledges;
    }

    /// Whether the capture has a segment twice, and this is the second.
    pub fn is_duplicate(&mut self, from: End, fingerprint: u64, mono_ns: u64) -> bool {
        let Latest(latest) = &mut self.sent_mut(from).latest;
        let is_same = |(known, seen_ns): &(u64, u64)| {
            *known == fingerprint && mono_ns.saturating_sub(*seen_ns) <= MIRRORED_NS
        };
        if latest.iter().flatten().any(is_same) {
            return true;
        }
        latest.rotate_right(1);
        latest[0] = Some((fingerprint, mono_ns));
        false
    }

    /// Records the options of a SYN.
    pub fn record_syn(&mut self, from: End, options: &SegmentOptions) {
        self.sent_mut(from).syn = Some(options.clone());
    }

    /// The furthest offset of the end's payload that was seen.
    #[must_use]
    pub const fn furthest(&self, from: End) -> u64 {
        self.sent(from).furthest
    }

    /// Records payload: it ends at this offset of the stream. What is too far ahead is no part of it.
    pub fn record_payload(&mut self, from: End, end: u64, mono_ns: u64) {
        let sent = self.sent_mut(from);
        if end.saturating_sub(sent.furthest) <= MAX_AHEAD {
            sent.furthest = sent.furthest.max(end);
        }
        self.last_payload = Some((from, mono_ns));
    }

    /// Counts payload that was sent before.
    pub fn record_retransmission(&mut self, from: End, len: u32) {
        self.sent_mut(from).retransmitted += u64::from(len);
    }

    /// Records that an end's sequence numbers are acknowledged up to this relative one.
    pub fn record_acknowledged(&mut self, from: End, number: u32) {
        let sent = self.sent_mut(from);
        sent.acknowledged = sent.acknowledged.max(nearest(sent.acknowledged, number));
    }

    /// What held an end's payload back; begins with its first, where the handshake shows the vantage point.
    pub fn estimate(&mut self, from: End, vantage: impl Fn() -> Option<Vantage>) {
        if self.sent(from).estimate.is_none()
            && let Some(vantage) = vantage()
        {
            let estimate = Estimate::new(from, vantage, self.full_segment());
            self.sent_mut(from).estimate = Some(Box::new(estimate));
        }
    }

    /// A sample of an end, as its kernel would have taken it.
    pub fn sample(&mut self, end: End, now: u64) -> Limits {
        let mut limits = Limits::new_zeroed();
        for estimate in self.estimates_mut().filter(|one| one.end() == end) {
            estimate.add_to(&mut limits, now);
        }
        limits
    }

    /// Those that began.
    pub fn estimates_mut(&mut self) -> impl Iterator<Item = &mut Estimate> {
        [&mut self.by_client, &mut self.by_server]
            .into_iter()
            .filter_map(|sent| sent.estimate.as_deref_mut())
    }

    /// The most payload that a segment holds, as the SYNs have it.
    fn full_segment(&self) -> u32 {
        let syns = [&self.by_client.syn, &self.by_server.syn];
        let sizes = syns.map(|syn| syn.as_ref().and_then(|options| options.mss));
        let least = sizes.into_iter().flatten().min().unwrap_or(DEFAULT_MSS);
        let has_stamps = |syn: &Option<SegmentOptions>| {
            syn.as_ref().is_some_and(|options| options.tsval.is_some())
        };
        let stamps = if syns.into_iter().all(has_stamps) {
            STAMPS
        } else {
            0
        };
        u32::from(least.saturating_sub(stamps).max(1))
    }

    /// When the peer's last payload passed, if payload of this end is the first since.
    #[must_use]
    pub fn turned_ns(&self, from: End) -> Option<u64> {
        let (last, mono_ns) = self.last_payload?;
        (last != from).then_some(mono_ns)
    }

    /// Whether one end alone has segments, and they answer the other's.
    #[must_use]
    pub fn has_one_direction(&self) -> bool {
        let alone = |own: &Sent, peer: &Sent| own.acknowledges && peer.segments == 0;
        alone(&self.by_client, &self.by_server) || alone(&self.by_server, &self.by_client)
    }

    /// Whether both SYNs were seen, so that it is known what was agreed on.
    #[must_use]
    pub const fn saw_both_syns(&self) -> bool {
        self.by_client.syn.is_some() && self.by_server.syn.is_some()
    }

    /// An end's counters, as far as segments show them: those of a kernel that received `received`
    /// sequence numbers in order.
    #[must_use]
    pub fn counters(&self, end: End, received: u64) -> Counters {
        let (own, peer) = (self.sent(end), self.sent(end.other()));
        let syns = own.syn.as_ref().zip(peer.syn.as_ref());
        let scales = syns.and_then(|(own, peer)| own.window_scale.zip(peer.window_scale));
        let both = |has: fn(&SegmentOptions) -> bool| {
            u8::from(syns.is_some_and(|(own, peer)| has(own) && has(peer)))
        };
        Counters {
            bytes_retrans: own.retransmitted,
            bytes_acked: own.acknowledged,
            bytes_received: received,
            total_retrans: 0,
            srtt_us_8: 0,
            min_rtt_us: u32::MAX,
            snd_cwnd: 0,
            mss_clamp: syns.and_then(|(_, peer)| peer.mss).unwrap_or(DEFAULT_MSS),
            timestamps: both(|options| options.tsval.is_some()),
            sack: both(|options| options.sack_permitted),
            window_scaling: u8::from(scales.is_some()),
            snd_wscale: scales.map_or(0, |(_, peer)| peer),
            rcv_wscale: scales.map_or(0, |(own, _)| own),
            padding: 0,
        }
    }

    const fn sent(&self, from: End) -> &Sent {
        match from {
            End::Client => &self.by_client,
            End::Server => &self.by_server,
        }
    }

    const fn sent_mut(&mut self, from: End) -> &mut Sent {
        match from {
            End::Client => &mut self.by_client,
            End::Server => &mut self.by_server,
        }
    }
}

/// What time stamps take of each segment, with what fills the word up (RFC 7323, appendix A).
const STAMPS: u16 = 12;
/// What a SYN without the option means (RFC 9293, section 3.7.1).
const DEFAULT_MSS: u16 = 536;
