//! The filter as the loader and the programs agree on it: a bit per kind of condition that is set.
//!
//! Conditions of one kind are alternatives; where several kinds are set, one of each must match. A
//! socket named by its cookie is traced in any case. No bit set: every connection.

use crate::{
    head::LineEnds,
    record::{Gauges, LimitTimes, Passed},
};

/// Either port of the connection must be in the map `PORTS`.
pub const BY_PORT: u32 = 1 << 0;
/// The process that connects, or that listens, must be in the map `PIDS`.
pub const BY_PID: u32 = 1 << 1;
/// The socket's cookie must be in the map `NAMED` before its first record.
pub const BY_COOKIE: u32 = 1 << 2;
/// The name of the process that connects, or that listens, must be in the map `COMMS`.
pub const BY_COMM: u32 = 1 << 3;
/// The cgroup of the process that connects, or that listens, or one of its ancestors, must be in the
/// map `CGROUPS`.
pub const BY_CGROUP: u32 = 1 << 4;
/// The conditions on a process.
pub const BY_PROCESS: u32 = BY_PID | BY_COMM | BY_CGROUP;

/// Index into the map `FILLED`: whether the map `NAMED` has entries.
pub const HAS_NAMED: u32 = 0;
/// Index into the map `FILLED`: whether the maps `LISTENERS` or `PEERS` have entries.
pub const HAS_EXPECTED: u32 = 1;

/// Index into the map `FILLED`: whether the map `FOLLOWED` has entries.
pub const HAS_FOLLOWED: u32 = 2;
/// How many there are.
pub const FILLABLE: u32 = 3;

/// Value of the map `PIDS`: this process alone.
pub const ALONE: u8 = 1;
/// Value of the map `PIDS`: this process and, from now on, its descendants.
pub const FAMILY: u8 = 2;

/// Index into the map `REFUSED`: a process that the filter names connected, from and to other ports.
pub const REFUSED_CONNECT: u32 = 0;
/// Index into the map `REFUSED`: a connection from and to other ports was accepted where a process
/// listens that the filter names.
pub const REFUSED_ACCEPT: u32 = 1;
/// Index into the map `REFUSED`: a child connected whose parent the filter names without its children.
pub const REFUSED_CHILD: u32 = 2;
/// Index into the map `REFUSED`: any other process connected.
pub const REFUSED_OTHER: u32 = 3;
/// How many there are.
pub const REFUSALS: u32 = 4;

/// [`Remembered::opening`]: by `connect`.
pub const CONNECTED: u8 = 1;
/// [`Remembered::opening`]: by a SYN that arrived.
pub const ACCEPTED: u8 = 2;

/// [`Remembered::turn`]: payload left, the first since payload arrived, and it is not settled what caused it.
pub const TURN_BEGAN: u8 = 1;
/// [`Remembered::turn`]: it is settled what causes the payload that leaves next.
pub const TURN_SETTLED: u8 = 2;

/// What the iterator `tracer_tasks` writes of each process.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessIds {
    /// Its id in the PID namespace of the tracer; 0 if it has none there.
    pub shown: u32,
    /// Its id in the initial PID namespace, which the filter takes.
    pub initial: u32,
}

/// Key of the maps `LISTENERS` (where traced processes listen; the value counts their sockets) and `LISTENING` (where
/// any process does).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listener {
    /// Inode number of the network namespace.
    pub netns: u32,
    pub port: u32,
}

/// What the programs remember about a socket that passed the filter: the value of the socket storage
/// `SOCKETS`. Zero is nothing yet: the kernel makes it so.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The process (thread group) that acted on the socket last; 0 before the first.
    pub holder: u32,
    /// One more than the direction of the last payload; 0 before the first.
    pub last_payload: u32,
    /// What is captured of the present burst, by direction.
    pub bursts: [Burst; 2],
    /// Non-zero once a segment without SYN has left. The client's first is the third ACK.
    pub opened: u32,
    /// How many more segments belong to the termination; counts down from the first FIN.
    pub closing_left: u32,
    /// Non-zero once a change of state was recorded: the socket has, or had, a connection.
    pub recorded: u32,
    /// How it was opened: [`CONNECTED`] or [`ACCEPTED`]; 0 where that was not seen.
    pub opening: u8,
    /// Whether the thread that sends next is the first since payload arrived: [`TURN_BEGAN`] or [`TURN_SETTLED`].
    pub turn: u8,
    /// 1 where it is traced because a followed process accepts it, and not by its ports.
    pub followed: u8,
    /// Zero.
    pub padding: u8,
    /// For an MPTCP socket: the cookie of its first traced subflow. Else 0.
    pub first_subflow: u64,
    /// By direction.
    pub passed: [Passed; 2],
    /// What held its sender and its receiver back.
    pub limits: Limits,
    /// When it was sampled.
    pub sampling: Sampling,
}

/// When a socket was sampled ([`Sample`](crate::record::Sample)).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// The first time, or the first since a silence, CLOCK_MONOTONIC.
    pub first_ns: u64,
    /// The latest time, likewise; 0 for never.
    pub latest_ns: u64,
}

/// What held a socket back so far, and the readings that the next evaluation needs. What each segment needs comes
/// first, in one line of the cache; what a reading process writes comes last, in another.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The latest evaluation of the sender, CLOCK_MONOTONIC; 0 before the first.
    pub sender_ns: u64,
    /// The latest evaluation of the receiver, likewise.
    pub receiver_ns: u64,
    /// The latest segment that arrived, likewise.
    pub arrived_ns: u64,
    /// `write_seq` at the latest segment.
    pub write_seq: u32,
    /// How many bytes of payload the latest segment with payload had that arrived.
    pub arrived_bytes: u32,
    /// Where the window ended when a segment left last; 0 before any.
    pub window_end: u32,
    /// 1 if what arrived used the window up, 2 once the window was opened again.
    pub window_used: u8,
    /// 1 if payload arrived since a segment left.
    pub has_arrived: u8,
    /// 1 if the send buffer was full at the latest evaluation.
    pub buffer_full: u8,
    /// 1 if a segment was in flight at the latest evaluation.
    pub in_flight: u8,
    /// 1 if no process had accepted the socket at the latest evaluation.
    pub is_queued: u8,
    /// 1 if segments waited in queues of this machine when one arrived last.
    pub has_queue: u8,
    /// Zero.
    pub padding: [u8; 6],
    /// The first evaluation, CLOCK_MONOTONIC.
    pub first_ns: u64,
    /// The latest record, likewise.
    pub submitted_ns: u64,
    /// The arrival of the first segment whose timestamp was read, in milliseconds.
    pub first_arrived_ms: u64,
    /// The least difference of an arrival and the timestamp of its segment, in milliseconds modulo 2^32.
    pub least_delay_ms: u64,
    /// The peer's timestamp (TSval) of that first segment.
    pub first_tsval: u32,
    /// The least delay of a timed segment beyond the fastest, in milliseconds: in the present round trip …
    pub delay_ms: u32,
    /// … and in the one before.
    pub delay_before_ms: u32,
    /// When the present round trip began, in milliseconds modulo 2^32.
    pub round_ms: u32,
    /// What is submitted.
    pub times: LimitTimes,
    /// What is submitted of the stretch since the record before.
    pub gauges: Gauges,
    /// When a segment, or a process's first read, showed that the socket was accepted, where a segment before
    /// showed that it was not, CLOCK_MONOTONIC; else 0.
    pub accepted_ns: u64,
    /// When a process read from the socket last, likewise; 0 for never.
    pub read_ns: u64,
    /// How long the thread that sends ran on a CPU, from one time that it sent to the next.
    pub processor_ns: u64,
    /// How long it had run when it sent last.
    pub runtime_ns: u64,
    /// The thread that sent last; 0 before the first.
    pub thread: u32,
    /// Zero.
    pub padding_2: u32,
}

/// What is still captured of a burst: payload that one end sends before the other does.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// The line ends at the end of what was captured of the HTTP head that it begins with.
    pub line_ends: LineEnds,
    /// How much payload passed the socket before its present segment.
    pub before_bytes: u64,
    /// How much more payload is captured, whatever it is.
    pub left: u32,
    /// How much more of the head is; 0 where it begins with none, or that has ended. A head goes on in the
    /// next burst if that begins with none: the peer may send again what it sent before, in the middle of
    /// a head.
    pub head_left: u32,
    /// Not 0 if its present segment is its first.
    pub is_first: u32,
    /// Where the payload of that segment starts in the packet.
    pub headers: u32,
    /// How much of that payload precedes the head.
    pub preamble: u32,
    /// How much of it is captured.
    pub captured: u32,
    /// How much of that is in the present record.
    pub piece: u32,
    pub padding: u32,
}
