//! The owner of a socket, and how it is known.

use std::sync::Arc;

use tracer_ebpf::record;
use upload_protocol::OwnerFrom;

/// The process that a socket belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub task: Arc<Task>,
    pub from: OwnerFrom,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// 0 for a process outside the tracer's PID namespace.
    pub pid: u32,
    pub uid: u32,
    pub comm: Arc<str>,
    /// Id of its cgroup (v2); 0 if unknown.
    pub cgroup: u64,
}

impl Task {
    /// Its id, if it has one in the tracer's PID namespace.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        Some(self.pid).filter(|pid| *pid != 0)
    }

    /// Whether two records are of one process.
    #[must_use]
    pub fn is_same_process(&self, other: &Self) -> bool {
        self.pid == other.pid && (self.pid != 0 || self == other)
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
