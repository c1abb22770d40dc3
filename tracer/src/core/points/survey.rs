//! A first look at several captures: which conversations are in two of them, and what their clocks show.
//!
//! A segment is recognised by what stays the same on its way: its sequence and acknowledgment numbers as they
//! are on the wire, and its timestamps. Addresses and ports may be translated. Both captures must choose the
//! same segments to remember, so that is decided by a hash (trajectory sampling, Duffield and Grossglauser
//! 2000): the more there are, the fewer hashes count. SYNs and SYN-ACKs always do.

mod sides;

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::{HashMap, HashSet, fast::FixedState};
use smallvec::SmallVec;
use upload_protocol::Flags;

use super::{Misaligned, Pair, Point, Points, clocks::Clocks};
use crate::core::{
    address::Address,
    packet::{ConversationHeader, Fragments, Numbered, Packet, Streams, Unread},
    segment::Segment,
};

/// Segments that are remembered: 24 MB.
const MAX_MARKS: usize = 1 << 18;
/// SYNs and SYN-ACKs that are remembered.
const MAX_HANDSHAKES: usize = 1 << 18;
/// Conversations of one capture whose addresses are remembered; others are in one capture alone.
const MAX_STREAMS: usize = 1 << 18;
/// Segments that wait until it is known which point of a conversation they passed first.
const MAX_UNDECIDED: usize = 8;
/// So many segments that are in two captures by chance, or at a seam, make no second point.
const MAX_CHANCE: u64 = 2;

/// What was seen of all captures so far.
#[derive(Default)]
pub struct Survey {
    captures: Vec<Capture>,
    marks: HashMap<u64, Mark>,
    handshakes: HashMap<u64, Mark>,
    /// Hashes count whose lowest bits, so many, are zero.
    level: u32,
    /// What two captures have in common, by their numbers, the lower first.
    between: HashMap<(usize, usize), Between>,
}

/// What several captures are.
#[derive(Debug)]
pub enum Found {
    /// Pieces of one capture, or captures that share no conversation.
    Apart {
        /// Whether some of them overlap in time.
        overlap: bool,
        /// Whether the same connections are in two of them.
        continues: bool,
        /// Connections with the same addresses at the same time, and other sequence numbers.
        rewritten: u64,
    },
    /// Two captures hold the same packets at the same times.
    Same(usize, usize),
    /// Two captures of the same conversations, at two points of their way.
    Points(Box<Points>),
    /// The same in pieces: the point of each capture. To be surveyed again, as two.
    Pieces(Vec<Point>),
    /// The same, but there are more points, or captures that belong to neither.
    TooMany(usize, usize),
    /// The same, but their clocks cannot be aligned.
    Misaligned(Misaligned),
}

#[derive(Default)]
struct Capture {
    streams: Streams,
    fragments: Fragments,
    /// The addresses of each conversation, the lower first.
    ends: Vec<[Address; 2]>,
    /// Addresses of the conversations that open in it.
    opened: HashSet<[Address; 2]>,
    /// The times of its first and last packets.
    span: Option<(u64, u64)>,
}

/// A segment of one capture.
#[derive(Clone, Copy)]
struct Mark {
    time_ns: u64,
    stream: u32,
    capture: u16,
    /// Whether the end with the higher address sent it.
    by_higher: bool,
    /// Whether a capture after that has it, too.
    is_found: bool,
}

/// What two captures have in common.
#[derive(Default)]
struct Between {
    clocks: Clocks,
    pairs: HashMap<(u32, u32), Candidate>,
    segments: u64,
    /// The least and the greatest distance of a segment's two times.
    distance: Option<(i128, i128)>,
}

/// Two conversations of two captures that may be one.
#[derive(Default)]
struct Candidate {
    segments: u64,
    /// Whether a segment is in both that no other conversation has.
    is_certain: bool,
    /// Whether its first end in the one is the second in the other.
    is_turned: bool,
    /// How far the clocks seem apart by the latest segment of each end.
    latest: [Option<i128>; 2],
    /// Positive if the first capture is nearer to the end with the lower address.
    votes: i64,
    undecided: SmallVec<[(bool, [u64; 2]); 2]>,
}

impl Capture {
    /// Numbers the conversation of a frame, as when the capture is read, and remembers its ends.
    fn number(&mut self, header: &ConversationHeader) -> Numbered {
        let numbered = self.streams.number(header);
        if numbered.is_new && self.ends.len() < MAX_STREAMS {
            self.ends.push(ends(header.source, header.destination));
        }
        numbered
    }

    /// The same of a frame without a segment.
    fn number_unread(&mut self, packet: &Packet<'_>) {
        if let Some(header) = packet.conversation() {
            let _ = self.number(&header);
        }
    }
}

/// Two addresses, the lower first.
fn ends(one: Address, other: Address) -> [Address; 2] {
    [one.min(other), one.max(other)]
}

impl Survey {
    /// A survey of so many captures.
    #[must_use]
    pub fn new(captures: usize) -> Self {
        Self {
            captures: std::iter::repeat_with(Capture::default)
                .take(captures)
                .collect(),
            ..Self::default()
        }
    }

    /// Takes a frame of one of the captures. All of one come before the next.
    pub fn packet(&mut self, capture: usize, time_ns: u64, packet: &Packet<'_>) {
        let Some(of) = self.captures.get_mut(capture) else {
            return;
        };
        let (first, last) = of.span.unwrap_or((time_ns, time_ns));
        of.span = Some((first.min(time_ns), last.max(time_ns)));
        match packet.segment() {
            Ok(segment) => self.segment(capture, time_ns, &segment),
            Err(Unread::Fragment) => {
                if let Some(whole) = packet.put_together(&mut of.fragments) {
                    match whole.segment() {
                        Ok(segment) => self.segment(capture, time_ns, &segment),
                        Err(_) => of.number_unread(&whole),
                    }
                }
            }
            Err(_) => of.number_unread(packet),
        }
    }

    fn segment(&mut self, capture: usize, time_ns: u64, segment: &Segment<&[u8]>) {
        let of = &mut self.captures[capture];
        let numbered = of.number(&segment.into());
        let by_higher = segment.source > segment.destination;
        let ends = ends(segment.source, segment.destination);
        let Ok(stream) = u32::try_from(numbered.number) else {
            return;
        };
        if numbered.number >= MAX_STREAMS as u64 {
            return;
        }
        let is_syn = segment.flags.has(Flags::SYN);
        if is_syn && !segment.flags.has(Flags::ACK) && of.opened.len() < MAX_STREAMS {
            of.opened.insert(ends);
        }
        let Some((hash, is_unique)) = identity(segment) else {
            return;
        };
        let mark = Mark {
            time_ns,
            stream,
            capture: u16::try_from(capture).unwrap_or(u16::MAX),
            by_higher,
            is_found: false,
        };
        let known = if is_syn {
            if self.handshakes.len() >= MAX_HANDSHAKES && !self.handshakes.contains_key(&hash) {
                return;
            }
            self.handshakes.entry(hash)
        } else {
            if hash.trailing_zeros() < self.level {
                return;
            }
            self.marks.entry(hash)
        };
        // Of a segment that is sent again, the first counts at each point.
        let known = known.or_insert(mark);
        if known.capture == mark.capture || known.is_found {
            self.bound();
            return;
        }
        known.is_found = true;
        let known = *known;
        let one = usize::from(known.capture);
        let other_ends = self.captures[one].ends[known.stream as usize];
        let is_certain = is_unique || other_ends == ends;
        let between = self.between.entry((one, capture)).or_default();
        between.add(known, mark, is_certain);
    }

    /// Remembers half as many segments, if there are too many.
    fn bound(&mut self) {
        while self.marks.len() > MAX_MARKS {
            self.level += 1;
            let level = self.level;
            self.marks.retain(|hash, _| hash.trailing_zeros() >= level);
        }
    }

    /// What the captures are, with their names.
    #[must_use]
    pub fn finish(mut self, names: &[String]) -> Found {
        let common = |between: &Between| {
            let certain = between.pairs.values().filter(|pair| pair.is_certain);
            certain.map(|pair| pair.segments).sum::<u64>()
        };
        let mut found: Vec<((usize, usize), Between)> = self
            .between
            .drain()
            .filter(|(_, between)| common(between) > MAX_CHANCE)
            .collect();
        found.sort_by_key(|(which, _)| *which);
        let (mut same, mut points): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|(_, between)| between.has_one_distance());
        if self.captures.len() > 2
            && let Some((which, _)) = points.last()
        {
            return match sides::sides(&self.captures, &points) {
                Some(sides) => Found::Pieces(sides),
                None => Found::TooMany(which.0, which.1),
            };
        }
        match (points.pop(), same.pop()) {
            (Some((which, between)), _) => self.points(which, between, names),
            (None, Some((which, _)))
                if self.captures[which.0].span == self.captures[which.1].span =>
            {
                Found::Same(which.0, which.1)
            }
            (None, _) => self.apart(),
        }
    }

    fn points(&self, which: (usize, usize), mut between: Between, names: &[String]) -> Found {
        let name = |at: usize| names.get(at).cloned().unwrap_or_default();
        match between.clocks.align() {
            Err(error) => Found::Misaligned(error),
            Ok(clocks) => {
                let pairs = between.pairs(&self.captures[which.0], &self.captures[which.1]);
                let names = [name(which.0), name(which.1)];
                let spans = [which.0, which.1].map(|at| self.captures[at].span.unwrap_or_default());
                let segments = between.clocks.segments();
                let points = Points::new(names, (clocks, segments), spans, pairs);
                Found::Points(Box::new(points))
            }
        }
    }

    fn apart(&self) -> Found {
        let mut overlap = false;
        let mut continues = false;
        let mut rewritten = 0;
        for (at, one) in self.captures.iter().enumerate() {
            for other in &self.captures[at + 1..] {
                let both = one.span.zip(other.span);
                let is_at_once =
                    both.is_some_and(|(one, other)| one.0.max(other.0) < one.1.min(other.1));
                overlap |= is_at_once;
                if is_at_once {
                    rewritten += one.opened.intersection(&other.opened).count() as u64;
                }
                let ends: HashSet<&[Address; 2]> = one.ends.iter().collect();
                continues |= other.ends.iter().any(|found| ends.contains(found));
            }
        }
        Found::Apart {
            overlap,
            continues,
            rewritten,
        }
    }
}

impl Between {
    fn add(&mut self, one: Mark, other: Mark, is_certain: bool) {
        if self.pairs.len() >= MAX_STREAMS && !self.pairs.contains_key(&(one.stream, other.stream))
        {
            return;
        }
        self.segments += 1;
        let distance = i128::from(other.time_ns) - i128::from(one.time_ns);
        let (least, most) = self.distance.unwrap_or((distance, distance));
        self.distance = Some((least.min(distance), most.max(distance)));
        let pair = self.pairs.entry((one.stream, other.stream)).or_default();
        pair.segments += 1;
        pair.is_certain |= is_certain;
        pair.is_turned = one.by_higher != other.by_higher;
        // The end that is nearer to the second capture has the smaller distance.
        pair.latest[usize::from(one.by_higher)] = Some(distance);
        if let [Some(by_lower), Some(by_higher)] = pair.latest {
            pair.votes += i64::try_from((by_lower - by_higher).signum()).unwrap_or_default();
        }
        let times = [one.time_ns, other.time_ns];
        if pair.undecided.len() < MAX_UNDECIDED {
            pair.undecided.push((one.by_higher, times));
        }
        if pair.votes == 0 || !pair.is_certain {
            return;
        }
        let near_lower = usize::from(pair.votes < 0);
        for (by_higher, times) in pair.undecided.drain(..) {
            let from = if by_higher {
                1 - near_lower
            } else {
                near_lower
            };
            self.clocks.add(from, times);
        }
    }

    /// Whether each segment's two times are equally far apart: nothing lies between the captures.
    fn has_one_distance(&self) -> bool {
        self.distance.is_some_and(|(least, most)| least == most)
    }

    /// The conversations that are one: of each, the one with which it shares most.
    fn pairs(&self, one: &Capture, other: &Capture) -> Vec<Pair> {
        let mut all: Vec<_> = self
            .pairs
            .iter()
            .filter(|(_, pair)| pair.is_certain && pair.votes != 0)
            .collect();
        all.sort_by_key(|(streams, pair)| (std::cmp::Reverse(pair.segments), **streams));
        let mut taken = [HashSet::default(), HashSet::default()];
        let mut pairs = Vec::new();
        for (streams, pair) in all {
            if taken[0].contains(&streams.0) || taken[1].contains(&streams.1) {
                continue;
            }
            taken[0].insert(streams.0);
            taken[1].insert(streams.1);
            let first = one.ends[streams.0 as usize];
            let [lower, higher] = other.ends[streams.1 as usize];
            pairs.push(Pair {
                streams: [streams.0.into(), streams.1.into()],
                ends: [
                    first,
                    if pair.is_turned {
                        [higher, lower]
                    } else {
                        [lower, higher]
                    },
                ],
                near_first: usize::from(pair.votes < 0),
            });
        }
        pairs
    }
}

/// What a segment is recognised by at another point, and whether no other connection's has it. `None` for a
/// segment with too little in it.
fn identity(segment: &Segment<&[u8]>) -> Option<(u64, bool)> {
    let options = &segment.options;
    let is_syn = segment.flags.has(Flags::SYN);
    let has_ack = segment.flags.has(Flags::ACK);
    if segment.flags.has(Flags::RST) || !is_syn && !has_ack {
        return None;
    }
    let mut hasher = FixedState::default().build_hasher();
    hasher.write_u32(segment.seq);
    hasher.write_u32(if has_ack { segment.ack } else { 0 });
    hasher.write_u32(options.tsval.unwrap_or_default());
    hasher.write_u32(options.tsecr.unwrap_or_default());
    // A frame that is cut up on its way, or put together, begins with the same number.
    hasher.write_u8(u8::from(is_syn) | u8::from(segment.sequence_length() == 0) << 1);
    let is_unique = has_ack || options.tsval.is_some();
    Some((hasher.finish(), is_unique))
}

#[cfg(test)]
mod tests;
