//! The genes of a load: what is asked for, how often, how large, and what the client does with the answers.

use std::fmt;

use super::kind::Kind;

/// What a number of clients send at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Candidate {
    pub(super) kind: Kind,
    pub(super) http2: bool,
    pub(super) tls: bool,
    pub(super) connections: u32,
    /// On each connection: one after the other in HTTP/1.1, at once in HTTP/2.
    pub(super) requests: u32,
    /// How many files, fields, ranges or partial uploads a request has, whichever its kind has.
    pub(super) count: u32,
    /// How many bytes each of them has.
    pub(super) size: u32,
    /// Further fields in each head. In HTTP/2, they are in the compression table: a byte each.
    pub(super) fields: u32,
    /// The bytes of a body in chunks, or frames, of this size; 0 for one piece of known length.
    pub(super) piece: u32,
    /// Whether the bodies are whole.
    pub(super) ends: bool,
    pub(super) reads: bool,
    /// Closed as soon as everything is sent.
    pub(super) closes: bool,
}

/// The most of each number, and of all bytes together.
const MOST_CONNECTIONS: u32 = 128;
const MOST_REQUESTS: u32 = 200;
const MOST_COUNT: u32 = 30_000;
const MOST_SIZE: u32 = 1 << 18;
const MOST_FIELDS: u32 = 2_000;
const MOST_PIECE: u32 = 1 << 14;

impl Candidate {
    /// Where the search begins for a kind.
    pub(super) fn of(kind: Kind) -> Self {
        let (count, size) = kind.typical();
        Self {
            kind,
            http2: false,
            tls: false,
            connections: 32,
            requests: 1,
            count,
            size,
            fields: 0,
            piece: 0,
            ends: true,
            reads: false,
            closes: false,
        }
    }

    /// What the search begins with.
    pub(super) fn corpus() -> Vec<Self> {
        let mut all = Vec::new();
        for kind in Kind::ALL {
            let first = Self::of(kind);
            all.extend([
                Self {
                    ends: false,
                    ..first.clone()
                },
                Self {
                    http2: true,
                    requests: 100,
                    ends: false,
                    ..first.clone()
                },
                Self {
                    http2: true,
                    tls: true,
                    requests: 50,
                    fields: 400,
                    ..first.clone()
                },
                Self {
                    http2: true,
                    connections: 8,
                    requests: 20,
                    piece: 1,
                    ends: false,
                    ..first
                },
            ]);
        }
        // What searches found.
        let downloads = Self {
            http2: true,
            connections: 64,
            reads: true,
            ..Self::of(Kind::Download)
        };
        let silent = Self {
            http2: true,
            connections: 128,
            ..Self::of(Kind::UnfinishedHead)
        };
        all.extend([
            Self {
                requests: 2,
                ..downloads.clone()
            },
            downloads,
            silent,
        ]);
        all.retain(Self::makes_sense);
        // Each way to speak needs a server.
        all.sort_by_key(|one| (one.tls, one.http2));
        all
    }

    /// A neighbour: one or two genes are others.
    pub(super) fn mutated(&self, random: &mut fastrand::Rng) -> Self {
        loop {
            let mut other = self.clone();
            for _ in 0..random.u32(1..=2) {
                other.mutate(random);
            }
            if other.makes_sense() && other != *self {
                return other;
            }
        }
    }

    fn mutate(&mut self, random: &mut fastrand::Rng) {
        match random.u32(0..13) {
            0 => self.http2 = !self.http2,
            1 => self.tls = !self.tls,
            2 => self.ends = !self.ends,
            3 => self.reads = !self.reads,
            4 => self.closes = !self.closes,
            5 => self.kind = *random.choice(&Kind::ALL).unwrap_or(&self.kind),
            6 => scale(&mut self.connections, MOST_CONNECTIONS, random),
            7 => scale(&mut self.requests, MOST_REQUESTS, random),
            8 | 9 => scale(&mut self.count, MOST_COUNT, random),
            10 => scale(&mut self.size, MOST_SIZE, random),
            11 => scale(&mut self.fields, MOST_FIELDS, random),
            _ => scale(&mut self.piece, MOST_PIECE, random),
        }
        self.connections = self.connections.max(1);
        self.requests = self.requests.max(1);
    }

    fn makes_sense(&self) -> bool {
        let has_body = self.kind.has_body() || self.piece == 0;
        has_body && (!self.kind.needs_http2() || self.http2)
    }
}

/// Halves or doubles a number, or replaces it by its least or most.
fn scale(number: &mut u32, most: u32, random: &mut fastrand::Rng) {
    *number = match random.u32(0..8) {
        0..=2 => *number / 2,
        3..=5 => number.saturating_mul(2).max(1).min(most),
        6 => 0,
        _ => random.u32(1..=most),
    };
}

/// The request in words.
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = if self.http2 { "HTTP/2" } else { "HTTP/1.1" };
        let tls = if self.tls { " over TLS" } else { "" };
        write!(
            f,
            "{version}{tls}: {} × {} ",
            self.connections, self.requests
        )?;
        self.kind.describe(self, f)?;
        if self.fields > 0 {
            write!(f, ", {} further fields", self.fields)?;
        }
        if self.piece > 0 {
            write!(f, ", body in pieces of {} B", self.piece)?;
        }
        for (holds, words) in [
            (!self.ends, ", unfinished"),
            (!self.reads, ", answers unread"),
            (self.closes, ", closed at once"),
        ] {
            if holds {
                f.write_str(words)?;
            }
        }
        Ok(())
    }
}
