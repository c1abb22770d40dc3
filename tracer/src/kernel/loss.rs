//! What the kernel side could not deliver, counted where it happened.

use anyhow::{Context as _, Result};
use aya::maps::{MapData, PerCpuArray};
use tracer_ebpf::record::{KINDS, UNTRACKED};

/// Totals since the programs were attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Records that found no room in the ring buffer.
    pub ring: u64,
    /// Sockets that the map of traced sockets had no room for.
    pub sockets: u64,
    /// Runs of a program that the kernel skipped, because the program was interrupted on the same
    /// CPU by another event of its own kind (`recursion_misses`, Linux 5.12).
    pub recursion: u64,
}

/// Reads the counters.
pub(super) struct Counters {
    ring: PerCpuArray<MapData, u64>,
    emitted: PerCpuArray<MapData, u64>,
    /// `/proc/self/fdinfo` of each attached program.
    programs: Vec<String>,
}

impl Counters {
    pub(super) fn new(
        ring: PerCpuArray<MapData, u64>,
        emitted: PerCpuArray<MapData, u64>,
        programs: Vec<String>,
    ) -> Self {
        Self {
            ring,
            emitted,
            programs,
        }
    }

    /// Records that were made, those that found no room too; 0 where they are not counted.
    pub(super) fn emitted(&self) -> Result<u64> {
        (0..KINDS).map(|kind| sum(&self.emitted, kind)).sum()
    }

    pub(super) fn read(&self) -> Result<Lost> {
        let mut lost = Lost::default();
        for kind in 0..KINDS {
            let count = sum(&self.ring, kind)?;
            if kind == u32::from(UNTRACKED) {
                lost.sockets += count;
            } else {
                lost.ring += count;
            }
        }
        for path in &self.programs {
            let text = std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
            lost.recursion += recursion_misses(&text);
        }
        Ok(lost)
    }
}

/// All processors' counts.
fn sum(counts: &PerCpuArray<MapData, u64>, kind: u32) -> Result<u64> {
    let per_cpu = counts
        .get(&kind, 0)
        .context("reading the kernel's count of records")?;
    Ok(per_cpu.iter().sum())
}

fn recursion_misses(fdinfo: &str) -> u64 {
    fdinfo
        .lines()
        .find_map(|line| line.strip_prefix("recursion_misses:"))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::recursion_misses;

    #[test]
    fn misses_from_fdinfo() {
        let fdinfo = "pos:\t0\nprog_type:\t26\nrun_cnt:\t0\nrecursion_misses:\t12\n";
        assert_eq!(recursion_misses(fdinfo), 12);
        assert_eq!(recursion_misses("pos:\t0\n"), 0);
    }
}
