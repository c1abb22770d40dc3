//! The clocks: CLOCK_MONOTONIC, which the kernel stamps records with; the wall clock, which may be
//! set at any time; and CLOCK_BOOTTIME, which goes on while the machine is suspended.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds of CLOCK_MONOTONIC, as `bpf_ktime_get_ns` reads it.
#[must_use]
pub fn monotonic_ns() -> u64 {
    u64::try_from(nanoseconds(clock_gettime(ClockId::Monotonic))).unwrap_or_default()
}

/// The clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// CLOCK_MONOTONIC in nanoseconds.
    pub mono_ns: u64,
    /// CLOCK_REALTIME in nanoseconds since the Unix epoch.
    pub realtime_ns: i64,
    /// How long the machine was suspended since it started, in nanoseconds.
    pub suspended_ns: u64,
}

/// Reads the clocks one after another, again if the thread was interrupted in between.
#[must_use]
pub fn read() -> Reading {
    const AT_ONCE_NS: u64 = 20_000;
    const TRIES: usize = 5;
    let mut reading = read_once();
    for _ in 1..TRIES {
        if monotonic_ns().saturating_sub(reading.mono_ns) < AT_ONCE_NS {
            break;
        }
        reading = read_once();
    }
    reading
}

fn read_once() -> Reading {
    let mono_ns = monotonic_ns();
    let realtime_ns = nanoseconds(clock_gettime(ClockId::Realtime));
    let boot_ns = u64::try_from(nanoseconds(clock_gettime(ClockId::Boottime)));
    Reading {
        mono_ns,
        realtime_ns,
        suspended_ns: boot_ns.unwrap_or_default().saturating_sub(mono_ns),
    }
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec)
}
