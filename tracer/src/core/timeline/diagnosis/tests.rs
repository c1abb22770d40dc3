//! Diagnoses of measurements, in milliseconds.

mod estimated;
mod measured;

use tracer_ebpf::record::{FIXED_SEND_BUFFER, receiver, sender};
use upload_protocol::timeline::{Certainty, Diagnosis, HeldBackBy, NoVerdict, Side};

use super::{
    body::Body,
    named::{self, Signs},
    spans::Causes,
    verdict, words,
};
use crate::core::connection::{Stretch, Times};

pub(super) const MS: u64 = 1_000_000;

/// A second of 1 MB at an RTT of 20 ms, without a measurement.
pub(super) fn stretch() -> Stretch {
    Stretch {
        course: Vec::new(),
        tail_ns: 0,
        rtt_ns: Some(20 * MS),
        min_rtt_ns: Some(20 * MS),
        retransmits: 0,
        spurious: 0,
        out_of_order: 0,
        peer_window: 1 << 20,
        peer_window_grew: false,
        own_window: 1 << 20,
        unread: 0,
        delay_ns: 0,
        mss: 1448,
        mss_before: 1448,
        processor_ns: None,
        send_buffer: 1 << 20,
        send_buffer_grew: false,
        receive_buffer: 1 << 20,
        fixed_buffers: 0,
    }
}

/// The client's end, with pieces of its course.
fn client(pieces: &[&[(usize, u64)]]) -> Stretch {
    let course = pieces.iter().map(|limits| {
        let mut times = Times::default();
        for (limit, ms) in *limits {
            times.sender[*limit] = ms * MS;
        }
        times
    });
    Stretch {
        course: course.collect(),
        ..stretch()
    }
}

/// The server's end.
fn server(seen: &[(usize, u64)]) -> Stretch {
    server_course(&[seen])
}

/// The same with pieces of its course.
fn server_course(pieces: &[&[(usize, u64)]]) -> Stretch {
    let course = pieces.iter().map(|seen| {
        let mut times = Times::default();
        for (what, ms) in *seen {
            times.receiver[*what] = ms * MS;
        }
        times
    });
    Stretch {
        course: course.collect(),
        ..stretch()
    }
}

/// An upload that is nothing but its body.
fn diagnosis(body: &Body) -> Diagnosis {
    let cut = body.causes();
    let mut diagnosis = Diagnosis {
        certainty: cut.certainty,
        from: body.ends(),
        wall_ns: body.length_ns,
        shares: verdict::shares(cut.causes, body.length_ns),
        evidence: body.evidence(),
        ..Diagnosis::default()
    };
    verdict::judge(&mut diagnosis, false);
    named::put(&mut diagnosis, body, Signs::default());
    words::put(&mut diagnosis);
    diagnosis
}

/// Of a second.
pub(super) fn body(client: Option<Stretch>, server: Option<Stretch>) -> Body {
    Body {
        length_ns: 1000 * MS,
        bytes: Some(1_000_000),
        answered: true,
        client,
        server,
        silent_ns: 0,
        read_ns: None,
        window_scaling: Some(true),
        handshake_rtt_ns: None,
        is_estimated: false,
    }
}

/// The verdict, and the shares in hundredths.
fn check(body: &Body, verdict: HeldBackBy, shares: &[(HeldBackBy, u64)]) {
    let found = diagnosis(body);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 100"
    )]
    let percent = |share: f64| (share * 100.0).round() as u64;
    let cut: Vec<_> = found
        .shares
        .iter()
        .map(|share| (share.cause, percent(share.share)))
        .collect();
    assert_eq!(cut, shares, "{found:#?}");
    assert_eq!(found.verdict, Some(verdict), "{found:#?}");
    assert_eq!(found.side, verdict.side());
}

#[test]
fn the_process_gave_nothing() {
    let client = client(&[&[(sender::APPLICATION, 970), (sender::CONGESTION_WINDOW, 30)]]);
    let expected = [(HeldBackBy::ClientApplication, 100)];
    check(
        &body(Some(client), None),
        HeldBackBy::ClientApplication,
        &expected,
    );
}

/// BBR paces what the process gives, at the rate at which it gives it.
#[test]
fn pacing_between_pauses_is_not_the_path() {
    let piece: &[(usize, u64)] = &[(sender::APPLICATION, 80), (sender::PACING, 20)];
    let client = client(&[piece; 10]);
    let expected = [(HeldBackBy::ClientApplication, 100)];
    check(
        &body(Some(client), None),
        HeldBackBy::ClientApplication,
        &expected,
    );
}

#[test]
fn a_pause_after_a_full_path_leaves_the_path_its_time() {
    let mut pieces = vec![&[(sender::PACING, 100)][..]; 4];
    pieces.push(&[(sender::IDLE, 600)]);
    let expected = [(HeldBackBy::ClientApplication, 60), (HeldBackBy::Path, 40)];
    let client = client(&pieces);
    check(
        &body(Some(client), None),
        HeldBackBy::ClientApplication,
        &expected,
    );
}

#[test]
fn a_full_buffer() {
    let full = client(&[&[(sender::SEND_BUFFER, 910), (sender::PACING, 90)]]);
    let expected = [(HeldBackBy::ClientSendBuffer, 100)];
    let fixed = Stretch {
        fixed_buffers: FIXED_SEND_BUFFER,
        send_buffer: 32_768,
        ..full.clone()
    };
    let found = diagnosis(&body(Some(fixed), None));
    let advice = found.advice.unwrap();
    assert_eq!(
        advice,
        "Do not set SO_SNDBUF: a buffer of 32.7 kB is too small for this path."
    );
    check(
        &body(Some(full), None),
        HeldBackBy::ClientSendBuffer,
        &expected,
    );
}

/// The kernel enlarges it as the congestion window grows.
#[test]
fn a_buffer_that_still_grows_is_no_cause() {
    let growing = Stretch {
        send_buffer_grew: true,
        ..client(&[&[(sender::SEND_BUFFER, 900), (sender::CONGESTION_WINDOW, 100)]])
    };
    let found = diagnosis(&body(Some(growing), None));
    assert_eq!(found.verdict, None);
    assert_eq!(found.no_verdict, Some(NoVerdict::Short));
    assert_eq!(found.advice, None);
}

#[test]
fn congestion_window_and_rtt_tell_path_loss_and_growth_apart() {
    let limited = client(&[&[(sender::CONGESTION_WINDOW, 810), (sender::RECOVERY, 190)]]);
    let queued = Stretch {
        rtt_ns: Some(58 * MS),
        retransmits: 4,
        ..limited.clone()
    };
    let expected = [(HeldBackBy::Path, 81), (HeldBackBy::Loss, 19)];
    check(&body(Some(queued), None), HeldBackBy::Path, &expected);
    let lossy = Stretch {
        retransmits: 17,
        ..limited
    };
    let expected = [(HeldBackBy::Loss, 100)];
    check(&body(Some(lossy), None), HeldBackBy::Loss, &expected);
    let growing = client(&[&[(sender::CONGESTION_WINDOW, 1000)]]);
    let found = diagnosis(&body(Some(growing), None));
    assert_eq!(found.no_verdict, Some(NoVerdict::Short));
}

/// The last of the body waits in the queue of the path when the process has given everything.
#[test]
fn the_tail_belongs_to_the_path() {
    let drained = Stretch {
        tail_ns: 230 * MS,
        rtt_ns: Some(110 * MS),
        ..client(&[&[(sender::CONGESTION_WINDOW, 770)]])
    };
    let expected = [(HeldBackBy::Path, 100)];
    check(&body(Some(drained), None), HeldBackBy::Path, &expected);
}

#[test]
fn a_closed_window_is_a_reader_s_or_a_small_one() {
    let closed = client(&[&[(sender::WINDOW, 950), (sender::ZERO_WINDOW, 50)]]);
    let slow = server(&[(receiver::NOT_READ, 940), (receiver::FLOW, 60)]);
    let expected = [(HeldBackBy::ServerNotReading, 100)];
    check(
        &body(Some(closed.clone()), Some(slow.clone())),
        HeldBackBy::ServerNotReading,
        &expected,
    );
    let small = server(&[(receiver::WINDOW, 950), (receiver::GAP, 50)]);
    let expected = [(HeldBackBy::ServerWindow, 100)];
    check(
        &body(Some(closed.clone()), Some(small)),
        HeldBackBy::ServerWindow,
        &expected,
    );
    // A window that is in use is small, even where its reader is late now and then.
    let in_use = Stretch {
        peer_window: 21_000,
        ..closed.clone()
    };
    for server in [None, Some(slow)] {
        check(
            &body(Some(in_use.clone()), server),
            HeldBackBy::ServerWindow,
            &expected,
        );
    }
    let expected = [(HeldBackBy::ServerNotReading, 100)];
    check(
        &body(Some(closed), None),
        HeldBackBy::ServerNotReading,
        &expected,
    );
}

#[test]
fn the_server_s_end_alone() {
    let check = |seen: Stretch, verdict, share| {
        check(&body(None, Some(seen)), verdict, &[(verdict, share)]);
    };
    let late = [(receiver::LATE, 990), (receiver::FLOW, 10)];
    check(server(&late), HeldBackBy::Path, 100);
    let silent = [(receiver::SENDER_GAP, 770), (receiver::FLOW, 230)];
    check(server(&silent), HeldBackBy::ClientSide, 100);
    let outage = [(receiver::OUTAGE, 1000)];
    check(server(&outage), HeldBackBy::Loss, 100);
    let lossy = Stretch {
        out_of_order: 100,
        ..server(&[(receiver::HOLE, 180), (receiver::GAP, 820)])
    };
    check(lossy, HeldBackBy::Loss, 100);
    let unread = [(receiver::NOT_READ, 730), (receiver::SENDER_GAP, 270)];
    check(server(&unread), HeldBackBy::ServerNotReading, 100);
    let small = Stretch {
        own_window: 21_000,
        ..server(&[(receiver::FLOW, 800), (receiver::GAP, 200)])
    };
    check(small, HeldBackBy::ServerWindow, 100);
}

#[test]
fn what_only_follows_from_a_measurement_is_inferred() {
    let of = |limit| {
        let client = client(&[&[(limit, 1000)]]);
        diagnosis(&body(Some(client), None)).certainty
    };
    assert_eq!(of(sender::APPLICATION), Certainty::Observed);
    assert_eq!(of(sender::LOCKSTEP), Certainty::Observed);
    assert_eq!(of(sender::TIMEOUT), Certainty::Inferred);
    let silent = server(&[(receiver::SENDER_GAP, 1000)]);
    assert_eq!(
        diagnosis(&body(None, Some(silent))).certainty,
        Certainty::Inferred
    );
}

#[test]
fn what_no_measurement_covers_is_unknown() {
    let found = diagnosis(&body(None, None));
    assert_eq!(found.no_verdict, Some(NoVerdict::Unknown));
    assert_eq!(found.certainty, Certainty::Unknown);
    let half = client(&[&[(sender::TIMEOUT, 400)]]);
    let found = diagnosis(&body(Some(half), None));
    let cut: Vec<_> = found.shares.iter().map(|share| share.cause).collect();
    assert_eq!(cut, [HeldBackBy::Unknown, HeldBackBy::Loss]);
    assert_eq!(found.no_verdict, Some(NoVerdict::Unknown));
}

#[test]
fn short_and_fast_uploads_have_no_verdict() {
    let waiting = || Some(client(&[&[(sender::APPLICATION, 1000)]]));
    let short = Body {
        length_ns: 190 * MS,
        ..body(waiting(), None)
    };
    assert_eq!(diagnosis(&short).no_verdict, Some(NoVerdict::Short));
    let fast = Body {
        bytes: Some(200_000_000),
        ..body(waiting(), None)
    };
    assert_eq!(diagnosis(&fast).no_verdict, Some(NoVerdict::Fast));
    assert_eq!(diagnosis(&fast).sentence, "Nothing held it back: 200 MB/s.");
    // But a delayed acknowledgment of 40 ms is long.
    let nagle = Body {
        length_ns: 43 * MS,
        ..body(Some(client(&[&[(sender::NAGLE, 42)]])), None)
    };
    assert_eq!(diagnosis(&nagle).verdict, Some(HeldBackBy::Nagle));
}

#[test]
fn two_causes_or_none() {
    let judged = |causes: &[(HeldBackBy, u64)]| {
        let causes: Causes = causes.iter().map(|(cause, ms)| (*cause, ms * MS)).collect();
        let mut diagnosis = Diagnosis {
            wall_ns: 1000 * MS,
            shares: verdict::shares(causes, 1000 * MS),
            ..Diagnosis::default()
        };
        verdict::judge(&mut diagnosis, false);
        (diagnosis.verdict, diagnosis.second, diagnosis.no_verdict)
    };
    let (client, path) = (HeldBackBy::ClientApplication, HeldBackBy::Path);
    assert_eq!(
        judged(&[(client, 450), (path, 400), (HeldBackBy::Tls, 150)]),
        (Some(client), Some(path), None)
    );
    assert_eq!(
        judged(&[(client, 900), (path, 100)]),
        (Some(client), None, None)
    );
    let three = [(client, 340), (path, 330), (HeldBackBy::Tls, 330)];
    assert_eq!(judged(&three), (None, None, Some(NoVerdict::NoSingleCause)));
}

#[test]
fn shares_make_a_whole() {
    let causes = vec![
        (HeldBackBy::Path, 333),
        (HeldBackBy::Loss, 333),
        (HeldBackBy::Tls, 331),
        (HeldBackBy::Connect, 3),
    ];
    let shares = verdict::shares(causes, 1000);
    let ns: u64 = shares.iter().map(|share| share.ns).sum();
    assert_eq!(ns, 1000);
    let sum: f64 = shares.iter().map(|share| share.share).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{shares:?}");
    assert_eq!(shares.last().unwrap().cause, HeldBackBy::Other);
    assert!(verdict::shares(Causes::new(), 0).is_empty());
    assert_eq!(HeldBackBy::Other.side(), None::<Side>);
}

mod names;
