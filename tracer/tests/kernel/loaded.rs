//! What of the tracer is loaded into the kernel.

use std::{collections::HashSet, fs};

use aya::{
    maps::loaded_maps,
    programs::{ProgramInfo, loaded_links, loaded_programs},
};

use crate::lab::wait_until;

/// What the kernel holds for a process, by the numbers that it gives once.
pub(crate) struct Loaded {
    programs: HashSet<u32>,
    maps: HashSet<u32>,
    links: HashSet<u32>,
}

impl Loaded {
    pub(crate) fn by(pid: u32) -> Self {
        let mut texts = Vec::new();
        for descriptor in fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap() {
            // It may be closed meanwhile.
            texts.extend(fs::read_to_string(descriptor.unwrap().path()));
        }
        let ids = |name: &str| {
            let values = texts.iter().flat_map(|text| text.lines());
            let values = values.filter_map(|line| line.strip_prefix(name));
            values.map(|id| id.trim().parse().unwrap()).collect()
        };
        let loaded = Self {
            programs: ids("prog_id:"),
            maps: ids("map_id:"),
            links: ids("link_id:"),
        };
        // A state, both ways of segments, and who lets go.
        assert!(loaded.programs.len() >= 4, "{:?}", loaded.programs);
        assert!(loaded.maps.len() >= 4, "{:?}", loaded.maps);
        assert!(loaded.links.len() >= 4, "{:?}", loaded.links);
        assert!(!loaded.is_gone());
        loaded
    }

    /// The programs by name.
    pub(crate) fn program_names(&self) -> Vec<String> {
        self.programs()
            .filter_map(|program| program.name_as_str().map(str::to_owned))
            .collect()
    }

    /// The most instructions that the verifier followed for a program, of the million that it follows at most; `None`
    /// before Linux 5.16, which does not count them.
    pub(crate) fn most_verified(&self) -> Option<u32> {
        self.programs()
            .filter_map(|program| program.verified_instruction_count())
            .max()
    }

    fn programs(&self) -> impl Iterator<Item = ProgramInfo> {
        let programs = loaded_programs().filter_map(Result::ok);
        programs.filter(|program| self.programs.contains(&program.id()))
    }

    fn is_gone(&self) -> bool {
        let program = |id| self.programs.contains(&id);
        let map = |id| self.maps.contains(&id);
        let link = |id| self.links.contains(&id);
        !loaded_programs().any(|one| one.is_ok_and(|one| program(one.id())))
            && !loaded_maps().any(|one| one.is_ok_and(|one| map(one.id())))
            && !loaded_links().any(|one| one.is_ok_and(|one| link(one.id())))
    }

    /// The kernel frees in its own time what nobody holds any more.
    pub(crate) fn assert_gone(&self) {
        wait_until(|| self.is_gone());
    }
}
