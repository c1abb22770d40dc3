//! The filter as the loader and the programs agree on it: a bit per kind of condition that is set.
//!
//! Conditions of one kind are alternatives; where several kinds are set, one of each must match. A
//! socket named by its cookie is traced in any case. No bit set: every connection.

use crate::{head::LineEnds, record::Passed};

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

/// What the iterator `tracer_tasks` writes of each process.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessIds {
    /// Its id in the PID namespace of the tracer; 0 if it has none there.
    pub shown: u32,
    /// Its id in the initial PID namespace, which the filter takes.
    pub initial: u32,
}

/// Key of the map `LISTENERS`: where a traced process listens. The value counts its sockets.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listener {
    /// Inode number of the network namespace.
    pub netns: u32,
    pub port: u32,
}

/// What the programs remember about a socket that passed the filter: the value of the socket storage
/// `SOCKETS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The process (thread group) that acted on the socket last; 0 before the first.
    pub holder: u32,
    /// The direction of the last payload, and [`NEITHER`] before the first.
    pub last_payload: u32,
    /// What is captured of the present burst, by direction.
    pub bursts: [Burst; 2],
    /// Non-zero once a segment without SYN has left. The client's first is the third ACK.
    pub opened: u32,
    /// How many more segments belong to the termination; counts down from the first FIN.
    pub closing_left: u32,
    /// Non-zero once a change of state was recorded: the socket has, or had, a connection.
    pub recorded: u32,
    /// Zero.
    pub padding: u32,
    /// For an MPTCP socket: the cookie of its first traced subflow. Else 0.
    pub first_subflow: u64,
    /// By direction.
    pub passed: [Passed; 2],
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

/// `Remembered::last_payload` before any payload.
pub const NEITHER: u32 = 2;

impl Remembered {
    pub const NEW: Self = Self {
        holder: 0,
        last_payload: NEITHER,
        bursts: [Burst::NONE; 2],
        opened: 0,
        closing_left: 0,
        recorded: 0,
        padding: 0,
        first_subflow: 0,
        passed: [Passed::NONE; 2],
    };
}

impl Burst {
    pub const NONE: Self = Self {
        line_ends: LineEnds::NONE,
        before_bytes: 0,
        left: 0,
        head_left: 0,
        is_first: 0,
        headers: 0,
        preamble: 0,
        captured: 0,
        piece: 0,
        padding: 0,
    };
}

impl Passed {
    pub const NONE: Self = Self {
        bytes: 0,
        last_ns: 0,
    };
}
