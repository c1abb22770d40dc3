use super::*;

const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;

/// A clock that is ahead by so much, and gains so many nanoseconds per second.
#[derive(Clone, Copy)]
struct Second {
    ahead_ns: i64,
    gains: i64,
}

impl Second {
    fn reads(self, true_ns: u64) -> u64 {
        let gained = i128::from(true_ns) * i128::from(self.gains) / i128::from(S);
        u64::try_from(i128::from(true_ns) + i128::from(self.ahead_ns) + gained).unwrap()
    }
}

/// Segments in both directions, so many milliseconds apart, with these delays in turn.
fn clocks(second: Second, every_ms: u64, until_s: u64, delays: [&[u64]; 2]) -> Clocks {
    let mut clocks = Clocks::default();
    let mut sent = 1000 * S;
    for number in 0.. {
        let [up, down] = delays.map(|all| all[number % all.len()]);
        clocks.add(0, [sent, second.reads(sent + up)]);
        clocks.add(1, [sent + down, second.reads(sent)]);
        sent += every_ms * MS;
        if sent > (1000 + until_s) * S {
            break;
        }
    }
    clocks
}

#[test]
fn an_offset_is_known_but_for_half_the_round_trip() {
    let second = Second {
        ahead_ns: -3_600_500_000_000 / 10,
        gains: 0,
    };
    // 10 ms there and 10 ms back: the assumption is right.
    let same = [&[10 * MS, 14 * MS, 11 * MS][..], &[12 * MS, 10 * MS][..]];
    let found = clocks(second, 5, 1, same).align().unwrap();
    assert_eq!(found.offset_ns(), second.ahead_ns);
    assert_eq!(found.round_trip_ns, 20 * MS);
    assert!(
        found.error_ns >= 10 * MS && found.error_ns < 11 * MS,
        "{found:?}"
    );
    assert_eq!(found.drift_ppb, None);
    let time = 1000 * S + 77;
    assert_eq!(found.in_first(1, second.reads(time)), time);
    assert_eq!(found.in_first(0, time), time);
    // 16 ms there and 4 ms back: it is wrong by 6 ms, and the bound says up to 10 ms.
    let different = [&[16 * MS, 17 * MS][..], &[4 * MS][..]];
    let found = clocks(second, 5, 1, different).align().unwrap();
    assert_eq!(found.offset_ns() - second.ahead_ns, 6_000_000);
    assert_eq!(found.round_trip_ns, 20 * MS);
    assert!(found.error_ns >= 10 * MS, "{found:?}");
}

#[test]
fn a_drift_is_found_where_both_directions_agree() {
    let delays = [&[10 * MS, 14 * MS, 11 * MS][..], &[12 * MS, 10 * MS][..]];
    for gains in [50_000, -120_000, 500_000] {
        let second = Second {
            ahead_ns: 5 * 1_000_000_000,
            gains,
        };
        let found = clocks(second, 50, 60, delays).align().unwrap();
        let (drift, error) = found.drift_ppb.unwrap();
        assert!((drift - gains).abs() < 2000, "{drift} for {gains}");
        assert!(error < 2000, "{error}");
        for at in [1000, 1030, 1060] {
            let time = at * S;
            let wrong = found.in_first(1, second.reads(time)).abs_diff(time);
            assert!(wrong < 100_000, "{wrong} at {at}");
        }
    }
}

/// The queue before a slow link grows for half the time, and the other direction is not slower: that is
/// no drift.
#[test]
fn a_queue_that_grows_is_no_drift() {
    let second = Second {
        ahead_ns: 77,
        gains: 0,
    };
    let growing: Vec<u64> = (0..600).map(|number| (10 + number / 10) * MS).collect();
    let found = clocks(second, 10, 5, [&growing, &[10 * MS]])
        .align()
        .unwrap();
    assert_eq!(found.drift_ppb, None);
    assert_eq!(found.offset_ns(), 77);
    assert_eq!(found.round_trip_ns, 20 * MS);
}

#[test]
fn what_cannot_be_aligned_is_an_error() {
    let mut one_way = Clocks::default();
    one_way.add(0, [1, 2]);
    assert_eq!(one_way.align(), Err(Misaligned::OneDirection));
    let second = Second {
        ahead_ns: 0,
        gains: 0,
    };
    let mut set = clocks(second, 100, 10, [&[MS], &[MS]]);
    // From here on, the second clock is ahead by five minutes.
    for at in 0..100 {
        let sent = (1011 + at) * S;
        set.add(0, [sent, sent + MS + 300 * S]);
        set.add(1, [sent + MS, sent + 300 * S]);
    }
    assert_eq!(set.align(), Err(Misaligned::Uneven));
}
