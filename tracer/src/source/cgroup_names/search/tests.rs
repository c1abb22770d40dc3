//! What is found without a walk, and how often the walk runs.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    process,
    time::{Duration, Instant},
};

use super::{Answer, Search, Wanted};
use crate::kernel::cgroups::{CgroupNames, CgroupRoot};

/// No cgroup has this id.
const NONE: u64 = u64::MAX;

fn search(names: CgroupNames) -> Search {
    Search {
        names,
        missing: foldhash::HashSet::default(),
        next_walk: Instant::now(),
    }
}

#[test]
fn a_process_leads_to_its_cgroup_without_a_walk() {
    let root = CgroupRoot::find().unwrap().unwrap();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::"));
    let own = own.unwrap();
    let directory = root.path().join(own.trim_start_matches('/'));
    let id = fs::metadata(directory).unwrap().ino();
    let mut search = search(root.into_names());
    search.next_walk += Duration::from_hours(1);
    let pid = process::id();
    match search.find(&Wanted { id, pid }) {
        Answer::Found(name) => assert_eq!(name.path, own),
        _ => panic!("not found"),
    }
    // A process that has moved on, or whose id is another's by now.
    assert!(matches!(
        search.find(&Wanted { id: NONE, pid }),
        Answer::NotYet
    ));
}

/// New cgroups do not make it walk again and again: what a walk did not find is not looked for again, and
/// walks are far apart.
#[test]
fn walks_are_few() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..500 {
        fs::create_dir(directory.path().join(number.to_string())).unwrap();
    }
    let id = fs::metadata(directory.path().join("7")).unwrap().ino();
    let mut search = search(CgroupNames::new(directory.path().to_owned()).unwrap());
    assert!(matches!(
        search.find(&Wanted { id: NONE, pid: 0 }),
        Answer::NotYet
    ));
    assert!(search.missing.is_empty());
    // The next walk is not due yet.
    assert!(!search.until_next_walk().is_zero());
    assert!(matches!(
        search.find(&Wanted { id, pid: 0 }),
        Answer::NotYet
    ));
    let found = search.walk();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id, found[0].path.as_str()), (id, "/7"));
}
