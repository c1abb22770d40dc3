//! What held a socket back lately, while its connection is under way.

use tracer_ebpf::record::sender;

use super::{LimitLog, Times};

/// What ruled up to the latest sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latest {
    /// When that was taken, CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// How long each limit ruled; what the kernel has not decided counts as what it seems to be.
    pub times: Times,
    /// The mean of the smoothed round-trip time since the sample before, in nanoseconds.
    pub rtt_ns: Option<u64>,
    /// Segments sent again since the socket was opened.
    pub retransmits: u32,
}

impl LimitLog {
    /// What ruled in this time up to the latest sample, or since the sample before where that is longer ago. `None`
    /// without a sample.
    #[must_use]
    pub fn latest(&self, within_ns: u64) -> Option<Latest> {
        let (last, earlier) = self.samples.split_last()?;
        let since_ns = last.mono_ns.saturating_sub(within_ns);
        let base = earlier.iter().rfind(|sample| sample.mono_ns <= since_ns);
        let mut times = Times::since(base, last);
        for kind in [sender::IDLE, sender::APPLICATION] {
            let before = base.map_or(0, |base| base.limits.times.undecided[kind]);
            let undecided = last.limits.times.undecided[kind].saturating_sub(before);
            times.sender[kind] = times.sender[kind].saturating_add(undecided);
        }
        let gauges = last.limits.gauges;
        let rtt_us = gauges.srtt_sum_us.checked_div(gauges.srtt_samples.into());
        Some(Latest {
            at_ns: last.mono_ns,
            times,
            rtt_ns: rtt_us
                .filter(|rtt| *rtt > 0)
                .map(|rtt| rtt.saturating_mul(1000)),
            retransmits: last.limits.total_retrans,
        })
    }
}

#[cfg(test)]
mod tests {
    use tracer_ebpf::record::{Limits, sender};
    use zerocopy::FromZeros as _;

    use crate::core::connection::LimitLog;

    fn sample(path_ns: u64, idle_ns: u64, rtts_us: &[u64]) -> Limits {
        let mut limits = Limits::new_zeroed();
        limits.times.sender[sender::CONGESTION_WINDOW] = path_ns;
        limits.times.undecided[sender::IDLE] = idle_ns;
        limits.gauges.srtt_sum_us = rtts_us.iter().sum();
        limits.gauges.srtt_samples = u32::try_from(rtts_us.len()).unwrap();
        limits
    }

    #[test]
    fn what_ruled_within_a_time() {
        let mut log = LimitLog::default();
        assert_eq!(log.latest(10), None);
        log.record(100, sample(50, 0, &[]));
        log.record(200, sample(90, 0, &[]));
        log.record(300, sample(100, 80, &[4, 6]));
        let check = |within_ns, path_ns, idle_ns| {
            let latest = log.latest(within_ns).unwrap();
            let ruled = latest.times.sender;
            let found = (ruled[sender::CONGESTION_WINDOW], ruled[sender::IDLE]);
            assert_eq!(found, (path_ns, idle_ns), "{within_ns}");
            assert_eq!((latest.at_ns, latest.rtt_ns), (300, Some(5000)));
        };
        check(1, 10, 80);
        check(100, 10, 80);
        check(101, 50, 80);
        check(200, 50, 80);
        check(201, 100, 80);
    }
}
