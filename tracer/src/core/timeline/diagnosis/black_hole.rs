//! A path that drops segments above a size, and whose router does not say so (RFC 2923, section 2.1).

use upload_protocol::timeline::{BlackHole, HeldBackBy};

use super::spans::Causes;
use crate::core::connection::{Stall, Stretch, View};

/// With fewer time-outs of one segment, a path that failed for a moment explains them. At the least
/// retransmission time-out, these take three seconds.
const MANY: u32 = 4;
/// If the kernel then made the segments smaller, fewer do.
const FEW: u32 = 2;

/// What shows it of the sender's socket, between two moments, CLOCK_MONOTONIC.
pub(super) fn seen(
    sender: &View,
    stretch: Option<&Stretch>,
    (from_ns, to_ns): (u64, u64),
) -> Option<BlackHole> {
    let stall = sender.incidents().stalls.longest()?;
    if stall.last_ns < from_ns || stall.first_ns > to_ns {
        return None;
    }
    let smaller = stretch.map(|stretch| stretch.mss).filter(|mss| {
        let before = stretch.map_or(0, |stretch| stretch.mss_before);
        *mss < before && *mss < stall.length
    });
    let (passed_bytes, least) = match smaller {
        Some(mss) => (u64::from(mss), FEW),
        None => (passed_before(sender, stall)?, MANY),
    };
    (stall.time_outs >= least).then_some(BlackHole {
        dropped_bytes: stall.length,
        time_outs: stall.time_outs,
        passed_bytes,
        mss_fell: smaller.is_some(),
    })
}

/// Once the timer has sent the segment for the last time, no segment shows how long its sender waits for the
/// next time-out: until the end.
pub(super) fn take_rest(causes: &mut Causes) {
    for (cause, _) in causes {
        if *cause == HeldBackBy::Unknown {
            *cause = HeldBackBy::Loss;
        }
    }
}

/// How much payload was acknowledged, if nothing was since, and it is less than the segment has: then no
/// segment of that size ever was.
fn passed_before(sender: &View, stall: &Stall) -> Option<u64> {
    let is_last = sender.is_closed() && sender.counted.bytes_acked <= stall.bytes_acked;
    let passed = stall
        .bytes_acked
        .saturating_sub(u64::from(sender.sent_syn()));
    (is_last && passed > 0 && passed < u64::from(stall.length)).then_some(passed)
}
