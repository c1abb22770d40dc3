//! What held a socket back, as its kernel measured it: samples of counters that only grow.

mod latest;

use tracer_ebpf::record::{LimitTimes, Limits, receiver, sender};
use zerocopy::FromZeros as _;

pub use self::latest::Latest;

/// Enough to draw an upload's course, and for the requests of a long connection.
const MAX_SAMPLES: usize = 256;
/// The kernel submits no two samples within this time, where payload changes its direction.
const TURN_NS: u64 = 10_000_000;
/// A sample at a segment comes this much later than the segment's own time at most.
const SLACK_NS: u64 = 1_000_000;
/// Two years.
const LONGEST_NS: u64 = 1 << 56;

/// The samples of one socket, in order. Of too many, every second one is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitLog {
    samples: Vec<Sample>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    mono_ns: u64,
    limits: Limits,
}

/// What held a socket back between two moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// From sample to sample.
    pub course: Vec<Times>,
    /// Since when everything was sent, and something of it not acknowledged, in nanoseconds before the end.
    pub tail_ns: u64,
    /// The mean of the smoothed round-trip time, in nanoseconds.
    pub rtt_ns: Option<u64>,
    /// The smallest round-trip time of the connection, or of its last minutes, in nanoseconds.
    pub min_rtt_ns: Option<u64>,
    /// Segments retransmitted.
    pub retransmits: u32,
    /// Retransmissions that the peer had already.
    pub spurious: u32,
    /// Segments that arrived out of order.
    pub out_of_order: u32,
    /// The largest window that the peer announced, in bytes.
    pub peer_window: u32,
    /// Whether that window was at least twice as large at the end as at the beginning.
    pub peer_window_grew: bool,
    /// The largest window that this end announced, in bytes.
    pub own_window: u32,
    /// The most that arrived and waited for the process, in bytes.
    pub unread: u32,
    /// The longest time that a segment from the peer was on its way, beyond the fastest.
    pub delay_ns: u64,
    /// The size of a full segment, in bytes of payload.
    pub mss: u32,
    /// The same at the beginning.
    pub mss_before: u32,
    /// How long the thread that sends ran on a CPU, in nanoseconds; `None` where that is unknown.
    pub processor_ns: Option<u64>,
    /// The send buffer in bytes (`sk_sndbuf`).
    pub send_buffer: u32,
    /// Whether it was at least twice as large at the end as at the beginning.
    pub send_buffer_grew: bool,
    /// The receive buffer in bytes (`sk_rcvbuf`).
    pub receive_buffer: u32,
    /// Bits of [`Limits::fixed_buffers`].
    pub fixed_buffers: u8,
}

/// What held a socket back from one sample to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// How long the sender was limited by each of [`sender`], in nanoseconds.
    pub sender: [u64; sender::COUNT],
    /// What the receiver saw for how long, by [`receiver`], in nanoseconds.
    pub receiver: [u64; receiver::COUNT],
}

impl LimitLog {
    /// A sample whose counters do not grow from the one before is none of the kernel's, and left out: sums of
    /// the others cannot overflow. Two CPUs may submit in another order than they read the clock.
    pub(crate) fn record(&mut self, mono_ns: u64, limits: Limits) {
        let last = self.samples.last();
        let before = last.map_or_else(Limits::new_zeroed, |last| last.limits);
        if !grows(&before.times, &limits.times) {
            return;
        }
        let mono_ns = last.map_or(mono_ns, |last| mono_ns.max(last.mono_ns));
        if self.samples.len() >= MAX_SAMPLES {
            self.thin_out();
        }
        self.samples.push(Sample { mono_ns, limits });
    }

    /// Leaves every second sample out; the next one takes its gauges.
    fn thin_out(&mut self) {
        let mut kept = Vec::with_capacity(MAX_SAMPLES);
        for pair in self.samples.chunks(2) {
            let (first, second) = (pair[0], pair.get(1));
            kept.push(second.map_or(first, |second| first.merged_into(second)));
        }
        self.samples = kept;
    }

    /// What held the socket back from `start_ns` to `end_ns`, CLOCK_MONOTONIC. `None` where no sample
    /// covers the stretch: it was short, or the kernel does not measure it.
    #[must_use]
    pub fn between(&self, start_ns: u64, end_ns: u64) -> Option<Stretch> {
        let before = self
            .samples
            .partition_point(|sample| sample.mono_ns <= start_ns.saturating_add(SLACK_NS));
        let after = self
            .samples
            .partition_point(|sample| sample.mono_ns < end_ns);
        let last = self.nearest_to_end(after, end_ns)?;
        let covered = self.samples.get(before..=last)?;
        let end = covered.last()?;
        let base = before.checked_sub(1).map(|at| self.samples[at]);
        Some(Stretch::of(base.as_ref(), covered, end, end_ns))
    }

    /// When a process last read from the socket before a moment, as far as a sample shows it; all in
    /// CLOCK_MONOTONIC.
    #[must_use]
    pub fn read_before(&self, at_ns: u64) -> Option<u64> {
        let reads = self.samples.iter().map(|sample| sample.limits.read_ns);
        reads
            .rev()
            .find(|read| *read <= at_ns)
            .filter(|read| *read > 0)
    }

    /// When a process had accepted the socket at the latest, CLOCK_MONOTONIC, where segments found it waiting for
    /// that before.
    #[must_use]
    pub fn accepted_ns(&self) -> Option<u64> {
        self.samples.iter().find_map(|sample| {
            let before_us = sample.limits.gauges.accepted_before_us;
            let is_exact = before_us > 0 && before_us < u32::MAX;
            let before_ns = u64::from(before_us).saturating_mul(1000);
            is_exact.then(|| sample.mono_ns.saturating_sub(before_ns))
        })
    }

    /// The sample that has the counters of `end_ns`: that of the payload that turned then, or the one just
    /// before, where the kernel submitted none for the turn. `after` is the first one not before the end.
    fn nearest_to_end(&self, after: usize, end_ns: u64) -> Option<usize> {
        let just_before = after.checked_sub(1).filter(|at| {
            let gap = end_ns - self.samples[*at].mono_ns;
            let next = self.samples.get(after);
            next.is_none_or(|next| gap <= TURN_NS && gap < next.mono_ns - end_ns)
        });
        just_before.or_else(|| (after < self.samples.len()).then_some(after))
    }
}

/// Whether the later counters follow from the earlier ones, and are counters of a machine's run.
fn grows(before: &LimitTimes, after: &LimitTimes) -> bool {
    let earlier = before.sender.iter().chain(&before.receiver);
    let later = after.sender.iter().chain(&after.receiver);
    let is_sane = |ns: &u64| *ns <= LONGEST_NS;
    later
        .clone()
        .zip(earlier)
        .all(|(after, before)| after >= before)
        && later.chain(&after.undecided).all(is_sane)
}

impl Sample {
    /// The later sample, with the gauges of both.
    fn merged_into(&self, later: &Self) -> Self {
        let mut merged = *later;
        let (one, into) = (&self.limits.gauges, &mut merged.limits.gauges);
        into.srtt_sum_us = into.srtt_sum_us.saturating_add(one.srtt_sum_us);
        into.srtt_samples = into.srtt_samples.saturating_add(one.srtt_samples);
        into.max_peer_window = into.max_peer_window.max(one.max_peer_window);
        into.max_in_flight = into.max_in_flight.max(one.max_in_flight);
        into.max_unread = into.max_unread.max(one.max_unread);
        into.max_room = into.max_room.max(one.max_room);
        into.max_delay_ms = into.max_delay_ms.max(one.max_delay_ms);
        into.windows_used = into.windows_used.saturating_add(one.windows_used);
        merged
    }
}

impl Times {
    fn since(before: Option<&Sample>, sample: &Sample) -> Self {
        let now = &sample.limits.times;
        let before = before.map(|before| &before.limits.times);
        let before_sender = |at: usize| before.map_or(0, |before| before.sender[at]);
        let before_receiver = |at: usize| before.map_or(0, |before| before.receiver[at]);
        Self {
            sender: std::array::from_fn(|at| now.sender[at].saturating_sub(before_sender(at))),
            receiver: std::array::from_fn(|at| {
                now.receiver[at].saturating_sub(before_receiver(at))
            }),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            sender: std::array::from_fn(|at| self.sender[at].saturating_add(other.sender[at])),
            receiver: std::array::from_fn(|at| {
                self.receiver[at].saturating_add(other.receiver[at])
            }),
        }
    }
}

impl Stretch {
    fn of(base: Option<&Sample>, covered: &[Sample], end: &Sample, end_ns: u64) -> Self {
        let gauges = || covered.iter().map(|sample| sample.limits.gauges);
        let since = |count: fn(&Limits) -> u32| {
            let before = base.map_or(0, |base| count(&base.limits));
            count(&end.limits).saturating_sub(before)
        };
        let samples: u64 = gauges().map(|one| u64::from(one.srtt_samples)).sum();
        let srtt_us = gauges().fold(0_u64, |sum, one| sum.saturating_add(one.srtt_sum_us));
        let windows = || {
            gauges()
                .map(|one| one.max_peer_window)
                .filter(|one| *one > 0)
        };
        let grew = windows().next().zip(windows().next_back());
        let limits = &end.limits;
        let min_rtt_us = Some(limits.min_rtt_us).filter(|rtt| *rtt > 0 && *rtt < u32::MAX);
        let (course, tail_ns) = course(base, covered, end_ns);
        Self {
            course,
            tail_ns,
            rtt_ns: srtt_us
                .checked_div(samples)
                .map(|rtt| rtt.saturating_mul(1000)),
            min_rtt_ns: min_rtt_us.map(|rtt| u64::from(rtt) * 1000),
            retransmits: since(|limits| limits.total_retrans),
            spurious: since(|limits| limits.dsack_dups),
            out_of_order: since(|limits| limits.out_of_order),
            peer_window: windows().max().unwrap_or(0),
            peer_window_grew: grew.is_some_and(|(first, last)| last / 2 >= first),
            own_window: gauges().map(|one| one.max_room).max().unwrap_or(0),
            unread: gauges().map(|one| one.max_unread).max().unwrap_or(0),
            delay_ns: gauges()
                .map(|one| u64::from(one.max_delay_ms) * 1_000_000)
                .max()
                .unwrap_or(0),
            mss: limits.mss,
            mss_before: base.or(covered.first()).map_or(0, |first| first.limits.mss),
            processor_ns: Some(u64::from(since(|limits| limits.processor_ms)) * 1_000_000)
                .filter(|ns| *ns > 0),
            send_buffer: limits.send_buffer,
            send_buffer_grew: base
                .into_iter()
                .chain(covered)
                .map(|sample| sample.limits.send_buffer)
                // An estimate does not know it before it was full.
                .find(|size| *size > 0)
                .is_some_and(|first| limits.send_buffer / 2 >= first),
            receive_buffer: limits.receive_buffer,
            fixed_buffers: limits.fixed_buffers,
        }
    }
}

/// What the sender was limited by, from sample to sample. What the kernel decided late stands where it was
/// decided. What it has not decided counts at the end, as far as it lies before that, but for the tail; and
/// what it had not decided at the beginning lies before that.
fn course(base: Option<&Sample>, covered: &[Sample], end_ns: u64) -> (Vec<Times>, u64) {
    let befores = std::iter::once(base).chain(covered.iter().map(Some));
    let mut course: Vec<Times> = befores
        .zip(covered)
        .map(|(before, sample)| Times::since(before, sample))
        .collect();
    let undecided = [sender::IDLE, sender::APPLICATION];
    for kind in undecided {
        let mut earlier = base.map_or(0, |base| base.limits.times.undecided[kind]);
        for times in &mut course {
            for at in [kind, sender::LOCKSTEP] {
                let taken = times.sender[at].min(earlier);
                times.sender[at] -= taken;
                earlier -= taken;
            }
        }
    }
    let mut tail_ns = 0;
    if let Some((sample, times)) = covered.last().zip(course.last_mut()) {
        let beyond = sample.mono_ns.saturating_sub(end_ns);
        let [idle, tail] = undecided.map(|kind| sample.limits.times.undecided[kind]);
        // The tail comes first: nothing is idle before everything is acknowledged.
        let idle_within = idle.saturating_sub(beyond);
        times.sender[sender::IDLE] = times.sender[sender::IDLE].saturating_add(idle_within);
        tail_ns = tail.saturating_sub(beyond.saturating_sub(idle));
    }
    (course, tail_ns)
}

#[cfg(test)]
mod tests;
