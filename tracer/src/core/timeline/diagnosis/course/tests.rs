//! Courses, in milliseconds.

use proptest::prelude::*;
use tracer_ebpf::record::{receiver, sender};
use upload_protocol::timeline::HeldBackBy::{
    self, ClientApplication, ClientSide, Connect, Loss, Other, Path, ServerNotReading,
    ServerThinks, Unknown,
};

use super::{MAX_OF_BODY, bounded, in_order, of};
use crate::core::{
    connection::{Stretch, Times},
    timeline::diagnosis::{
        body::Body,
        spans::Causes,
        tests::{MS, body, stretch},
        verdict,
    },
};

fn check(found: &Causes, expected: &[(HeldBackBy, u64)]) {
    let found: Vec<_> = found.iter().map(|(cause, ns)| (*cause, ns / MS)).collect();
    assert_eq!(found, expected);
}

fn causes(expected: &[(HeldBackBy, u64)]) -> Causes {
    expected
        .iter()
        .map(|(cause, ms)| (*cause, ms * MS))
        .collect()
}

/// How long each cause ruled, whenever it did.
fn sums(course: &Causes) -> Vec<(HeldBackBy, u64)> {
    let sum = |cause: HeldBackBy| {
        let own = course.iter().filter(|(known, _)| *known == cause);
        own.map(|(_, ns)| ns).sum::<u64>()
    };
    let all = HeldBackBy::ALL.iter().map(|cause| (*cause, sum(*cause)));
    all.filter(|(_, ns)| *ns > 0).collect()
}

/// A sender's course.
fn sent(pieces: &[&[(usize, u64)]]) -> Vec<Times> {
    let times = |limits: &&[(usize, u64)]| {
        let mut times = Times::default();
        for (limit, ms) in *limits {
            times.sender[*limit] = ms * MS;
        }
        times
    };
    pieces.iter().map(times).collect()
}

#[test]
fn a_cause_that_goes_on_is_one_span() {
    let pieces = [
        causes(&[(Path, 60), (Loss, 40)]),
        causes(&[(Path, 60), (Loss, 40), (Path, 10)]),
        causes(&[(Path, 0), (Loss, 0)]),
        causes(&[(Path, 100)]),
    ];
    check(&in_order(pieces), &[(Path, 60), (Loss, 80), (Path, 170)]);
}

#[test]
fn a_body_s_course_is_its_measurement_in_order() {
    let client = Stretch {
        course: sent(&[
            &[(sender::PACING, 100)],
            &[(sender::PACING, 100)],
            &[(sender::TIMEOUT, 300)],
            &[(sender::PACING, 100)],
            &[(sender::IDLE, 390)],
        ]),
        tail_ns: 10 * MS,
        ..stretch()
    };
    let cut = body(Some(client), None).causes();
    let expected = [
        (Path, 200),
        (Loss, 300),
        (Path, 100),
        (ClientApplication, 390),
        (HeldBackBy::Rtt, 10),
    ];
    check(&cut.causes, &expected);
}

/// A receiver's course.
fn received(pieces: &[&[(usize, u64)]]) -> Vec<Times> {
    let times = |seen: &&[(usize, u64)]| {
        let mut times = Times::default();
        for (what, ms) in *seen {
            times.receiver[*what] = ms * MS;
        }
        times
    };
    pieces.iter().map(times).collect()
}

/// As measured: the server's window was used up when its client paused, and that pause says nothing of why
/// the window held the client back later.
#[test]
fn a_window_is_what_its_receiver_saw_meanwhile() {
    let client = Stretch {
        course: sent(&[
            &[(sender::IDLE, 712), (sender::WINDOW, 3)],
            &[(sender::WINDOW, 1), (sender::ZERO_WINDOW, 209)],
            &[(sender::ZERO_WINDOW, 212)],
            &[(sender::ZERO_WINDOW, 427)],
            &[(sender::IDLE, 12), (sender::ZERO_WINDOW, 79)],
        ]),
        ..stretch()
    };
    let server = Stretch {
        course: received(&[
            &[(receiver::NOT_READ, 3), (receiver::WINDOW, 714)],
            &[(receiver::NOT_READ, 210)],
            &[],
            &[],
            &[(receiver::NOT_READ, 729), (receiver::WINDOW, 3)],
        ]),
        ..stretch()
    };
    let body = Body {
        length_ns: 1655 * MS,
        ..body(Some(client), Some(server))
    };
    let shares = verdict::shares(body.causes().causes, body.length_ns);
    let named: Vec<_> = shares.iter().map(|share| share.cause).collect();
    let expected = [ServerNotReading, ClientApplication, Other];
    assert_eq!(named, expected, "{shares:?}");
}

/// What arrives without a gap, or late, belongs to what the whole shows; a piece with gaps, to its gaps.
#[test]
fn a_body_s_course_from_the_server_s_end() {
    let server = Stretch {
        course: received(&[
            &[(receiver::FLOW, 200)],
            &[(receiver::SENDER_GAP, 300)],
            &[(receiver::NOT_READ, 200), (receiver::FLOW, 100)],
            &[(receiver::LATE, 200)],
        ]),
        ..stretch()
    };
    let cut = body(None, Some(server)).causes();
    let expected = [
        (Path, 200),
        (ClientSide, 300),
        (ServerNotReading, 300),
        (Path, 200),
    ];
    check(&cut.causes, &expected);
}

#[test]
fn what_no_measurement_covers_comes_last() {
    let client = Stretch {
        course: sent(&[&[(sender::PACING, 300)], &[(sender::TIMEOUT, 200)]]),
        ..stretch()
    };
    let cut = body(Some(client), None).causes();
    check(&cut.causes, &[(Path, 300), (Loss, 200), (Unknown, 500)]);
}

/// Sums and shares are of the same causes: they agree to the nanosecond, but that shares have the causes
/// below 1 % as `other`.
#[test]
fn a_course_covers_the_whole_and_sums_to_the_shares() {
    let pieces: Vec<&[(usize, u64)]> = (0..250_usize)
        .map(|number| match number % 5 {
            0 => &[(sender::PACING, 70), (sender::RECOVERY, 33)][..],
            1 | 2 => &[(sender::APPLICATION, 17), (sender::PACING, 90)],
            3 => &[(sender::WINDOW, 101), (sender::SEND_BUFFER, 7)],
            _ => &[(sender::QUEUE, 3), (sender::CONGESTION_WINDOW, 120)],
        })
        .collect();
    let client = Stretch {
        course: sent(&pieces),
        tail_ns: 33 * MS,
        ..stretch()
    };
    // An odd length: nothing is lost by rounding.
    let body = Body {
        length_ns: 26_666_666_667,
        ..body(Some(client), None)
    };
    let whole = body.causes().causes;
    assert!(whole.len() > MAX_OF_BODY);
    let of_body = bounded(whole.clone());
    assert!(of_body.len() <= MAX_OF_BODY, "{}", of_body.len());
    assert_eq!(sums(&of_body), sums(&whole));

    let (start, wall) = (7, 7 + body.length_ns + 3 * MS + 2);
    let mut all = vec![(Connect, 7)];
    all.extend(of_body);
    all.push((ServerThinks, 3 * MS));
    let course = of(&all, start, wall);
    assert_eq!(course.first().unwrap().start_ns, start);
    assert_eq!(course.last().unwrap().end_ns, start + wall);
    assert_eq!(course.last().unwrap().cause, Other);
    for pair in course.windows(2) {
        assert_eq!(pair[0].end_ns, pair[1].start_ns);
        assert_ne!(pair[0].cause, pair[1].cause);
    }
    let spans: Causes = course
        .iter()
        .map(|span| (span.cause, span.end_ns - span.start_ns))
        .collect();
    let ruled = sums(&spans);
    let shares = verdict::shares(all, wall);
    for share in shares.iter().filter(|share| share.cause != Other) {
        assert!(ruled.contains(&(share.cause, share.ns)), "{share:?}");
    }
}

#[test]
fn nothing_has_no_course() {
    assert!(of(&Causes::new(), 5, 0).is_empty());
    assert!(bounded(Causes::new()).is_empty());
}

/// Counters of any course of a socket.
fn any_times() -> impl Strategy<Value = Times> {
    let any_ns = || prop_oneof![3 => Just(0), 2 => 0..1000 * MS];
    let sender = prop::collection::vec(any_ns(), sender::COUNT);
    let receiver = prop::collection::vec(any_ns(), receiver::COUNT);
    (sender, receiver).prop_map(|(sender, receiver)| Times {
        sender: sender.try_into().unwrap(),
        receiver: receiver.try_into().unwrap(),
    })
}

proptest! {
    #[test]
    fn a_body_of_any_length_is_covered(
        times in prop::collection::vec(any_times(), 0..40),
        length_ns in 1_u64..1_000_000 * MS,
        ends in (any::<bool>(), any::<bool>()),
    ) {
        let measured = || Some(Stretch { course: times.clone(), ..stretch() });
        let (client, server) = (measured().filter(|_| ends.0), measured().filter(|_| ends.1));
        let body = Body { length_ns, ..body(client, server) };
        let whole = body.causes().causes;
        let bounded = bounded(whole.clone());
        prop_assert!(bounded.len() <= MAX_OF_BODY);
        prop_assert_eq!(sums(&bounded), sums(&whole));
        let covered: u64 = bounded.iter().map(|(_, ns)| ns).sum();
        prop_assert_eq!(covered, length_ns);
        for pair in of(&bounded, 0, length_ns).windows(2) {
            prop_assert_eq!(pair[0].end_ns, pair[1].start_ns);
        }
    }
}
