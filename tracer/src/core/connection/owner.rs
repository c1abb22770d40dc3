//! Whose a socket is, and how that is known.

use std::sync::Arc;

use serde::Serialize;
use tracer_ebpf::record;

use crate::core::event::Holding;

/// The process that a socket belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The process.
    pub task: Arc<Task>,
    /// What it did when it was seen.
    pub learned: Learned,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Process id.
    pub pid: u32,
    /// User id.
    pub uid: u32,
    /// The process's name.
    pub comm: Arc<str>,
    /// Its cgroup's id in the v2 hierarchy; 0 where unknown.
    pub cgroup: u64,
}

/// How an owner was learned, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Learned {
    /// It called `connect`.
    Connect,
    /// The upload server said that the socket with this cookie is its own.
    Cookie,
    /// It read from the socket.
    Read,
    /// It sent on the socket.
    Send,
    /// It held the socket when `/proc` was read.
    Proc,
    /// It closed the socket.
    Close,
}

impl Learned {
    /// How an owner is learned from what it did.
    #[must_use]
    pub const fn by(holding: Holding) -> Self {
        match holding {
            Holding::Read => Self::Read,
            Holding::Send => Self::Send,
            Holding::Release => Self::Close,
        }
    }
}

impl From<&record::Task> for Task {
    fn from(record: &record::Task) -> Self {
        Self {
            pid: record.pid,
            uid: record.uid,
            comm: String::from_utf8_lossy(name(record)).into(),
            cgroup: record.cgroup,
        }
    }
}

impl PartialEq<record::Task> for Task {
    fn eq(&self, record: &record::Task) -> bool {
        (self.pid, self.uid, self.cgroup) == (record.pid, record.uid, record.cgroup)
            && *self.comm == *String::from_utf8_lossy(name(record))
    }
}

/// A record's process name, without the NULs at its end.
fn name(record: &record::Task) -> &[u8] {
    let length = record.comm.iter().position(|byte| *byte == 0);
    &record.comm[..length.unwrap_or(record.comm.len())]
}
