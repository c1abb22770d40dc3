//! How the payload of one end went over time: sequence numbers, bytes in flight, windows and round-trip times, as they
//! were at a bounded number of moments.

use serde::{Deserialize, Serialize};

use crate::{names::names, tcp::End};

/// Samples of the payload that one end sent, taken at one place. Each list that is not empty has an item for each
/// sample, in the order of [`at_ns`](Self::at_ns); what is unknown at this place has none.
///
/// Sequence numbers are relative as Wireshark's: the first byte of payload has number 1. They do not wrap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Samples {
    /// The end that sends the payload.
    pub from: End,
    pub taken_at: TakenAt,
    /// How many samples were taken. There are fewer here if some were left out.
    pub taken: u64,
    /// When, since the connection's beginning.
    pub at_ns: Vec<u64>,
    /// The sequence number after the last that was sent (Wireshark's `tcp.nxtseq`). Unknown at the receiver.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<u64>,
    /// The first sequence number that is not acknowledged; at the receiver, the next that it awaits.
    pub acked: Vec<u64>,
    /// Sequence numbers sent and not acknowledged. Of segments, as Wireshark's `tcp.analysis.bytes_in_flight`: without those
    /// that a selective acknowledgment names. Unknown at the receiver.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_flight: Vec<u32>,
    /// The receive window that the receiver announced last, in bytes; `null` before the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub window: Vec<Option<u32>>,
    /// The congestion window in bytes (`snd_cwnd` times `mss_cache`). Known at the sender's socket alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cwnd: Vec<u64>,
    /// The smoothed round-trip time (RFC 6298) at the sender's socket. Of segments, the latest time from one that was sent
    /// once to its acknowledgment, as Wireshark's `tcp.analysis.ack_rtt`. `null` before the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rtt_ns: Vec<Option<u64>>,
    /// Segments retransmitted so far: as the sender's socket counts them, or as the segments show.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retransmits: Vec<u32>,
}

names! {
    /// Where samples were taken.
    #[derive(Default)]
    pub enum TakenAt {
        /// At the socket of the end that sends, when a segment had reached it, and before that was processed.
        Sender = "sender",
        /// At the socket of the end that receives, likewise.
        Receiver = "receiver",
        /// After each segment of the connection, as it passed: every one was seen.
        #[default]
        Segments = "segments",
    }
}

impl Samples {
    /// The samples within these stretches of time, both ends of each included; `None` if there is none.
    #[must_use]
    pub fn within(&self, stretches: &[(u64, u64)]) -> Option<Self> {
        let is_within = |at: &u64| {
            let mut stretches = stretches.iter();
            stretches.any(|(start, end)| (start..=end).contains(&at))
        };
        let kept: Vec<bool> = self.at_ns.iter().map(is_within).collect();
        if !kept.contains(&true) {
            return None;
        }
        Some(Self {
            from: self.from,
            taken_at: self.taken_at,
            taken: self.taken,
            at_ns: only(&self.at_ns, &kept),
            sent: only(&self.sent, &kept),
            acked: only(&self.acked, &kept),
            in_flight: only(&self.in_flight, &kept),
            window: only(&self.window, &kept),
            cwnd: only(&self.cwnd, &kept),
            rtt_ns: only(&self.rtt_ns, &kept),
            retransmits: only(&self.retransmits, &kept),
        })
    }
}

fn only<T: Copy>(all: &[T], kept: &[bool]) -> Vec<T> {
    let pairs = all.iter().zip(kept);
    pairs
        .filter(|(_, kept)| **kept)
        .map(|(item, _)| *item)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_within() {
        let all = Samples {
            at_ns: vec![10, 20, 30, 40],
            acked: vec![1, 2, 3, 4],
            window: vec![None, Some(2), Some(3), None],
            ..Samples::default()
        };
        let check = |stretches: &[(u64, u64)], expected: &[u64]| {
            let found = all.within(stretches);
            let acked = found.as_ref().map(|found| found.acked.as_slice());
            assert_eq!(acked.unwrap_or_default(), expected, "{stretches:?}");
            assert_eq!(found.is_none(), expected.is_empty());
        };
        check(&[(20, 30)], &[2, 3]);
        check(&[(0, 10), (31, 50)], &[1, 4]);
        check(&[(11, 19), (41, 50)], &[]);
        check(&[], &[]);
    }
}
