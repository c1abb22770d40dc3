//! Facts about the machine: the distance between its clocks, and the names of cgroups.

use std::sync::Arc;

use foldhash::HashMap;
use upload_protocol::Moment;

use crate::core::input::{CgroupName, Tick};

#[derive(Clone, Debug, Default)]
pub struct Host {
    pub clock: Clock,
    cgroups: HashMap<u64, Arc<str>>,
    /// The previous generation. A cgroup still in use has been named again since.
    older_cgroups: HashMap<u64, Arc<str>>,
}

/// The distance between the monotonic and the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    offset_ns: i128,
}

impl Clock {
    /// The distance at a tick.
    #[must_use]
    pub fn at(tick: &Tick) -> Self {
        Self {
            offset_ns: i128::from(tick.realtime_ns) - i128::from(tick.mono_ns),
        }
    }

    /// A monotonic stamp on both clocks.
    #[must_use]
    pub fn moment(self, mono_ns: u64) -> Moment {
        Moment {
            mono_ns,
            unix_ns: i128::from(mono_ns) + self.offset_ns,
        }
    }
}

impl Host {
    /// Records a cgroup's name.
    pub fn name_cgroup(&mut self, name: CgroupName) {
        if self.cgroups.len() >= CgroupName::MAX {
            self.older_cgroups = std::mem::take(&mut self.cgroups);
        }
        self.cgroups.insert(name.id, name.path.into());
    }

    /// A cgroup's path below the root, if known.
    #[must_use]
    pub fn cgroup(&self, id: u64) -> Option<&Arc<str>> {
        let known = self.cgroups.get(&id);
        known.or_else(|| self.older_cgroups.get(&id))
    }
}

#[cfg(test)]
mod tests {
    use super::Host;
    use crate::core::input::CgroupName;

    #[test]
    fn names_of_cgroups_are_bounded() {
        let most = u64::try_from(CgroupName::MAX).unwrap();
        let mut host = Host::default();
        for id in 0..3 * most {
            let path = format!("/{id}");
            host.name_cgroup(CgroupName { id, path });
        }
        assert_eq!(host.cgroup(0), None);
        assert_eq!(host.cgroup(most).map(|path| &**path), Some("/16384"));
        assert_eq!(
            host.cgroup(3 * most - 1).map(|path| &**path),
            Some("/49151")
        );
        assert!(host.cgroups.len() + host.older_cgroups.len() <= 2 * CgroupName::MAX);
    }
}
