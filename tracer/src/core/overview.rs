//! The connections under way at one moment: the few that a view has room for, by its order and its filter, and how many
//! there are. Unlike an [`Output`](crate::core::output::Output), it is made when a view asks for it.

mod order;
mod rates;

use upload_protocol::{
    ConnectionId, End, State,
    timeline::{Endpoint, Timeline},
};

pub use self::{
    order::{OrderBy, Score},
    rates::{Counted, Rates},
};
use crate::core::connection_table::Key;

/// What a view asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// How many rows it has room for.
    pub rows: usize,
    pub order: OrderBy,
    /// Whether the smallest comes first.
    pub is_reversed: bool,
    /// Only rows that have this text somewhere, whatever the case of its letters; all where it is empty.
    pub filter: String,
    /// The connection whose timeline is shown.
    pub opened: Option<(Key, ConnectionId)>,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// CLOCK_MONOTONIC, in nanoseconds.
    pub at_ns: u64,
    /// The first rows, in order.
    pub rows: Vec<Row>,
    /// How many connections are under way.
    pub open: usize,
    /// How many of them carry an upload.
    pub uploads: usize,
    /// How many of them the filter leaves; the rows are the first of these.
    pub chosen: usize,
    /// The timeline so far of the connection that was asked for; `None` once it has ended.
    pub opened: Option<Box<Timeline>>,
    pub totals: Totals,
}

/// What a run had so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections that have ended.
    pub connections: u64,
    /// Uploads that have ended.
    pub uploads: u64,
    /// Records that were lost.
    pub lost: u64,
    /// Whether there may have been fewer.
    pub lost_at_most: bool,
}

/// A connection under way. What is not known yet, or not any more, is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub key: Key,
    pub connection: ConnectionId,
    pub client: Endpoint,
    pub server: Endpoint,
    /// The client's last state, or the server's where the client is on another machine.
    pub state: Option<State>,
    /// Whether an upload is under way.
    pub is_upload: bool,
    /// What it carries: a request, or the host that the client asked for (SNI).
    pub what: Option<String>,
    /// How long the body of the request under way will be, in bytes.
    pub announced: Option<u64>,
    /// Since its first record, in nanoseconds.
    pub age_ns: u64,
    /// Whether it is older than that.
    pub began_before: bool,
    /// Payload that the client has sent and the server has acknowledged, or received, in bytes.
    pub sent: Option<u64>,
    /// The same in the other direction.
    pub received: Option<u64>,
    /// Payload in both directions, in bytes per second: of the last second or so.
    pub rate: Option<u64>,
    /// The smoothed round-trip time, in nanoseconds.
    pub rtt_ns: Option<u64>,
    /// Segments sent again by the ends on this machine.
    pub retransmits: u64,
    /// What limits it now.
    pub limit: Option<Limit>,
}

/// What limited the end that sends for most of the last second, by its kernel's measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The end whose kernel measured it.
    pub by: End,
    pub kind: LimitKind,
    /// Its part of the time in hundredths: at least 50.
    pub hundredths: u8,
}

/// A limit, by the number that records have of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// One of [`sender`](tracer_ebpf::record::sender).
    Sender(usize),
    /// One of [`receiver`](tracer_ebpf::record::receiver): what the other end sees of it.
    Receiver(usize),
}
