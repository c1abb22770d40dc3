//! Two observation points of one conversation: two captures that were made at two places on its way.
//!
//! [`Survey`] reads both captures once and finds out which conversations are in both, and how far apart the
//! two clocks are. [`Points`] is what it found. With it, the segments can be read again in the order of one
//! clock, and a [`Crossings`] finds each segment's arrival at the other point.

mod clocks;
mod crossings;
mod envelope;
mod survey;

use std::num::NonZeroU8;

use foldhash::HashMap;
use upload_protocol::ConnectionId;

pub use self::{
    clocks::{Alignment, Misaligned},
    crossings::{Crossing, Crossings, Released},
    survey::{Found, Survey},
};
use crate::core::address::Address;

/// One of two captures: 0 for the first, 1 for the second.
pub type Point = usize;

/// A conversation that both captures have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Its number in each capture.
    pub streams: [u64; 2],
    /// The addresses of its two ends in each capture. They differ where NAT lies between.
    pub ends: [[Address; 2]; 2],
    /// The capture that is nearer to the first of its ends.
    pub near_first: Point,
}

/// What two captures have in common.
#[derive(Clone, Debug, Default)]
pub struct Points {
    /// The files, as they were given.
    pub names: [String; 2],
    pub clocks: Alignment,
    /// Segments that were compared.
    pub segments: u64,
    /// From when to when each capture has packets, by the first's clock.
    spans: [(u64, u64); 2],
    pairs: Vec<Pair>,
    by_stream: [HashMap<u64, usize>; 2],
}

impl Pair {
    /// The capture that is nearer to the end with this address in the first capture.
    #[must_use]
    pub fn near(&self, end: Address) -> Point {
        if self.ends[0][0] == end {
            self.near_first
        } else {
            1 - self.near_first
        }
    }

    /// An address in one of the captures, as the first has it.
    #[must_use]
    pub fn in_first(&self, point: Point, address: Address) -> Address {
        let at = usize::from(self.ends[point][0] != address);
        self.ends[0][at]
    }

    /// An address in the first capture, as one of the two has it.
    #[must_use]
    pub fn seen_at(&self, point: Point, address: Address) -> Address {
        let at = usize::from(self.ends[0][0] != address);
        self.ends[point][at]
    }
}

impl Points {
    fn new(
        names: [String; 2],
        (clocks, segments): (Alignment, u64),
        spans: [(u64, u64); 2],
        pairs: Vec<Pair>,
    ) -> Self {
        let in_first = |point: Point| {
            let (first, last) = spans[point];
            (clocks.in_first(point, first), clocks.in_first(point, last))
        };
        let numbers = |point: Point| {
            let all = pairs.iter().enumerate();
            all.map(|(at, pair)| (pair.streams[point], at)).collect()
        };
        Self {
            by_stream: [numbers(0), numbers(1)],
            spans: [in_first(0), in_first(1)],
            names,
            clocks,
            segments,
            pairs,
        }
    }

    /// Two captures that have nothing in common, or nothing that can be compared.
    #[must_use]
    pub fn apart(names: [String; 2]) -> Self {
        Self {
            names,
            ..Self::default()
        }
    }

    /// When the earlier capture begins, by the first's clock.
    #[must_use]
    pub fn first_ns(&self) -> u64 {
        self.spans[0].0.min(self.spans[1].0)
    }

    /// From when to when each capture has packets, since the earlier one began.
    #[must_use]
    pub fn spans(&self) -> [(u64, u64); 2] {
        let begin = self.first_ns();
        self.spans
            .map(|(first, last)| (first - begin, last - begin))
    }

    /// The conversation with this number in one of the captures, if the other has it, too.
    #[must_use]
    pub fn pair(&self, point: Point, stream: u64) -> Option<&Pair> {
        let at = self.by_stream[point].get(&stream)?;
        self.pairs.get(*at)
    }

    /// The conversation with this name, if both captures have it.
    #[must_use]
    pub fn pair_of(&self, id: ConnectionId) -> Option<&Pair> {
        let is_first = id == ConnectionId::captured(id.stream(), self.number(0));
        self.pair(0, id.stream()).filter(|_| is_first)
    }

    /// How a capture is counted in the names of connections: from 1.
    #[must_use]
    pub fn number(&self, point: Point) -> Option<NonZeroU8> {
        NonZeroU8::new(u8::from(point > 0) + 1)
    }

    /// How many conversations both captures have.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.pairs.len() as u64
    }
}
