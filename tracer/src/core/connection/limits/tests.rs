//! Stretches of made-up samples.

use tracer_ebpf::record::{Limits, receiver, sender};
use zerocopy::FromZeros as _;

use super::{LimitLog, MAX_SAMPLES, Times};

const MS: u64 = 1_000_000;

/// A sample at so many milliseconds, with what `set` counts.
fn sample(log: &mut LimitLog, at_ms: u64, set: impl FnOnce(&mut Limits)) {
    let mut limits = Limits::new_zeroed();
    set(&mut limits);
    log.record(at_ms * MS, limits);
}

/// What the sender was limited by between two moments, in milliseconds; the tail comes last.
fn between(log: &LimitLog, start_ms: u64, end_ms: u64) -> Option<(Vec<u64>, u64)> {
    let stretch = log.between(start_ms * MS, end_ms * MS)?;
    let sum = stretch
        .course
        .iter()
        .fold(Times::default(), |sum, times| sum.and(times));
    let sender = sum.sender.iter().map(|ns| ns / MS).collect();
    Some((sender, stretch.tail_ns / MS))
}

/// The times of a sender, in milliseconds, by limit.
fn times(limits: &[(usize, u64)]) -> Vec<u64> {
    let mut times = vec![0; sender::COUNT];
    for (limit, ms) in limits {
        times[*limit] = *ms;
    }
    times
}

#[test]
fn nothing_was_measured() {
    assert_eq!(between(&LimitLog::default(), 0, 10), None);
}

#[test]
fn accepted_as_the_first_sample_that_shows_it_says() {
    let mut log = LimitLog::default();
    sample(&mut log, 100, |_| ());
    assert_eq!(log.accepted_ns(), None);
    sample(&mut log, 1100, |limits| {
        limits.gauges.accepted_before_us = u32::MAX;
    });
    assert_eq!(log.accepted_ns(), None);
    sample(&mut log, 1200, |limits| {
        limits.gauges.accepted_before_us = 150_000;
    });
    sample(&mut log, 1300, |limits| {
        limits.gauges.accepted_before_us = 250_001;
    });
    assert_eq!(log.accepted_ns(), Some(1050 * MS));
}

#[test]
fn one_request_of_several_is_the_difference_of_two_samples() {
    let mut log = LimitLog::default();
    sample(&mut log, 100, |limits| {
        limits.times.sender[sender::PACING] = 100 * MS;
    });
    sample(&mut log, 1100, |limits| {
        limits.times.sender[sender::PACING] = 100 * MS;
        limits.times.sender[sender::IDLE] = 1000 * MS;
    });
    sample(&mut log, 1300, |limits| {
        limits.times.sender[sender::PACING] = 290 * MS;
        limits.times.sender[sender::IDLE] = 1000 * MS;
    });
    let expected = times(&[(sender::PACING, 190)]);
    assert_eq!(between(&log, 1100, 1299), Some((expected, 0)));
    let first = times(&[(sender::PACING, 100)]);
    assert_eq!(between(&log, 0, 100), Some((first, 0)));
    assert_eq!(between(&log, 1400, 1500), None);
}

/// The kernel submits no sample for a turn soon after another sample.
#[test]
fn the_sample_just_before_the_end_stands_for_it() {
    let mut log = LimitLog::default();
    sample(&mut log, 200, |limits| {
        limits.times.sender[sender::NAGLE] = 200 * MS;
    });
    sample(&mut log, 2000, |limits| {
        limits.times.sender[sender::NAGLE] = 200 * MS;
        limits.times.sender[sender::IDLE] = 1800 * MS;
    });
    let expected = times(&[(sender::NAGLE, 200)]);
    assert_eq!(between(&log, 0, 205), Some((expected, 0)));
}

#[test]
fn what_was_not_decided_at_the_beginning_lies_before_it() {
    let mut log = LimitLog::default();
    sample(&mut log, 100, |limits| {
        limits.times.undecided[sender::APPLICATION] = 80 * MS;
    });
    sample(&mut log, 300, |limits| {
        limits.times.sender[sender::LOCKSTEP] = 130 * MS;
        limits.times.sender[sender::PACING] = 150 * MS;
    });
    let expected = times(&[(sender::LOCKSTEP, 50), (sender::PACING, 150)]);
    assert_eq!(between(&log, 100, 300), Some((expected, 0)));
}

/// All was sent after 900 ms and had arrived after 1,000; the answer came at 1,400 ms.
#[test]
fn the_tail_is_what_was_on_its_way_before_the_end() {
    let mut log = LimitLog::default();
    sample(&mut log, 1400, |limits| {
        limits.times.sender[sender::PACING] = 900 * MS;
        limits.times.undecided[sender::APPLICATION] = 100 * MS;
        limits.times.undecided[sender::IDLE] = 400 * MS;
    });
    let expected = times(&[(sender::PACING, 900)]);
    assert_eq!(between(&log, 0, 1000), Some((expected, 100)));
}

#[test]
fn what_a_segment_holds_and_what_a_thread_ran() {
    let mut log = LimitLog::default();
    for (at_ms, mss, processor_ms) in [(100, 1448, 40), (200, 1448, 90), (300, 512, 250)] {
        sample(&mut log, at_ms, |limits| {
            (limits.mss, limits.processor_ms) = (mss, processor_ms);
        });
    }
    let found = |from_ms, to_ms| {
        let stretch = log.between(from_ms * MS, to_ms * MS).unwrap();
        (stretch.mss_before, stretch.mss, stretch.processor_ns)
    };
    assert_eq!(found(0, 300), (1448, 512, Some(250 * MS)));
    assert_eq!(found(200, 300), (1448, 512, Some(160 * MS)));
    assert_eq!(found(100, 200), (1448, 1448, Some(50 * MS)));
}

/// A recording may hold anything.
#[test]
fn what_no_kernel_counts_is_left_out() {
    let mut log = LimitLog::default();
    for (at_ms, ns) in [(100, 5 * MS), (200, 4 * MS), (300, u64::MAX), (50, 9 * MS)] {
        sample(&mut log, at_ms, |limits| {
            limits.times.sender = [ns; sender::COUNT];
            limits.times.receiver = [ns; receiver::COUNT];
            limits.times.undecided = [ns; 2];
        });
    }
    let times: Vec<_> = log.samples.iter().map(|one| one.mono_ns / MS).collect();
    assert_eq!(times, [100, 100]);
    assert!(log.between(0, u64::MAX).is_some());
}

#[test]
fn a_long_upload_keeps_its_sums() {
    let mut log = LimitLog::default();
    let all = 10 * u64::try_from(MAX_SAMPLES).unwrap();
    for number in 1..=all {
        sample(&mut log, 100 * number, |limits| {
            limits.times.sender[sender::WINDOW] = 60 * number * MS;
            limits.times.receiver[receiver::FLOW] = 90 * number * MS;
            limits.gauges.max_unread = u32::try_from(number).unwrap();
        });
    }
    assert!(log.samples.len() <= MAX_SAMPLES);
    let stretch = log.between(0, 100 * all * MS).unwrap();
    let sum = stretch
        .course
        .iter()
        .fold(Times::default(), |sum, times| sum.and(times));
    assert_eq!(sum.sender[sender::WINDOW], 60 * all * MS);
    assert_eq!(sum.receiver[receiver::FLOW], 90 * all * MS);
    assert_eq!(u64::from(stretch.unread), all);
}
