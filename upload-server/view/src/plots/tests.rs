//! The plots of samples.

use std::sync::Arc;

use upload_protocol::{
    End, Timeline,
    timeline::{Samples, TakenAt},
};

use super::plots;
use crate::shown::Shown;

fn drawn(samples: Vec<Samples>) -> String {
    let timeline = Timeline {
        samples: samples.into_iter().map(Arc::new).collect(),
        ..Timeline::default()
    };
    plots(&Shown::new(timeline, |_| false)).into_string()
}

/// A megabyte in a second, then idle.
fn sent() -> Samples {
    let acked = [
        1, 200_001, 400_001, 500_001, 600_001, 800_001, 900_001, 1_000_001, 1_000_001,
    ];
    let in_flight = [0, 20_000, 40_000, 100_000, 40_000, 20_000, 20_000, 0, 0];
    let sent = acked.iter().zip(in_flight);
    Samples {
        from: End::Client,
        taken_at: TakenAt::Sender,
        taken: 9,
        at_ns: [0, 200, 400, 500, 600, 800, 900, 1_000, 9_000]
            .map(|ms| ms * 1_000_000)
            .to_vec(),
        sent: sent
            .map(|(acked, flight)| acked + u64::from(flight))
            .collect(),
        acked: acked.to_vec(),
        in_flight: in_flight.to_vec(),
        window: vec![Some(3_000_000); 9],
        cwnd: vec![144_800; 9],
        rtt_ns: [20, 20, 30, 40, 40, 40, 40, 40, 40]
            .map(|ms| Some(ms * 1_000_000))
            .to_vec(),
        retransmits: vec![0; 9],
    }
}

#[test]
fn the_four_plots_of_a_socket() {
    let text = drawn(vec![sent()]);
    for part in [
        "<h3>Over time</h3>",
        "The kernel sampled it: 9 samples of the client's socket.",
        "<figcaption>Sequence numbers (Stevens)</figcaption>",
        "<figcaption>Bytes in flight and windows</figcaption>",
        "in flight: up to 100 kB at +500.000 ms, 0 B at the end",
        "receive window: up to 3.0 MB, beyond the plot",
        "congestion window: up to 144 kB",
        "acknowledged: up to 1.0 MB/s",
        "smoothed, at the sender: up to 40.0 ms",
        // The idle time at the end is left out.
        "<span>+1.000000 s</span>",
        "<path class=\"acked\" d=\"M0 100l",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(text.matches("<figure").count(), 4, "{text}");
}

#[test]
fn what_the_receiver_saw_is_drawn_beside_it() {
    let received = Samples {
        from: End::Client,
        taken_at: TakenAt::Receiver,
        taken: 20,
        at_ns: (1..9).map(|part| part * 130_000_000).collect(),
        acked: (1..9).map(|part| part * 125_000 + 1).collect(),
        window: vec![Some(6_000_000); 8],
        ..Samples::default()
    };
    let alone = drawn(vec![received.clone()]);
    assert_eq!(alone.matches("<figure").count(), 3, "{alone}");
    assert!(
        alone.contains("8 of 20 samples of the server's socket"),
        "{alone}"
    );
    let both = drawn(vec![sent(), received]);
    assert!(both.contains("class=\"received\""), "{both}");
    assert_eq!(both.matches("<h3>").count(), 1, "{both}");
}

#[test]
fn nothing_where_nothing_was_sampled() {
    assert_eq!(drawn(Vec::new()), "");
    // One moment is no course.
    let one = sent().within(&[(0, 0)]).unwrap();
    assert_eq!(drawn(vec![one]), "");
    // Lists of a hand-written timeline may be of any length.
    let short = Samples {
        in_flight: Vec::new(),
        window: vec![Some(1)],
        ..sent()
    };
    assert!(drawn(vec![short]).contains("<figure"));
    let unsorted = Samples {
        at_ns: sent().at_ns.into_iter().rev().chain([u64::MAX]).collect(),
        acked: vec![u64::MAX, 0, u64::MAX, 1, 2, 3, 4, 5, 6, 7],
        ..sent()
    };
    let _ = drawn(vec![unsorted]);
}
