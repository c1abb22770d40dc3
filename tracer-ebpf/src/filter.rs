//! The filter as the loader and the programs agree on it: which kinds of condition are set.
//!
//! Conditions of one kind are alternatives, conditions of different kinds must all hold, and a
//! socket named by its cookie is traced whatever the others say. No bit set: every connection.

/// Either port of the connection must be in the map `PORTS`.
pub const BY_PORT: u32 = 1 << 0;
/// The process that connects must be in the map `PIDS`, or the local port of a passively opened
/// socket in the map `LISTENERS`.
pub const BY_PID: u32 = 1 << 1;
/// The socket's cookie must be in the map `SOCKETS` before its first record.
pub const BY_COOKIE: u32 = 1 << 2;

/// What the programs remember of a socket that passed the filter: the value of the map `SOCKETS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The process (thread group) that read from the socket last; 0 when none has.
    pub reader: u32,
    /// Zero.
    pub padding: u32,
}
