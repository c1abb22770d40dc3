//! What is known of the machine and is no connection's own: its clocks, and the names of cgroups.

use foldhash::HashMap;

use crate::{input::CgroupName, moment::Clock};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// The distance between its clocks.
    pub clock: Clock,
    cgroups: HashMap<u64, String>,
}

impl Machine {
    /// Takes in what a cgroup is called.
    pub fn note_cgroup(&mut self, name: CgroupName) {
        self.cgroups.insert(name.id, name.path);
    }

    /// A cgroup's path below the root, where it is known.
    #[must_use]
    pub fn cgroup(&self, id: u64) -> Option<&str> {
        self.cgroups.get(&id).map(String::as_str)
    }
}
