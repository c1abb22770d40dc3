//! The cost of the eBPF programs that a process holds, as the kernel counts it. Other tracers on
//! the machine do not matter.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::fd::OwnedFd,
    time::Duration,
};

use anyhow::{Context as _, Result};
use aya::{
    programs::loaded_programs,
    sys::{Stats, enable_stats},
};

/// The kernel counts runs and their time, as with `kernel.bpf_stats_enabled`, until this is dropped
/// or the process is gone.
pub(crate) struct Counting(
    #[expect(dead_code, reason = "open, it keeps the kernel counting")] OwnedFd,
);

/// One program's runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Its name, as the kernel keeps it: 15 bytes at most.
    pub(crate) name: String,
    /// How often it ran.
    pub(crate) runs: u64,
    /// How long that took in all.
    pub(crate) time: Duration,
}

impl Counting {
    /// Begins.
    pub(crate) fn start() -> Result<Self> {
        enable_stats(Stats::RunTime)
            .map(Self)
            .context("the kernel does not count what eBPF programs cost")
    }
}

/// What the programs that process `pid` holds cost so far, by their ids.
pub(crate) fn costs(pid: u32) -> Result<BTreeMap<u32, Cost>> {
    let held = held_by(pid)?;
    Ok(loaded_programs()
        // Others' programs come and go meanwhile.
        .filter_map(Result::ok)
        .filter(|program| held.contains(&program.id()))
        .map(|program| {
            let name = program.name_as_str().unwrap_or_default().to_owned();
            let cost = Cost {
                name,
                runs: program.run_count(),
                time: program.run_time(),
            };
            (program.id(), cost)
        })
        .collect())
}

/// The cost of each program that ran in between.
pub(crate) fn between(before: &BTreeMap<u32, Cost>, after: BTreeMap<u32, Cost>) -> Vec<Cost> {
    after
        .into_iter()
        .filter_map(|(id, after)| {
            let before = before.get(&id).cloned().unwrap_or_default();
            let runs = after.runs.saturating_sub(before.runs);
            (runs > 0).then(|| Cost {
                runs,
                time: after.time.saturating_sub(before.time),
                name: after.name,
            })
        })
        .collect()
}

impl Cost {
    /// The sum of these.
    pub(crate) fn of_all(costs: &[Self]) -> Self {
        Self {
            name: "all programs".to_owned(),
            runs: costs.iter().map(|cost| cost.runs).sum(),
            time: costs.iter().map(|cost| cost.time).sum(),
        }
    }

    /// Without what the kernel takes for counting, in nanoseconds for each run. It is a mean: nothing is left of a run
    /// that took less.
    pub(crate) fn without(self, counting_ns: f64) -> Self {
        let counting = Duration::from_secs_f64(counting_ns * self.runs as f64 / 1e9);
        Self {
            time: self.time.saturating_sub(counting),
            ..self
        }
    }

    /// The mean of a run, in nanoseconds.
    pub(crate) fn ns_per_run(&self) -> f64 {
        self.time.as_secs_f64() * 1e9 / self.runs as f64
    }
}

/// The ids of the programs that it has open, themselves or as links.
fn held_by(pid: u32) -> Result<BTreeSet<u32>> {
    let directory = format!("/proc/{pid}/fdinfo");
    let mut held = BTreeSet::new();
    for file in fs::read_dir(&directory).with_context(|| format!("{directory} cannot be read"))? {
        // A descriptor may have been closed meanwhile.
        held.extend(
            fs::read_to_string(file?.path())
                .ok()
                .and_then(|info| program_id(&info)),
        );
    }
    Ok(held)
}

fn program_id(fdinfo: &str) -> Option<u32> {
    let id = fdinfo
        .lines()
        .find_map(|line| line.strip_prefix("prog_id:"))?;
    id.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(runs: u64, ns: u64) -> Cost {
        Cost {
            name: "one".into(),
            runs,
            time: Duration::from_nanos(ns),
        }
    }

    #[test]
    fn programs_and_links_name_the_program() {
        let program = "pos:\t0\nflags:\t02000002\nprog_type:\t26\nprog_id:\t43084\nrun_cnt:\t0\n";
        assert_eq!(program_id(program), Some(43_084));
        let link = "pos:\t0\nlink_type:\tperf\nlink_id:\t7\nprog_tag:\t0102\nprog_id:\t9\n";
        assert_eq!(program_id(link), Some(9));
        assert_eq!(program_id("pos:\t0\nmap_type:\t4\n"), None);
    }

    #[test]
    fn only_what_ran_in_between_counts() {
        let before = BTreeMap::from([(1, cost(10, 1000)), (2, cost(5, 500))]);
        let after = BTreeMap::from([(1, cost(14, 3000)), (2, cost(5, 500)), (3, cost(1, 7))]);
        let found = between(&before, after);
        assert_eq!(found, [cost(4, 2000), cost(1, 7)]);
        assert!((found[0].ns_per_run() - 500.0).abs() < 1e-9);
    }

    #[test]
    fn what_counting_takes_is_taken_off_each_run() {
        let counting = Cost::of_all(&[cost(10, 500), cost(30, 2100)]).ns_per_run();
        assert!((counting - 65.0).abs() < 1e-9);
        assert_eq!(cost(4, 2000).without(counting), cost(4, 1740));
        assert_eq!(cost(4, 200).without(counting), cost(4, 0));
    }
}
