//! How much the kernel side could not deliver. The kernel counts it where it happens.

use std::{fs::File, os::unix::fs::FileExt as _};

use anyhow::{Context as _, Result};
use aya::maps::{MapData, PerCpuArray};
use tracer_ebpf::record::{LOST_RECORDS, LOST_SOCKETS, MADE_UP, OVERFLOWED};

/// Totals since the programs were attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Records that neither ring buffer had room for.
    pub ring: u64,
    /// Sockets that the map of traced sockets had no room for.
    pub sockets: u64,
    /// Runs of a program that the kernel skipped, because the program was interrupted on the same
    /// CPU by another event of its own kind (`recursion_misses`, Linux 5.12), and that no second program made
    /// up for.
    pub recursion: u64,
}

/// Reads the counters. It does so often, so that a loss is known before the timeline of a connection
/// that it touches is printed.
pub(super) struct Counters {
    lost: PerCpuArray<MapData, u64>,
    emitted: PerCpuArray<MapData, u64>,
    /// `/proc/self/fdinfo` of each program that the kernel may skip. Kept open and read again from
    /// the start, which takes a quarter of the time of opening it.
    programs: Vec<File>,
}

impl Counters {
    /// `programs` are paths in `/proc/self/fdinfo`.
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

    /// How many records were made with an audit, those without room in the ring included.
    pub(super) fn emitted(&self) -> Result<u64> {
        Ok(sum(&self.emitted, 0)? + sum(&self.lost, LOST_RECORDS)?)
    }

    /// Whether a record was ever too much for the first ring buffer.
    pub(super) fn has_overflowed(&self) -> Result<bool> {
        Ok(sum(&self.lost, OVERFLOWED)? > 0)
    }

    pub(super) fn read(&self) -> Result<Lost> {
        let skipped = self.programs.iter().map(skipped).sum::<Result<u64>>()?;
        // Read after that: of an event that happens meanwhile, nothing is lost.
        let made_up = sum(&self.lost, MADE_UP)?;
        Ok(Lost {
            ring: sum(&self.lost, LOST_RECORDS)?,
            sockets: sum(&self.lost, LOST_SOCKETS)?,
            recursion: skipped.saturating_sub(made_up),
        })
    }
}

/// Over all CPUs.
fn sum(counts: &PerCpuArray<MapData, u64>, index: u32) -> Result<u64> {
    let per_cpu = counts
        .get(&index, 0)
        .context("reading the kernel's count of records")?;
    Ok(per_cpu.iter().sum())
}

/// How many runs of a program the kernel skipped.
fn skipped(program: &File) -> Result<u64> {
    // The kernel writes some 200 bytes, in one piece.
    let mut text = [0; 1024];
    let length = program
        .read_at(&mut text, 0)
        .context("reading the fdinfo of a program")?;
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
