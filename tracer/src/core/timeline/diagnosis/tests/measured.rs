//! Uploads of `cargo xtask held-back` that were told wrong once, as their kernels measured them.

use tracer_ebpf::record::{receiver, sender};
use upload_protocol::timeline::{Certainty, Diagnosis, HeldBackBy, NoVerdict};

use super::{MS, body, check, client, diagnosis, server, server_course};
use crate::core::{
    connection::Stretch,
    timeline::diagnosis::{body::Body, verdict},
};

/// 1 MB/s read in pieces of 64 KB through a window of 80 KB.
#[test]
fn a_window_that_a_slow_reader_closes_is_no_small_one() {
    let closed = Stretch {
        rtt_ns: Some(44 * MS),
        peer_window: 80_896,
        ..client(&[&[(sender::WINDOW, 3859), (sender::ZERO_WINDOW, 54)]])
    };
    let seen = [
        (receiver::NOT_READ, 3029),
        (receiver::WINDOW, 872),
        (receiver::LATE, 11),
    ];
    let slow = Stretch {
        own_window: 80_896,
        ..server(&seen)
    };
    let read = |client, server| Body {
        length_ns: 3912 * MS,
        bytes: Some(4_000_000),
        ..body(client, server)
    };
    let expected = [(HeldBackBy::ServerNotReading, 100)];
    let both = read(Some(closed), Some(slow.clone()));
    check(&both, HeldBackBy::ServerNotReading, &expected);
    let found = diagnosis(&read(None, Some(slow)));
    assert_eq!(found.verdict, Some(HeldBackBy::ServerNotReading));
    assert!(found.shares[0].share >= 0.99, "{found:#?}");
}

/// 4 KB every 14 ms at an RTT of 20 ms, with Nagle's algorithm.
#[test]
fn nagle_between_pieces_waits_for_the_process() {
    let pieces = client(&[&[(sender::APPLICATION, 975), (sender::NAGLE, 1693)]]);
    let given = Body {
        length_ns: 2677 * MS,
        ..body(Some(pieces), None)
    };
    let expected = [(HeldBackBy::ClientApplication, 100)];
    check(&given, HeldBackBy::ClientApplication, &expected);
}

/// Seen by the server alone, while a client gives 1 MB/s and segments overtake each other.
#[test]
fn a_few_holes_do_not_rule_what_arrives_evenly() {
    let piece: &[(usize, u64)] = &[(receiver::HOLE, 6), (receiver::FLOW, 97)];
    let seen = Stretch {
        rtt_ns: Some(40 * MS),
        out_of_order: 215,
        ..server_course(&[piece; 29])
    };
    let even = Body {
        length_ns: 29 * 103 * MS,
        ..body(None, Some(seen))
    };
    let expected = [(HeldBackBy::ClientSide, 94), (HeldBackBy::Loss, 6)];
    check(&even, HeldBackBy::ClientSide, &expected);
}

/// 10 MB in 250 ms: the window grows until there is a queue.
#[test]
fn a_queue_at_the_end_of_slow_start_is_no_full_path() {
    let seen = Stretch {
        own_window: 14_414_848,
        ..server_course(&[
            &[(receiver::GAP, 19), (receiver::FLOW, 80)],
            &[(receiver::LATE, 24), (receiver::FLOW, 81)],
            &[(receiver::LATE, 43), (receiver::FLOW, 2)],
        ])
    };
    let growing = Body {
        length_ns: 250 * MS,
        bytes: Some(10_000_000),
        ..body(None, Some(seen))
    };
    assert_eq!(diagnosis(&growing).no_verdict, Some(NoVerdict::Short));
}

/// The path before and after a pause keeps its time, also where its server alone sees it.
#[test]
fn a_pause_and_an_outage_do_not_rule_what_is_around_them() {
    let full: &[(usize, u64)] = &[(receiver::LATE, 90), (receiver::FLOW, 10)];
    for (gap, cause) in [
        (receiver::SENDER_GAP, HeldBackBy::ClientSide),
        (receiver::OUTAGE, HeldBackBy::Loss),
    ] {
        let mut pieces = vec![full; 10];
        let silence = [(gap, 1500)];
        pieces.insert(5, &silence);
        let around = Body {
            length_ns: 2500 * MS,
            ..body(None, Some(server_course(&pieces)))
        };
        check(&around, cause, &[(cause, 60), (HeldBackBy::Path, 40)]);
    }
}

/// nginx gives up a client after 2 s of silence (`client_body_timeout`).
#[test]
fn silence_to_the_end_is_the_client_s() {
    let silent = Body {
        length_ns: 2030 * MS,
        silent_ns: 1870 * MS,
        ..body(None, Some(server(&[(receiver::FLOW, 160)])))
    };
    let expected = [(HeldBackBy::ClientSide, 92), (HeldBackBy::Rtt, 8)];
    check(&silent, HeldBackBy::ClientSide, &expected);
}

/// 1 KB at an RTT of 100 ms: nothing but the handshake and a round trip.
#[test]
fn an_upload_of_a_round_trip_is_short_at_any_distance() {
    let tiny = Body {
        length_ns: 215 * MS,
        handshake_rtt_ns: Some(101 * MS),
        ..body(None, None)
    };
    let mut found = Diagnosis {
        wall_ns: 215 * MS,
        shares: verdict::shares(vec![(HeldBackBy::Connect, 108 * MS)], 215 * MS),
        evidence: tiny.evidence(),
        ..Diagnosis::default()
    };
    verdict::judge(&mut found, false);
    assert_eq!(found.no_verdict, Some(NoVerdict::Short));
}

/// 100 KB on a machine that was busy: each phase a few tens of milliseconds late.
#[test]
fn what_was_held_back_for_less_than_200_ms_is_short() {
    let causes = vec![
        (HeldBackBy::Connect, 81 * MS),
        (HeldBackBy::Path, 79 * MS),
        (HeldBackBy::Accept, 45 * MS),
        (HeldBackBy::ClientApplication, 20 * MS),
    ];
    let mut found = Diagnosis {
        wall_ns: 225 * MS,
        shares: verdict::shares(causes, 225 * MS),
        ..Diagnosis::default()
    };
    verdict::judge(&mut found, false);
    assert_eq!(found.no_verdict, Some(NoVerdict::Short));
}

/// 64 KB granted at a time, to a client that often waits for its processor as well.
#[test]
fn a_client_in_lockstep_on_a_busy_machine_waits_for_its_peer() {
    let waiting = client(&[&[(sender::LOCKSTEP, 1583), (sender::IDLE, 1779)]]);
    let granted = Body {
        length_ns: 3362 * MS,
        ..body(Some(waiting), None)
    };
    let expected = [(HeldBackBy::WaitsForPeer, 100)];
    check(&granted, HeldBackBy::WaitsForPeer, &expected);
}

/// Updates of an HTTP/2 window arrive while the client gives 500 KB/s, and some of its pieces just after one.
#[test]
fn a_few_prompt_pieces_are_no_lockstep() {
    let by_chance = client(&[&[(sender::LOCKSTEP, 240), (sender::APPLICATION, 760)]]);
    let found = diagnosis(&body(Some(by_chance), None));
    assert_eq!(found.verdict, Some(HeldBackBy::ClientApplication));
    assert_eq!(found.second, Some(HeldBackBy::WaitsForPeer));
    assert_eq!(found.certainty, Certainty::Inferred);
}

/// 8 Mbit/s of the client's own `tbf`, which lengthens the round trip as a full path does.
#[test]
fn a_queue_of_the_client_s_own_is_not_the_path() {
    let own = Stretch {
        rtt_ns: Some(31 * MS),
        ..client(&[&[(sender::CONGESTION_WINDOW, 32), (sender::QUEUE, 3059)]])
    };
    let shaped = Body {
        length_ns: 3091 * MS,
        ..body(Some(own), None)
    };
    let expected = [(HeldBackBy::ClientQueue, 99), (HeldBackBy::Path, 1)];
    check(&shaped, HeldBackBy::ClientQueue, &expected);
}

/// Seen by the server alone, while curl reads a pipe that rests for two seconds: the rest takes a few round trips.
#[test]
fn the_slow_start_before_a_pause_is_round_trips() {
    let seen = server_course(&[
        &[(receiver::GAP, 38), (receiver::FLOW, 82)],
        &[(receiver::SENDER_GAP, 2023), (receiver::FLOW, 15)],
        &[(receiver::HOLE, 2), (receiver::FLOW, 12)],
    ]);
    let given = Body {
        length_ns: 2172 * MS,
        bytes: None,
        ..body(None, Some(seen))
    };
    let expected = [
        (HeldBackBy::ClientSide, 93),
        (HeldBackBy::Rtt, 7),
        (HeldBackBy::Other, 0),
    ];
    check(&given, HeldBackBy::ClientSide, &expected);
}
