//! The filter as the loader and the programs agree on it: which kinds of condition are set.
//!
//! Conditions of one kind are alternatives, conditions of different kinds must all hold, and a
//! socket named by its cookie is traced whatever the others say. No bit set: every connection.

use crate::record::Passed;

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

/// Index into the map `FILLED`: whether there is something in the map `NAMED`.
pub const HAS_NAMED: u32 = 0;
/// Index into the map `FILLED`: whether there is something in the maps `LISTENERS` or `PEERS`.
pub const HAS_EXPECTED: u32 = 1;

/// Value of the map `PIDS`: this process alone.
pub const ALONE: u8 = 1;
/// Value of the map `PIDS`: this process and, from now on, its descendants.
pub const FAMILY: u8 = 2;

/// Key of the map `LISTENERS`: where a wanted process listens. The value counts its sockets.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listener {
    /// Inode number of the network namespace.
    pub netns: u32,
    /// The port.
    pub port: u32,
}

/// What the programs remember of a socket that passed the filter: the value of the socket storage `SOCKETS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The process (thread group) that acted on the socket last; 0 when none was seen to.
    pub holder: u32,
    /// Which direction payload went last, and [`NEITHER`] before the first.
    pub last_payload: u32,
    /// How much more payload of the present burst is worth a look, by direction.
    pub head_left: [u32; 2],
    /// Non-zero once a segment without SYN has left: the client's is the third ACK.
    pub opened: u32,
    /// How many more segments belong to the termination; counts down from the first FIN.
    pub closing_left: u32,
    /// What passed, by direction.
    pub passed: [Passed; 2],
}

/// `Remembered::last_payload` before any payload.
pub const NEITHER: u32 = 2;

impl Remembered {
    /// Of a socket of which nothing is known.
    pub const NEW: Self = Self {
        holder: 0,
        last_payload: NEITHER,
        head_left: [0; 2],
        opened: 0,
        closing_left: 0,
        passed: [Passed::NONE; 2],
    };
}

impl Passed {
    /// Nothing yet.
    pub const NONE: Self = Self {
        segments: 0,
        bytes: 0,
        last_ns: 0,
        largest_gap_ns: 0,
        gap_end_ns: 0,
    };
}
