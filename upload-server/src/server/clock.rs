//! The clock of the records: CLOCK_MONOTONIC, the clock of the kernel's own timestamps.

use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of CLOCK_MONOTONIC.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// A time of CLOCK_MONOTONIC in RFC 3339, converted by the offset between the clocks now.
pub(crate) fn wall_clock(monotonic_ns: u64) -> String {
    let ago = now_ns().saturating_sub(monotonic_ns);
    let ago = SignedDuration::from_nanos(ago.cast_signed());
    let then = Timestamp::try_from(SystemTime::now())
        .and_then(|now| now.checked_sub(ago))
        .unwrap_or_default();
    format!("{then:.9}")
}
