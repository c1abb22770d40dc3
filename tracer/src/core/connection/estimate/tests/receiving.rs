//! Captured near the server.

use tracer_ebpf::record::receiver;
use upload_protocol::End;

use super::{FULL, Upload};

#[test]
fn a_gap_after_a_segment_that_is_not_full_is_its_sender_s() {
    for (len, at_us, expected) in [
        (500, 100_000, (receiver::SENDER_GAP, 100)),
        (FULL, 20_000, (receiver::GAP, 20)),
        (FULL, 500_000, (receiver::OUTAGE, 500)),
        (FULL, 5_000, (receiver::FLOW, 5)),
    ] {
        let mut upload = Upload::at_server();
        upload.sends(0, 1, len).acked(10, 1 + len);
        upload.sends(at_us, 1 + len, FULL);
        assert_eq!(upload.receiver(), [expected]);
    }
}

#[test]
fn something_is_missing_until_it_arrives() {
    let mut upload = Upload::at_server();
    upload.sends_full(0, 0, 1).acked(10, 1 + FULL);
    upload.sends_full(2_000, 2, 1).acked(2_010, 1 + FULL);
    upload.sends_full(40_000, 1, 1).acked(40_010, 1 + 3 * FULL);
    upload.sends_full(43_000, 3, 1);
    let expected = [(receiver::HOLE, 38), (receiver::FLOW, 5)];
    assert_eq!(upload.receiver(), expected);
    assert_eq!(upload.sample().out_of_order, 2);
}

/// A window that shrinks while everything is acknowledged is full of what nobody reads.
#[test]
fn a_receiver_whose_process_does_not_read() {
    let mut upload = Upload::at_server();
    upload.window = 10 * FULL;
    upload.acked(0, 1);
    for number in 0..8 {
        let at_us = 10 + u64::from(number) * 1000;
        upload.sends_full(at_us, number, 1);
        upload.window -= FULL;
        upload.acked(at_us + 10, 1 + (number + 1) * FULL);
    }
    upload.sends_full(100_010, 8, 1);
    // Half of the window was free until the sixth had arrived.
    let expected = [(receiver::NOT_READ, 95), (receiver::FLOW, 5)];
    assert_eq!(upload.receiver(), expected);
}

/// One that is used up, and opened as soon as something has arrived.
#[test]
fn a_receiver_whose_window_is_small() {
    let mut upload = Upload::at_server();
    upload.window = 2 * FULL;
    upload.acked(0, 1);
    for number in 0..5 {
        let at_us = 10 + u64::from(number) * 20_000;
        upload.sends_full(at_us, 2 * number, 2);
        upload.acked(at_us + 20, 1 + (2 * number + 2) * FULL);
    }
    assert_eq!(upload.receiver(), [(receiver::WINDOW, 80)]);
}

/// The wait in a queue shows in the time stamps.
#[test]
fn what_arrives_late_was_in_a_queue() {
    let mut upload = Upload::at_server();
    for number in 0..20_u32 {
        let at_us = u64::from(number) * 9_000;
        let stamp = Some(7000 + number * 6);
        upload.stamped(at_us, End::Client, (1 + number * FULL, FULL), 1, stamp);
    }
    let expected = [(receiver::LATE, 153), (receiver::FLOW, 18)];
    assert_eq!(upload.receiver(), expected);
    assert_eq!(
        upload.sample().gauges.max_delay_ms,
        0,
        "since the last sample"
    );
}
