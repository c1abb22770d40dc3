//! The body of an upload, cut by what the kernels of its ends measured.

use tracer_ebpf::record::{receiver, sender};
use upload_protocol::{
    End,
    timeline::{Certainty, HeldBackBy},
};

use super::{
    course,
    ruled::{self, AGAIN_SHARE, Receiver, part},
    spans::Causes,
};
use crate::core::connection::Stretch;

/// An RTT below this is one of this machine or of a local network: delayed acknowledgments are longer.
const SMALL_RTT_NS: u64 = 500_000;
/// A queue on the path makes the RTT this much longer, at least.
const QUEUE_NS: u64 = 3_000_000;
/// Segments out of order, as reordering makes them.
const FEW: u32 = 3;
/// BBR's startup and drain.
const STARTUP_RTTS: u64 = 20;
/// From this part of the server's window in use on, the window limits.
const WINDOW_IN_USE: f64 = 0.7;

/// What is known of a body.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Body {
    /// How long it took, where no other phase covers it.
    pub(super) length_ns: u64,
    pub(super) bytes: Option<u64>,
    /// Whether a response came.
    pub(super) answered: bool,
    /// The sender's measurement.
    pub(super) client: Option<Stretch>,
    /// The receiver's.
    pub(super) server: Option<Stretch>,
    /// For how long before its end nothing arrived any more.
    pub(super) silent_ns: u64,
    /// When the server's process read last before it answered, CLOCK_MONOTONIC.
    pub(super) read_ns: Option<u64>,
    pub(super) window_scaling: Option<bool>,
    /// The round-trip time of the handshake, for a body too short to be measured.
    pub(super) handshake_rtt_ns: Option<u64>,
    /// Whether segments show what is known of its ends, and no kernel measured them.
    pub(super) is_estimated: bool,
}

/// A body's causes, together as long as the body, and how they are known.
pub(super) struct Cut {
    pub(super) causes: Causes,
    pub(super) certainty: Certainty,
}

/// Why the server's window held the sender back.
struct Windows {
    /// What the receiver saw, piece by piece.
    seen: Vec<Receiver>,
    /// The parts in which nobody read and in which the window was small, where the receiver saw neither.
    otherwise: (u64, u64),
    /// The cause that a small window stands for.
    smallness: HeldBackBy,
}

impl Windows {
    /// The parts in which nobody read and in which the window was small, between two moments of the body.
    fn between(&self, from: u64, to: u64) -> (u64, u64) {
        let seen = ruled::between(&self.seen, from, to);
        match (seen[receiver::NOT_READ], seen[receiver::WINDOW]) {
            (0, 0) => self.otherwise,
            parts => parts,
        }
    }
}

impl Body {
    pub(super) fn causes(&self) -> Cut {
        let (pieces, certainty) = match (&self.client, &self.server) {
            (Some(client), server) => {
                let pieces = self.by_client(client, server.as_ref());
                (pieces, Certainty::Observed)
            }
            (None, Some(server)) => (self.by_server(server), Certainty::Inferred),
            (None, None) => (Vec::new(), Certainty::Unknown),
        };
        Cut {
            causes: scale(&course::in_order(pieces), self.length_ns),
            certainty,
        }
    }

    /// The causes of each piece. Which cause a limit stands for is known from the whole body alone.
    fn by_client(&self, client: &Stretch, server: Option<&Stretch>) -> Vec<Causes> {
        let limits = ruled::sender(client);
        let whole = ruled::sum(&limits);
        let windows = self.windows(client, server, &whole);
        let mut now = 0;
        let of_piece = |times: &[u64; sender::COUNT]| -> Causes {
            let time = |limit: usize| times[limit];
            let window = time(sender::WINDOW) + time(sender::ZERO_WINDOW);
            let begun = now;
            now += times.iter().sum::<u64>();
            let (unread, small) = windows.between(begun, now);
            let not_read = part(window, unread, unread + small);
            vec![
                (
                    HeldBackBy::ClientApplication,
                    time(sender::IDLE) + time(sender::APPLICATION),
                ),
                (HeldBackBy::WaitsForPeer, time(sender::LOCKSTEP)),
                (send_buffer(client), time(sender::SEND_BUFFER)),
                (HeldBackBy::Nagle, time(sender::NAGLE)),
                (
                    HeldBackBy::Loss,
                    time(sender::RECOVERY) + time(sender::TIMEOUT),
                ),
                (congestion(client), time(sender::CONGESTION_WINDOW)),
                (self.pacing(client), time(sender::PACING)),
                (queue(client, &whole), time(sender::QUEUE)),
                (HeldBackBy::ServerNotReading, not_read),
                (windows.smallness, window - not_read),
            ]
        };
        let mut pieces: Vec<Causes> = limits.iter().map(of_piece).collect();
        pieces.push(vec![(self.tail(client), client.tail_ns)]);
        pieces
    }

    /// The server's window held the sender back: because it is small, or because nobody reads.
    fn windows(
        &self,
        client: &Stretch,
        server: Option<&Stretch>,
        times: &[u64; sender::COUNT],
    ) -> Windows {
        let zero = times[sender::ZERO_WINDOW];
        let both = times[sender::WINDOW] + zero;
        let (mut seen, _) = server.map(ruled::receiver).unwrap_or_default();
        let whole = ruled::sum(&seen);
        let is_in_use = self.is_window_in_use();
        if is_in_use == Some(true) {
            seen.clear();
        }
        let otherwise = match (whole[receiver::NOT_READ], whole[receiver::WINDOW]) {
            _ if is_in_use == Some(true) => (0, 1),
            (unread, small) if unread + small > 0 => (unread, small),
            _ if zero > both / 5 => (1, 0),
            _ if is_in_use == Some(false) && !client.peer_window_grew => (1, 0),
            _ => (0, 1),
        };
        // A window that still grows is no small one: autotuning follows the sender by a round trip.
        let smallness = match client.peer_window_grew {
            true if is_queued(client) => HeldBackBy::Path,
            true => HeldBackBy::Rtt,
            false => HeldBackBy::ServerWindow,
        };
        Windows {
            seen,
            otherwise,
            smallness,
        }
    }

    /// BBR paces from the first segment on. It has found the path's rate once the path is full, and that
    /// takes some round trips.
    fn pacing(&self, client: &Stretch) -> HeldBackBy {
        if is_queued(client) {
            HeldBackBy::Path
        } else if self.lost_many(client) {
            HeldBackBy::Loss
        } else if self.is_young(client) {
            HeldBackBy::Rtt
        } else {
            HeldBackBy::Path
        }
    }

    /// Whether more than one of a hundred segments was retransmitted.
    fn lost_many(&self, client: &Stretch) -> bool {
        let segments = self.bytes.unwrap_or(0) / u64::from(client.mss.max(1));
        u64::from(client.retransmits) * 100 > segments
    }

    /// What the server's end alone shows. It cannot tell the client's limits apart.
    fn by_server(&self, server: &Stretch) -> Vec<Causes> {
        let (seen, pauses_ns) = ruled::receiver(server);
        let gap = if self.is_window_in_use() == Some(true) {
            HeldBackBy::ServerWindow
        } else if server.out_of_order > FEW {
            HeldBackBy::Loss
        } else if takes_few_rtts(server, self.arriving_ns(pauses_ns)) {
            HeldBackBy::Rtt
        } else {
            HeldBackBy::ClientSide
        };
        // A window that is in use to its end is small, even where its reader is late now and then.
        let (sender_gap, unread) = match gap {
            HeldBackBy::ServerWindow => (gap, gap),
            _ => (HeldBackBy::ClientSide, HeldBackBy::ServerNotReading),
        };
        let arrival = self.arrival(server, &ruled::sum(&seen), pauses_ns);
        let of_piece = |times: &Receiver| -> Causes {
            let time = |what: usize| times[what];
            vec![
                (
                    HeldBackBy::Loss,
                    time(receiver::HOLE) + time(receiver::OUTAGE),
                ),
                (unread, time(receiver::NOT_READ)),
                (HeldBackBy::ServerWindow, time(receiver::WINDOW)),
                (sender_gap, time(receiver::SENDER_GAP)),
                (gap, time(receiver::GAP)),
                (arrival, time(receiver::FLOW) + time(receiver::LATE)),
            ]
        };
        let mut pieces: Vec<Causes> = seen.iter().map(of_piece).collect();
        pieces.push(vec![(HeldBackBy::ClientSide, self.silent_ns)]);
        pieces
    }

    /// What ruled while payload arrived without a gap, but for pauses. A full path has a queue, and what comes
    /// through it is late. BBR empties the queue most of the time, but fills it again and again. What is never
    /// late is given evenly.
    fn arrival(&self, server: &Stretch, times: &Receiver, pauses_ns: u64) -> HeldBackBy {
        let (flow, late) = (times[receiver::FLOW], times[receiver::LATE]);
        let arriving = self.arriving_ns(pauses_ns);
        if self.is_window_in_use() == Some(true) {
            HeldBackBy::ServerWindow
        } else if takes_few_rtts(server, arriving) && late <= flow {
            // The window grows until there is a queue.
            HeldBackBy::Rtt
        } else if late > flow / AGAIN_SHARE {
            HeldBackBy::Path
        } else {
            HeldBackBy::ClientSide
        }
    }

    /// The length without its pauses.
    fn arriving_ns(&self, pauses_ns: u64) -> u64 {
        self.length_ns
            .saturating_sub(pauses_ns.saturating_add(self.silent_ns))
    }

    fn is_young(&self, stretch: &Stretch) -> bool {
        takes_few_rtts(stretch, self.length_ns)
    }

    /// The part of the server's largest window that was in use, on average.
    pub(super) fn window_use(&self) -> Option<f64> {
        let window = self.window_bytes().filter(|window| *window > 0)?;
        let rtt_ns = self.measured()?.rtt_ns?;
        let in_flight = ratio(self.bytes_per_second()?, 1) * ratio(rtt_ns, 1_000_000_000);
        Some(in_flight / ratio(window.into(), 1))
    }

    /// Whether the sender uses the window up, round trip by round trip. A slow reader's is not: it opens late.
    fn is_window_in_use(&self) -> Option<bool> {
        Some(self.window_use()? >= WINDOW_IN_USE)
    }

    pub(super) fn window_bytes(&self) -> Option<u32> {
        let by_client = self.client.as_ref().map(|client| client.peer_window);
        by_client.or_else(|| self.server.as_ref().map(|server| server.own_window))
    }

    pub(super) fn bytes_per_second(&self) -> Option<u64> {
        let scaled = u128::from(self.bytes?) * 1_000_000_000;
        u64::try_from(scaled.checked_div(u128::from(self.length_ns))?).ok()
    }

    /// The ends that were measured.
    pub(super) fn ends(&self) -> Vec<End> {
        let client = self.client.as_ref().map(|_| End::Client);
        let server = self.server.as_ref().map(|_| End::Server);
        client.into_iter().chain(server).collect()
    }

    /// The client's measurement, or else the server's.
    pub(super) fn measured(&self) -> Option<&Stretch> {
        self.client.as_ref().or(self.server.as_ref())
    }

    /// Everything was sent, and not all of it had arrived. Where no response came, the client may have had
    /// more, and not given it.
    fn tail(&self, client: &Stretch) -> HeldBackBy {
        match self.answered {
            true if is_queued(client) => HeldBackBy::Path,
            true => HeldBackBy::Rtt,
            false => HeldBackBy::ClientApplication,
        }
    }

    /// Seen from the client's end alone, the last of the body is still on its way when it was sent.
    pub(super) fn on_the_way(&self) -> Option<(HeldBackBy, u64)> {
        let client = self.client.as_ref().filter(|_| self.server.is_none())?;
        Some((self.tail(client), client.rtt_ns?))
    }
}

/// Whether so long is no more round trips than it takes to find the path's rate.
fn takes_few_rtts(stretch: &Stretch, ns: u64) -> bool {
    let rtt_ns = stretch.min_rtt_ns.or(stretch.rtt_ns);
    rtt_ns.is_some_and(|rtt| ns < rtt.saturating_mul(STARTUP_RTTS))
}

/// Whether segments waited in a queue of the path: their round trip took much longer than the smallest.
fn is_queued(client: &Stretch) -> bool {
    let Some((rtt, least)) = client.rtt_ns.zip(client.min_rtt_ns) else {
        return false;
    };
    rtt >= least + least / 2 && rtt >= least + QUEUE_NS
}

fn congestion(client: &Stretch) -> HeldBackBy {
    if is_queued(client) {
        HeldBackBy::Path
    } else if client.retransmits > 0 {
        HeldBackBy::Loss
    } else {
        HeldBackBy::Rtt
    }
}

/// The kernel enlarges the send buffer as the congestion window grows, unless a process fixed it.
const fn send_buffer(client: &Stretch) -> HeldBackBy {
    if client.send_buffer_grew {
        HeldBackBy::Rtt
    } else {
        HeldBackBy::ClientSendBuffer
    }
}

/// A full path limits by the congestion window, or by the rate that was found. What waits in a queue of this
/// machine keeps them from being used up, and lengthens the round trip as well.
fn queue(client: &Stretch, times: &[u64; sender::COUNT]) -> HeldBackBy {
    let is_far = client.min_rtt_ns.is_some_and(|rtt| rtt > SMALL_RTT_NS);
    let by_the_path = times[sender::CONGESTION_WINDOW] + times[sender::PACING];
    if is_far && is_queued(client) && by_the_path > times[sender::QUEUE] {
        HeldBackBy::Path
    } else {
        HeldBackBy::ClientQueue
    }
}

/// Causes that together are `length_ns` long. What they lack of it is unknown, and comes last.
fn scale(causes: &Causes, length_ns: u64) -> Causes {
    let sum = total(causes);
    // Evaluations begin and end within a segment of the body.
    let covers = sum >= length_ns - length_ns / 10;
    let of = if covers { sum } else { length_ns };
    let mut scaled = Causes::new();
    let (mut passed, mut now) = (0, 0);
    for (cause, ns) in causes {
        passed += ns;
        let end = part(length_ns, passed, of);
        scaled.push((*cause, end - now));
        now = end;
    }
    if !covers {
        scaled.push((HeldBackBy::Unknown, length_ns - now));
    }
    scaled
}

fn total(causes: &Causes) -> u64 {
    causes.iter().map(|(_, ns)| ns).sum()
}

#[expect(clippy::cast_precision_loss, reason = "a share of hundredths")]
pub(super) fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other as f64
}

/// Rounded to hundredths.
pub(super) fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
