//! What the kernel side could not deliver, counted where it happened.

use std::{fs::File, os::unix::fs::FileExt as _};

use anyhow::{Context as _, Result};
use aya::maps::{MapData, PerCpuArray};
use tracer_ebpf::record::{LOST_RECORDS, LOST_SOCKETS};

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

/// Reads the counters: often, so that each loss is known before a connection that it touches is told.
pub(super) struct Counters {
    lost: PerCpuArray<MapData, u64>,
    emitted: PerCpuArray<MapData, u64>,
    /// `/proc/self/fdinfo` of each program that the kernel may skip, open: read from its begin it
    /// tells anew, for a quarter of what opening it takes.
    programs: Vec<File>,
}

impl Counters {
    /// The counters of the maps, and of the programs with these paths in `/proc`.
    pub(super) fn open(
        lost: PerCpuArray<MapData, u64>,
        emitted: PerCpuArray<MapData, u64>,
        programs: impl Iterator<Item = String>,
    ) -> Result<Self> {
        let open = |path: String| File::open(&path).with_context(|| format!("opening {path}"));
        Ok(Self {
            lost,
            emitted,
            programs: programs.map(open).collect::<Result<_>>()?,
        })
    }

    /// Records that were made, those that found no room too; 0 where they are not counted.
    pub(super) fn emitted(&self) -> Result<u64> {
        sum(&self.emitted, 0)
    }

    pub(super) fn read(&self) -> Result<Lost> {
        Ok(Lost {
            ring: sum(&self.lost, LOST_RECORDS)?,
            sockets: sum(&self.lost, LOST_SOCKETS)?,
            recursion: self.programs.iter().map(skipped).sum::<Result<_>>()?,
        })
    }
}

/// All processors' counts.
fn sum(counts: &PerCpuArray<MapData, u64>, index: u32) -> Result<u64> {
    let per_cpu = counts
        .get(&index, 0)
        .context("reading the kernel's count of records")?;
    Ok(per_cpu.iter().sum())
}

/// A program's runs that the kernel skipped.
fn skipped(program: &File) -> Result<u64> {
    // The kernel writes some 200 bytes, and all at once.
    let mut text = [0; 1024];
    let length = program
        .read_at(&mut text, 0)
        .context("reading what the kernel says of a program")?;
    Ok(recursion_misses(text.get(..length).unwrap_or(&text)))
}

fn recursion_misses(fdinfo: &[u8]) -> u64 {
    fdinfo
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"recursion_misses:"))
        .and_then(|value| str::from_utf8(value.trim_ascii()).ok()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::recursion_misses;

    #[test]
    fn misses_from_fdinfo() {
        let fdinfo = b"pos:\t0\nprog_type:\t26\nrun_cnt:\t0\nrecursion_misses:\t12\n";
        assert_eq!(recursion_misses(fdinfo), 12);
        assert_eq!(recursion_misses(b"pos:\t0\n"), 0);
    }
}
