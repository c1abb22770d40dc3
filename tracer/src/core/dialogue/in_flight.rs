//! Matches departures with arrivals: between two sockets of this machine, each segment is seen twice,
//! as it leaves its sender and as it reaches its receiver.
//!
//! A segment's time is that of its departure. A socket may pass down one large frame that the kernel or
//! the network card cuts up (segmentation offload); only the arrivals show how. A segment that a
//! TIME_WAIT entry sends for a closed socket is seen only on arrival.

use std::collections::VecDeque;

use upload_protocol::{End, Flags};

use crate::core::{event::MoreBytes, segment::Segment};

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct InFlight {
    /// Observed, and not taken yet.
    seen: Vec<Observed>,
    /// Marks of segments that left whole and have not arrived. Only marks: the segment itself is in
    /// `seen`, or taken already, and most arrivals are compared and dropped without a copy.
    left: VecDeque<Mark>,
    /// Left as a frame that may be cut up, and has not arrived in full.
    frames: VecDeque<Frame>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observed {
    pub(super) from: End,
    /// Its offset in the frame, for pieces of one frame, which left at the same time.
    offset: u32,
    pub(super) segment: Box<Segment>,
}

/// Identifies a segment when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    from: End,
    seq: u32,
    ack: u32,
    len: u32,
    window: u16,
    flags: Flags,
}

#[derive(Clone, Debug, PartialEq)]
struct Frame {
    whole: Observed,
    arrived: u32,
}

/// With the peer on another machine no arrival is seen: keep few, drop the oldest.
const MAX_LEFT: usize = 256;
/// With both ends here, as many as may be in flight between two namespaces.
const MAX_ARRIVING: usize = 1 << 14;
/// A frame of which nothing has arrived by then was lost on the way, and counts as it left.
const LOST_AFTER_NS: u64 = 200_000_000;

impl InFlight {
    pub(super) fn observe(&mut self, from: End, receiver_is_here: bool, segment: Box<Segment>) {
        let seen = Observed {
            from,
            offset: 0,
            segment,
        };
        if !seen.segment.leaving {
            self.observe_arrival(seen);
        } else if seen.segment.merged && receiver_is_here {
            self.frames.push_back(Frame {
                whole: seen,
                arrived: 0,
            });
        } else if let Some(arrived) = self.seen.iter_mut().find(|known| {
            !known.segment.leaving
                && known.mark() == seen.mark()
                && known.mono_ns() >= seen.mono_ns()
        }) {
            // Its arrival was handled first: until then the connection of its sender was unknown.
            *arrived = seen;
        } else {
            let most = if receiver_is_here {
                MAX_ARRIVING
            } else {
                MAX_LEFT
            };
            while self.left.len() >= most {
                self.left.pop_front();
            }
            self.left.push_back(seen.mark());
            self.seen.push(seen);
        }
    }

    /// Adds more of the payload of a segment. If the segment was seen twice, its sender's record has
    /// added the same bytes before.
    pub(super) fn add_bytes(&mut self, from: End, more: MoreBytes<'_>) {
        let frames = self.frames.iter_mut().map(|frame| &mut frame.whole);
        let mut known = self.seen.iter_mut().chain(frames).rev();
        if let Some(seen) = known.find(|seen| {
            seen.from == from && seen.segment.before_bytes == more.before_bytes && seen.offset == 0
        }) {
            seen.segment.add_bytes(more.offset, more.bytes);
        }
    }

    /// Whether this is the arrival of a segment that left whole. Forgets the departure.
    pub(super) fn match_arrival<Packet>(&mut self, from: End, segment: &Segment<Packet>) -> bool {
        let mark = Mark::of(from, segment);
        let Some(at) = self.left.iter().position(|left| *left == mark) else {
            return false;
        };
        self.left.remove(at);
        true
    }

    /// Takes the segments seen before `before_ns`, in the order sent.
    pub(super) fn take(&mut self, before_ns: u64) -> Vec<Observed> {
        while let Some(frame) = self.frames.front()
            && frame.whole.mono_ns().saturating_add(LOST_AFTER_NS) < before_ns
        {
            let lost = frame.arrived == 0;
            self.seen.extend(
                self.frames
                    .pop_front()
                    .map(|frame| frame.whole)
                    .filter(|_| lost),
            );
        }
        // Segments that left after a frame wait for its pieces, so that the order stays right.
        let before_ns = self
            .frames
            .front()
            .map_or(before_ns, |frame| before_ns.min(frame.whole.mono_ns()));
        let mut taken = std::mem::take(&mut self.seen);
        if taken.iter().any(|seen| seen.mono_ns() >= before_ns) {
            self.seen = taken
                .extract_if(.., |seen| seen.mono_ns() >= before_ns)
                .collect();
        }
        taken.sort_by_key(|seen| (seen.mono_ns(), seen.offset));
        taken
    }

    /// Whether no segment waits to be taken.
    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty() && self.frames.is_empty()
    }

    /// Whether no segment waits, and no arrival is expected: the connection can drop this.
    pub(super) fn is_over(&self) -> bool {
        self.is_empty() && self.left.is_empty()
    }

    fn observe_arrival(&mut self, mut seen: Observed) {
        if let Some(at) = self.frames.iter().position(|frame| frame.contains(&seen)) {
            let frame = &mut self.frames[at];
            let whole = &frame.whole.segment;
            seen.offset = seen.segment.seq.wrapping_sub(whole.seq);
            seen.segment.mono_ns = whole.mono_ns;
            seen.segment.leaving = true;
            seen.segment.turned_ns = whole.turned_ns.filter(|_| seen.offset == 0);
            frame.arrived = frame.arrived.saturating_add(seen.segment.len);
            if frame.arrived >= frame.whole.segment.len {
                self.frames.remove(at);
            }
        }
        self.seen.push(seen);
    }
}

impl Frame {
    fn contains(&self, new_bytes: &Observed) -> bool {
        let (whole, part) = (&self.whole.segment, &new_bytes.segment);
        let offset = part.seq.wrapping_sub(whole.seq);
        self.whole.from == new_bytes.from
            && part.len > 0
            && u64::from(offset) + u64::from(part.len) <= u64::from(whole.len)
    }
}

impl Observed {
    /// A segment of a capture.
    pub(super) const fn captured(from: End, segment: Box<Segment>) -> Self {
        Self {
            from,
            offset: 0,
            segment,
        }
    }

    pub(super) const fn mono_ns(&self) -> u64 {
        self.segment.mono_ns
    }

    fn mark(&self) -> Mark {
        Mark::of(self.from, &self.segment)
    }
}

impl Mark {
    const fn of<Packet>(from: End, segment: &Segment<Packet>) -> Self {
        Self {
            from,
            seq: segment.seq,
            ack: segment.ack,
            len: segment.len,
            window: segment.window,
            flags: segment.flags,
        }
    }
}
