//! Counts payload, and decides how much of each burst is captured: payload that one end sends before the
//! other does.

use core::ptr::addr_of_mut;

use tracer_ebpf::{
    filter::{Burst, Remembered, TURN_BEGAN, TURN_SETTLED},
    record::{EGRESS, Passed},
};

/// How much of the first burst of payload in a direction is captured: a ClientHello with post-quantum
/// key shares, a server's certificates.
const FIRST_BURST: u32 = 6 * 1024;
/// How much of a later burst: a request or status line and its fields.
const LATER_BURST: u32 = 1024;
/// How much payload of one segment is captured with its headers: the largest record has room for both.
/// More is captured of an HTTP head alone, in records of its own.
pub(crate) const MAX_PAYLOAD: u64 = 2048;

/// Counts the payload of a packet, which is seen at `now`.
///
/// # Safety
/// `passed` must be valid.
#[inline(always)]
pub(crate) unsafe fn count(passed: *mut Passed, payload: u32, now: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        (*passed).last_ns = now;
        (*passed).bytes += u64::from(payload);
    }
}

/// Begins a burst, of which the first bytes are captured. Returns when the last payload of the other
/// direction passed, or 0 before any.
///
/// # Safety
/// `remembered` and `burst` must be valid.
#[inline(always)]
pub(crate) unsafe fn begin(
    remembered: *mut Remembered,
    direction: u8,
    burst: *mut Burst,
    is_first: bool,
) -> u64 {
    // SAFETY: as the caller promises.
    unsafe {
        let before = (*remembered).last_payload;
        (*remembered).last_payload = u32::from(direction) + 1;
        (*burst).left = if is_first { FIRST_BURST } else { LATER_BURST };
        if direction == EGRESS {
            (*remembered).turn = if (*remembered).turn == TURN_SETTLED {
                0
            } else {
                TURN_BEGAN
            };
        }
        if before == 0 {
            return 0;
        }
        let other = addr_of_mut!((*remembered).passed)
            .cast::<Passed>()
            .add((direction ^ 1) as usize);
        (*other).last_ns
    }
}

/// How much of the payload to capture with the headers: the first bytes of each burst, and a head that
/// has not ended.
///
/// # Safety
/// `burst` must be valid.
#[inline(always)]
pub(crate) unsafe fn head_bytes(burst: *mut Burst, payload: u32) -> u64 {
    // SAFETY: as the caller promises.
    unsafe {
        let payload = u64::from(payload);
        let left = u64::from((*burst).left);
        let head_left = u64::from((*burst).head_left);
        let most = if left > head_left { left } else { head_left };
        let mut head = if payload < most { payload } else { most };
        if head > MAX_PAYLOAD {
            head = MAX_PAYLOAD;
        }
        (*burst).left = if head < left { (left - head) as u32 } else { 0 };
        head
    }
}
