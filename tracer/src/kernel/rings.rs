//! The two ring buffers: a small one that stays in the processors' caches, and a large one for what that has no room
//! for. Their records are read as one sequence.

use std::{
    mem,
    ops::ControlFlow,
    os::fd::{AsFd as _, BorrowedFd},
    thread,
};

use anyhow::{Context as _, Result};
use aya::maps::{Map, MapData, RingBuf};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
};
use tracer_ebpf::record::Header;
use zerocopy::FromBytes as _;

use super::{clock, loss::Counters};

/// Of the first ring buffer, in bytes: a quarter of a small second-level cache.
const MAX_FIRST: u32 = 256 << 10;
const PAGE: u32 = 4096;
/// The verifier of Linux 6.1 follows what comes after each of the two ways to a record, and gives up on the largest
/// programs; that of Linux 6.12 does not. Between them none was tried.
const TWO_RINGS_SINCE: (u32, u32) = (6, 12);
/// A program submits a record at once, unless interrupts keep it from that.
const MOST_TO_SUBMIT_NS: u64 = 5_000_000;

/// How large the ring buffers are, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) first: u32,
    /// `None`: the first is as large as was asked.
    pub(super) overflow: Option<u32>,
}

impl Sizes {
    /// For `asked` bytes, rounded up to a power of two of at least one page, on a kernel of this version, if that is known.
    pub(super) fn of(asked: u32, kernel: Option<(u32, u32)>) -> Self {
        let asked = asked.max(PAGE).next_power_of_two();
        if asked <= MAX_FIRST || kernel < Some(TWO_RINGS_SINCE) {
            return Self {
                first: asked,
                overflow: None,
            };
        }
        Self {
            first: MAX_FIRST,
            overflow: Some(asked),
        }
    }

    /// The kernel has no map without any room.
    pub(super) fn of_overflow(self) -> u32 {
        self.overflow.unwrap_or(PAGE)
    }
}

pub(super) struct Rings {
    first: RingBuf<MapData>,
    overflow: Overflow,
}

/// The second ring buffer.
enum Overflow {
    Unused,
    /// Mapped, it would be twice its size of the tracer's memory.
    NotMapped(Map),
    Mapped(Mapped),
}

struct Mapped {
    ring: RingBuf<MapData>,
    /// Its next record, if that was taken out and not passed on yet; else empty.
    next: Vec<u8>,
}

impl Rings {
    pub(super) fn open(first: Map, overflow: Map, sizes: Sizes) -> Result<Self> {
        Ok(Self {
            first: RingBuf::try_from(first).context("opening the ring buffer")?,
            overflow: match sizes.overflow {
                Some(_) => Overflow::NotMapped(overflow),
                None => Overflow::Unused,
            },
        })
    }

    /// The descriptor that becomes readable when the first is half full.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.first.as_fd()
    }

    /// Hands the waiting records to `each` until that breaks: those of either ring buffer in their order, and of both
    /// by their times.
    ///
    /// # Errors
    /// When the kernel's counters cannot be read, or it does not map or watch a ring buffer.
    pub(super) fn drain(
        &mut self,
        counters: &Counters,
        mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut known_ns = 0;
        while let Some(record) = self.first.next() {
            let mono_ns = time_of(&record);
            if mono_ns >= known_ns {
                // To the end, since this record is taken: it comes next.
                known_ns = self.overflow.pass_on(mono_ns, counters, &mut each)?;
            }
            if each(&record).is_break() {
                return Ok(());
            }
        }
        // The first may also have a record that is not submitted yet, and later ones behind it.
        let now_ns = clock::monotonic_ns();
        if self.overflow.has_next(counters)? && !has_data(&self.first)? {
            self.overflow.pass_on(now_ns, counters, &mut each)?;
        }
        Ok(())
    }
}

impl Overflow {
    /// Passes on what came into it before `before_ns`. Returns before when nothing more will be found in it.
    fn pass_on(
        &mut self,
        before_ns: u64,
        counters: &Counters,
        each: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<u64> {
        let now_ns = clock::monotonic_ns();
        if matches!(self, Self::NotMapped(_)) {
            if !counters.has_overflowed()? {
                return Ok(now_ns);
            }
            if let Self::NotMapped(map) = mem::replace(self, Self::Unused) {
                *self = Self::Mapped(Mapped::open(map)?);
            }
        }
        match self {
            Self::Mapped(mapped) => mapped.pass_on(before_ns, each),
            _ => Ok(u64::MAX),
        }
    }

    fn has_next(&mut self, counters: &Counters) -> Result<bool> {
        match self {
            Self::Unused => Ok(false),
            Self::NotMapped(_) => counters.has_overflowed(),
            Self::Mapped(mapped) => Ok(mapped.has_next()),
        }
    }
}

impl Mapped {
    fn open(map: Map) -> Result<Self> {
        Ok(Self {
            ring: RingBuf::try_from(map).context("opening the second ring buffer")?,
            next: Vec::new(),
        })
    }

    fn pass_on(
        &mut self,
        before_ns: u64,
        each: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<u64> {
        let began_ns = clock::monotonic_ns();
        loop {
            let now_ns = clock::monotonic_ns();
            if !self.has_next() {
                if now_ns - began_ns < MOST_TO_SUBMIT_NS && has_data(&self.ring)? {
                    thread::yield_now();
                    continue;
                }
                return Ok(now_ns);
            }
            let mono_ns = time_of(&self.next);
            if mono_ns >= before_ns {
                return Ok(mono_ns);
            }
            let _ = each(&self.next);
            self.next.clear();
        }
    }

    fn has_next(&mut self) -> bool {
        if self.next.is_empty()
            && let Some(record) = self.ring.next()
        {
            self.next.extend_from_slice(&record);
        }
        !self.next.is_empty()
    }
}

/// Whether a record is in it, submitted or not.
fn has_data(ring: &RingBuf<MapData>) -> Result<bool> {
    let mut polled = [PollFd::new(ring, PollFlags::IN)];
    // It does not wait, and yet a signal that comes makes it end with EINTR.
    let ready = retry_on_intr(|| poll(&mut polled, Some(&Timespec::default())));
    Ok(ready.context("watching a ring buffer")? > 0)
}

/// When a record was made, CLOCK_MONOTONIC.
fn time_of(record: &[u8]) -> u64 {
    Header::read_from_prefix(record).map_or(0, |(header, _)| header.mono_ns)
}

#[cfg(test)]
mod tests {
    use super::Sizes;

    #[test]
    fn a_small_ring_is_the_only_one() {
        let sizes = |asked| {
            let sizes = Sizes::of(asked, Some((6, 12)));
            (sizes.first, sizes.overflow)
        };
        assert_eq!(sizes(1), (4096, None));
        assert_eq!(sizes(100_000), (131_072, None));
        assert_eq!(sizes(1 << 18), (1 << 18, None));
        assert_eq!(sizes((1 << 18) + 1), (1 << 18, Some(1 << 19)));
        assert_eq!(sizes(4 << 20), (1 << 18, Some(4 << 20)));
    }

    #[test]
    fn a_kernel_may_have_one_ring_alone() {
        let has_two = |kernel| Sizes::of(4 << 20, kernel).overflow.is_some();
        for kernel in [None, Some((6, 1)), Some((6, 11)), Some((5, 15))] {
            assert!(!has_two(kernel), "{kernel:?}");
        }
        for kernel in [Some((6, 12)), Some((6, 18)), Some((7, 0))] {
            assert!(has_two(kernel), "{kernel:?}");
        }
    }
}
