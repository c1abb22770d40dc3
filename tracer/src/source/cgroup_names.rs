//! Looks up a cgroup's name when a record first has its id: later the cgroup may be gone.

use std::mem::offset_of;

use foldhash::HashSet;
use tracer_ebpf::record::{self, SocketEvent, StateChange, Task};
use tracing::debug;

use crate::{
    core::input::{CgroupName, Input},
    kernel::cgroups::{CgroupNames, CgroupRoot},
};

pub(super) struct CgroupLookup {
    /// `None` without a cgroup v2 hierarchy.
    names: Option<CgroupNames>,
    looked_up: HashSet<u64>,
}

impl CgroupLookup {
    pub(super) fn new() -> Self {
        let root = CgroupRoot::find().ok().flatten();
        let names = root.and_then(|root| {
            root.names()
                .inspect_err(|error| debug!(%error, "no names of cgroups"))
                .ok()
        });
        Self {
            names,
            looked_up: HashSet::default(),
        }
    }

    /// The name of the cgroup in a kernel record, if the cgroup is new.
    pub(super) fn of_record(&mut self, record: &[u8]) -> Option<Input<'static>> {
        self.of(cgroup(record)?)
    }

    /// The name of a cgroup, if it is new.
    pub(super) fn of(&mut self, id: u64) -> Option<Input<'static>> {
        if id == 0 || !self.looked_up.insert(id) {
            return None;
        }
        if self.looked_up.len() > CgroupName::MAX {
            self.looked_up.clear();
            self.looked_up.insert(id);
        }
        let names = self.names.as_mut()?;
        if names.path(id).is_none()
            && let Err(error) = names.refresh()
        {
            debug!(%error, "no names of cgroups");
        }
        let path = names.path(id)?.to_owned();
        Some(Input::Cgroup(CgroupName { id, path }))
    }
}

fn cgroup(record: &[u8]) -> Option<u64> {
    let kind = u16::from_ne_bytes(*record.first_chunk()?);
    let task = match kind {
        record::STATE_CHANGE => offset_of!(StateChange, task),
        record::READ | record::SEND | record::RELEASE => offset_of!(SocketEvent, task),
        _ => return None,
    };
    let bytes = record.get(task + offset_of!(Task, cgroup)..)?;
    bytes.first_chunk().copied().map(u64::from_ne_bytes)
}
