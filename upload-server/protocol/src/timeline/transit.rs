//! What became of a connection's segments between two captures of it: how long each was on its way, and
//! which were lost, and where.

use serde::{Deserialize, Serialize};

use crate::{names::names, tcp::End};

/// The way between two captures of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Transit {
    /// The capture that was made nearer to the client, then the other.
    pub captures: Vec<CaptureStream>,
    pub client_to_server: Passage,
    pub server_to_client: Passage,
    /// The segments that were lost, in the order sent.
    pub losses: Vec<LostSegment>,
    /// How many came after those that are listed; absent for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub losses_left_out: u64,
}

/// A connection in one of the captures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureStream {
    /// Its place among the captures that were read, counted from 1.
    pub capture: u8,
    /// The file's name, as it was given.
    pub file: String,
    /// Wireshark's `tcp.stream` in that file.
    pub stream: u64,
}

/// The segments of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Passage {
    /// Segments that passed the sender's capture.
    pub segments: u64,
    /// Of those, segments that passed the other one, too.
    pub arrived: u64,
    /// Segments that were lost between the captures.
    pub lost_between: u64,
    /// Segments that passed both captures and were lost beyond the second.
    pub lost_beyond: u64,
    /// Segments that the sender's capture lacks: they passed the other one.
    pub missing_at_sender: u64,
    /// Segments that the receiver's capture lacks: they were acknowledged.
    pub missing_at_receiver: u64,
    /// Segments that another one, sent later, overtook (RFC 4737).
    pub reordered: u64,
    /// Segments that arrived twice (RFC 5560).
    pub duplicated: u64,
    /// How long the segments were on their way; `null` where none arrived.
    pub one_way_delay: Option<OneWayDelay>,
}

/// Of the segments that arrived, until all of their bytes had (RFC 7679). Inferred: the sum of the two
/// directions' delays is known, and how it divides rests on the assumption that the least delay is the same
/// both ways. Differences between two delays of one direction do not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OneWayDelay {
    pub min_ns: u64,
    pub mean_ns: u64,
    pub max_ns: u64,
}

names! {
    /// Where a segment was lost.
    pub enum LostAt {
        /// Between the two captures.
        Between = "between",
        /// After it had passed both.
        Beyond = "beyond",
    }
}

/// A segment that was lost, or the part of it that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostSegment {
    /// The end that sent it.
    pub from: End,
    /// When it was sent, since the connection's beginning.
    pub at_ns: u64,
    /// Its relative sequence number.
    pub seq: u32,
    /// Bytes of payload that were lost.
    pub len: u32,
    pub at: LostAt,
    /// Its frame in the sender's capture.
    pub frame: Option<u64>,
}

/// How far apart the clocks of two captures are, as the segments show that are in both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clocks {
    /// The files, in the order given. All times are those of the first one's clock.
    pub captures: Vec<String>,
    /// How far the second clock is ahead of the first, at the first segment that is in both. It assumes that
    /// the least delay is the same both ways.
    pub offset_ns: i64,
    /// The offset is at most so wrong, whatever the delays of the two directions are.
    pub error_ns: u64,
    /// How much the second clock gains on the first, in nanoseconds per second; `null` where it cannot be told
    /// from none.
    pub drift_ns_per_s: Option<i64>,
    /// How far the two directions disagree about that; `null` likewise.
    pub drift_error_ns_per_s: Option<u64>,
    /// The sum of the least delays of both directions: the least round-trip time between the captures.
    pub round_trip_ns: u64,
    /// Segments that were compared.
    pub segments: u64,
    /// Connections that both captures have.
    pub connections: u64,
}

impl Transit {
    /// The segments of one direction.
    #[must_use]
    pub const fn passage(&self, from: End) -> &Passage {
        match from {
            End::Client => &self.client_to_server,
            End::Server => &self.server_to_client,
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}
