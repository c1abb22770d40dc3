//! Why a segment differs, where the reason is known: tshark is wrong, or means something else.

use std::collections::{HashMap, HashSet};

use super::{Segment, tshark::Remark};

const SYN: u64 = 0x02;
const RST: u64 = 0x04;
const ACK: u64 = 0x10;
const MOST_UNANSWERED: u64 = 10_000;
/// Of a TCP header without options, in bytes.
const HEADER: u64 = 20;

const NO_HEADER: &str = "tshark shows a TCP header that cannot be one, or is not whole";
const FIRST_ACKNOWLEDGMENT: &str = "tshark takes a first acknowledgment for a window update";
const SCALE_OF_ONE: &str = "tshark scales a window that not both SYNs agreed to scale";
const NO_ACKNOWLEDGMENT: &str =
    "tshark compares an acknowledgment number that no flag ACK goes with";
const WINDOW_OF_RESET: &str = "tshark takes the window of a RST for one that is closed";
const NUMBERED_ANEW: &str = "tshark compares numbers with those before another SYN-ACK";
const LACKS_END: &str = "tshark takes the end of a segment for FabricPath's checksum";
const UNANSWERED: &str =
    "tshark follows 10,000 segments that no acknowledgment answers, and no more";
const ZERO: &str = "tshark takes the sequence number 0 for none";
const TIME_GOES_BACK: &str = "the times of the file go back";

/// Why tshark shows no segment where the tracer does; `None` if no reason is known.
pub(super) fn alone(found: &Segment) -> Option<&'static str> {
    const MOST: u64 = u16::MAX as u64;
    let is_big = found.len.is_some_and(|len| len > MOST - 2 * HEADER);
    is_big.then_some("tshark reads no packet that is longer than its IP header can tell")
}

/// What passed before, of all conversations of a capture.
#[derive(Default)]
pub(super) struct Before<'a> {
    streams: HashMap<&'a str, Stream>,
    latest_ns: u64,
}

#[derive(Default)]
struct Stream {
    /// Which ends have sent something.
    senders: HashSet<u64>,
    /// Whose SYN announced a window scale.
    scaled: HashSet<u64>,
    /// Who sent a RST.
    reset: HashSet<u64>,
    /// Whose last segment had no flag ACK.
    without_ack: HashSet<u64>,
    /// Whose last segment had an acknowledgment number that no flag goes with.
    false_ack: HashSet<u64>,
    /// How many segments each end has sent since the other's last acknowledgment.
    unanswered: HashMap<u64, u64>,
    /// Whether an end has sent the sequence number 0.
    has_zero: bool,
    is_numbered_anew: bool,
    /// Whether tshark has cut the end of a segment off.
    lacks_ends: bool,
}

impl<'a> Before<'a> {
    /// Why the fields of a segment differ; `None` if no reason is known for one of them. Then takes the segment.
    pub(super) fn explain(
        &mut self,
        (found, expected): (Option<&Segment>, &'a Segment),
        remark: Remark,
        fields: &[&str],
    ) -> Option<&'static str> {
        let goes_back = remark.time_ns < self.latest_ns;
        self.latest_ns = self.latest_ns.max(remark.time_ns);
        let stream = self.streams.entry(&expected.stream).or_default();
        stream.is_numbered_anew |= remark.is_reused;
        stream.lacks_ends |= remark.lacks_end;
        stream.has_zero |= remark.is_zero;
        let reasons = fields.iter().map(|field| match (*field, found) {
            ("missing", None) if remark.header < HEADER || expected.len.is_none() => {
                Some(NO_HEADER)
            }
            (_, Some(_)) if remark.lacks_end => Some(LACKS_END),
            ("analysis", Some(_)) if stream.lacks_ends => Some(LACKS_END),
            ("window", Some(_)) => (stream.scaled.len() < 2).then_some(SCALE_OF_ONE),
            ("analysis", Some(found)) => stream
                .of_analysis(found, expected)
                .or(goes_back.then_some(TIME_GOES_BACK))
                .or(stream.has_zero.then_some(ZERO)),
            _ => None,
        });
        let reasons: Option<Vec<_>> = reasons.collect();
        stream.take(expected, remark);
        reasons?.first().copied()
    }
}

impl Stream {
    fn of_analysis(&self, found: &Segment, expected: &Segment) -> Option<&'static str> {
        let (found_names, names) = (&found.analysis, &expected.analysis);
        let differs = |name: &&str| found_names.contains(name) != names.contains(name);
        let differing = || {
            found_names
                .iter()
                .chain(names)
                .copied()
                .filter(|name| differs(name))
        };
        let are_all = |these: &[&str]| differing().all(|name| these.contains(&name));
        let sender = expected.source_port;
        let lacks_ack = expected.flags & ACK == 0 || self.without_ack.contains(&sender);
        let peer_reset = self.reset.iter().any(|port| *port != sender);
        if are_all(&["window-update"]) && !self.senders.contains(&sender) {
            Some(FIRST_ACKNOWLEDGMENT)
        } else if are_all(&["window-update", "duplicate-ack"]) && lacks_ack {
            Some(NO_ACKNOWLEDGMENT)
        } else if are_all(&["acked-unseen-segment"])
            && self
                .unanswered
                .iter()
                .any(|(port, count)| *port != sender && *count > MOST_UNANSWERED)
        {
            Some(UNANSWERED)
        } else if are_all(&["spurious-retransmission"])
            && self.false_ack.iter().any(|port| *port != sender)
        {
            Some(NO_ACKNOWLEDGMENT)
        } else if are_all(&["zero-window-probe", "previous-segment-not-seen"]) && peer_reset {
            Some(WINDOW_OF_RESET)
        } else {
            self.is_numbered_anew.then_some(NUMBERED_ANEW)
        }
    }

    fn take(&mut self, segment: &Segment, remark: Remark) {
        let sender = segment.source_port;
        *self.unanswered.entry(sender).or_default() += 1;
        self.unanswered
            .retain(|port, _| *port == sender || segment.flags & ACK == 0);
        if segment.flags & ACK == 0 && remark.has_ack_number {
            self.false_ack.insert(sender);
        } else {
            self.false_ack.remove(&sender);
        }
        self.senders.insert(sender);
        if segment.flags & SYN != 0 && segment.options.window_scale.is_some() {
            self.scaled.insert(sender);
        }
        if segment.flags & RST != 0 {
            self.reset.insert(sender);
        }
        if segment.flags & ACK == 0 {
            self.without_ack.insert(sender);
        } else {
            self.without_ack.remove(&sender);
        }
    }
}
