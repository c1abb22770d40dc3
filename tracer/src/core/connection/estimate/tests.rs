//! Estimates of made-up segments: what waited for what, in milliseconds.

mod receiving;

use tracer_ebpf::record::{LimitTimes, Limits, sender};
use upload_protocol::{End, Flags};
use zerocopy::FromZeros as _;

use super::{Estimate, Seen, Shown, TimeOut, Vantage};
use crate::core::dialogue::{Milestone, MilestoneOptions};

const MS: u64 = 1_000_000;
/// A full segment.
const FULL: u32 = 1000;

/// The payload of a client; times are in microseconds.
struct Upload {
    estimate: Estimate,
    shown: Vec<Shown>,
    window: u32,
}

fn step(at_us: u64, from: End, flags: u16) -> Milestone {
    Milestone {
        mono_ns: at_us * 1000,
        seq: 0,
        ack: 0,
        len: 0,
        window: 0,
        options: MilestoneOptions::default(),
        flags: Flags(flags),
        from,
        seen_leaving: false,
        is_retransmission: false,
        is_captured: true,
    }
}

/// A handshake, captured where it is so far to the client and to the server, and back.
fn handshake(client_us: u64, server_us: u64) -> [Milestone; 3] {
    [
        step(1, End::Client, Flags::SYN),
        step(1 + server_us, End::Server, Flags::SYN | Flags::ACK),
        step(1 + server_us + client_us, End::Client, Flags::ACK),
    ]
}

fn vantage(client_us: u64, server_us: u64) -> Vantage {
    Vantage::of(&handshake(client_us, server_us)).unwrap()
}

impl Upload {
    /// Captured at the client's end, 20 ms from the server.
    fn at_client() -> Self {
        Self::at(vantage(100, 20_000))
    }

    fn at_server() -> Self {
        Self::at(vantage(20_000, 100))
    }

    fn at(vantage: Vantage) -> Self {
        Self {
            estimate: Estimate::new(End::Client, vantage, FULL),
            shown: Vec::new(),
            window: 1 << 20,
        }
    }

    fn pass(&mut self, at_us: u64, from: End, (seq, len): (u32, u32), ack: u32) -> &mut Self {
        self.stamped(at_us, from, (seq, len), ack, None)
    }

    fn stamped(
        &mut self,
        at_us: u64,
        from: End,
        (seq, len): (u32, u32),
        ack: u32,
        tsval: Option<u32>,
    ) -> &mut Self {
        let seen = Seen {
            // Not at 0, which stands for never.
            mono_ns: (1000 + at_us) * 1000,
            from,
            seq,
            len,
            is_fin: false,
            ack: Some(ack),
            window: self.window,
            has_dsack: false,
            tsval,
        };
        self.shown.push(self.estimate.observe(&seen));
        self
    }

    /// The client sends.
    fn sends(&mut self, at_us: u64, seq: u32, len: u32) -> &mut Self {
        self.pass(at_us, End::Client, (seq, len), 1)
    }

    /// The client sends so many full segments at once.
    fn sends_full(&mut self, at_us: u64, first: u32, count: u32) -> &mut Self {
        for number in first..first + count {
            self.sends(at_us, 1 + number * FULL, FULL);
        }
        self
    }

    /// The server acknowledges up to here.
    fn acked(&mut self, at_us: u64, ack: u32) -> &mut Self {
        self.pass(at_us, End::Server, (1, 0), ack)
    }

    fn sample(&mut self) -> Limits {
        let mut limits = Limits::new_zeroed();
        self.estimate.add_to(&mut limits, 0);
        limits
    }

    fn times(&mut self) -> LimitTimes {
        self.sample().times
    }

    /// The sender's times of a millisecond and more.
    fn sender(&mut self) -> Vec<(usize, u64)> {
        milliseconds(&self.times().sender)
    }

    /// The same of what the receiver saw.
    fn receiver(&mut self) -> Vec<(usize, u64)> {
        milliseconds(&self.times().receiver)
    }
}

fn milliseconds(times: &[u64]) -> Vec<(usize, u64)> {
    let all = times.iter().map(|ns| (ns + MS / 2) / MS).enumerate();
    all.filter(|(_, ms)| *ms > 0).collect()
}

#[test]
fn a_capture_is_near_the_end_that_answers_it_sooner() {
    for ((client_us, server_us), near, is_near_both) in [
        ((100, 20_000), End::Client, false),
        ((20_000, 100), End::Server, false),
        ((5_000, 15_000), End::Client, false),
        ((15_000, 5_000), End::Server, false),
        // In a small network, every segment is where it goes at once.
        ((50, 50), End::Client, true),
        ((200, 50), End::Client, true),
    ] {
        let vantage = vantage(client_us, server_us);
        assert!(vantage.is_near(near), "{client_us} µs and {server_us} µs");
        assert_eq!(vantage.is_near(near.other()), is_near_both);
        assert_eq!(vantage.rtt_ns(), (client_us + server_us) * 1000);
    }
}

#[test]
fn without_the_whole_handshake_no_vantage_point_is_known() {
    let all = handshake(100, 20_000);
    for missing in 0..all.len() {
        let mut some = all.to_vec();
        some.remove(missing);
        assert_eq!(Vantage::of(&some), None, "without {missing}");
    }
}

/// A SYN that was lost is not what the SYN-ACK answers.
#[test]
fn a_syn_that_is_sent_again_is_no_longer_way() {
    let mut steps = vec![step(1, End::Client, Flags::SYN)];
    for mut step in handshake(100, 20_000) {
        step.mono_ns += 1000 * MS;
        steps.push(step);
    }
    assert_eq!(Vantage::of(&steps), Some(vantage(100, 20_000)));
}

/// A segment that is not full leaves nothing to send.
#[test]
fn a_process_that_gives_nothing() {
    let mut idle = Upload::at_client();
    idle.sends(0, 1, 500).acked(20_000, 501);
    idle.sends(120_000, 501, 500);
    let expected = [(sender::IDLE, 100), (sender::APPLICATION, 20)];
    assert_eq!(idle.sender(), expected);
}

#[test]
fn a_process_that_waits_for_its_peer() {
    let mut upload = Upload::at_client();
    upload.sends(0, 1, 1500);
    upload.pass(20_000, End::Server, (1, 13), 1501);
    upload.sends(20_300, 1501, 1500);
    assert_eq!(upload.sender(), [(sender::LOCKSTEP, 20)]);
}

/// Whether the process waited for its peer shows when payload leaves.
#[test]
fn what_no_payload_has_decided_is_kept_apart() {
    let mut upload = Upload::at_client();
    upload.sends(0, 1, 500).acked(20_000, 501);
    upload.pass(520_000, End::Server, (1, 100), 501);
    let times = upload.times();
    assert_eq!(times.sender.iter().sum::<u64>(), 0);
    assert_eq!(times.undecided.map(|ns| ns / MS), [500, 20]);
}

/// A congestion window lets as much leave as is acknowledged; pacing does not wait for that.
#[test]
fn a_full_path() {
    let mut clocked = Upload::at_client();
    clocked.sends_full(0, 0, 10);
    for number in 0..10 {
        let at_us = 20_000 + u64::from(number) * 1000;
        clocked.acked(at_us, 1 + (number + 1) * FULL);
        clocked.sends(at_us + 50, 1 + (10 + number) * FULL, FULL);
    }
    assert_eq!(clocked.sender(), [(sender::CONGESTION_WINDOW, 29)]);
    let mut paced = Upload::at_client();
    for number in 0..10 {
        paced.sends(u64::from(number) * 1000, 1 + number * FULL, FULL);
    }
    assert_eq!(paced.sender(), [(sender::PACING, 9)]);
}

#[test]
fn a_round_trip_is_from_a_segment_to_its_acknowledgment() {
    let mut upload = Upload::at_client();
    upload.sends(0, 1, FULL).acked(50_000, 1 + FULL);
    // Not of one that was sent again (Karn's algorithm).
    upload.sends_full(60_000, 1, 1).sends_full(90_000, 1, 1);
    upload.acked(91_000, 1 + 2 * FULL);
    let sample = upload.sample();
    let rtts = (sample.gauges.srtt_sum_us, sample.gauges.srtt_samples);
    assert_eq!(rtts, (50_000, 1));
    assert_eq!(sample.min_rtt_us, 20_100, "the handshake's");
}

#[test]
fn without_a_sample_the_round_trip_is_the_handshake_s() {
    let mut upload = Upload::at_server();
    upload.sends(0, 1, FULL).acked(10, 1 + FULL);
    let sample = upload.sample();
    let rtts = (sample.gauges.srtt_sum_us, sample.gauges.srtt_samples);
    assert_eq!(rtts, (20_100, 1));
}

#[test]
fn a_window_that_is_used_up() {
    let mut small = Upload::at_client();
    small.window = 2 * FULL;
    small.acked(0, 1).sends_full(100, 0, 2);
    small.acked(20_100, 1 + 2 * FULL).sends_full(20_200, 2, 1);
    assert_eq!(small.sender(), [(sender::WINDOW, 20)]);
    let mut closed = Upload::at_client();
    closed.window = 500;
    closed.acked(0, 1).sends(100, 1, 500);
    closed.window = 0;
    closed.acked(20_100, 501);
    closed.window = 10 * FULL;
    closed.acked(1_020_100, 501).sends(1_020_200, 501, FULL);
    assert_eq!(closed.sender(), [(sender::ZERO_WINDOW, 1020)]);
}

#[test]
fn less_than_a_segment_waits_for_an_acknowledgment() {
    let mut upload = Upload::at_client();
    upload.sends(0, 1, 350).acked(40_000, 351);
    upload.sends(40_100, 351, 350);
    assert_eq!(upload.sender(), [(sender::NAGLE, 40)]);
}

/// Acknowledgments release nothing until a good part of the buffer is free; then the process fills it again.
#[test]
fn a_send_buffer_that_was_full() {
    let mut upload = Upload::at_client();
    upload.sends_full(0, 0, 20);
    for number in 1..=14 {
        upload.acked(20_000 + u64::from(number) * 1000, 1 + number * FULL);
    }
    upload.sends_full(34_800, 20, 1);
    assert_eq!(upload.sender(), [(sender::SEND_BUFFER, 35)]);
    assert_eq!(upload.sample().send_buffer, 20 * FULL);
}

#[test]
fn an_acknowledgment_of_many_that_releases_as_many_is_a_congestion_window_s() {
    let mut upload = Upload::at_client();
    upload.sends_full(0, 0, 20).acked(34_000, 1 + 14 * FULL);
    upload.sends_full(34_100, 20, 1);
    assert_eq!(upload.sender(), [(sender::CONGESTION_WINDOW, 34)]);
}

#[test]
fn what_is_sent_again_is_recovery_until_everything_is_acknowledged() {
    let mut upload = Upload::at_client();
    upload.sends_full(0, 0, 5).acked(20_000, 1).acked(20_100, 1);
    upload.sends_full(20_200, 0, 1).acked(40_200, 1 + 5 * FULL);
    upload.sends_full(40_300, 5, 1);
    let expected = [(sender::CONGESTION_WINDOW, 20), (sender::RECOVERY, 20)];
    assert_eq!(upload.sender(), expected);
    assert_eq!(upload.sample().total_retrans, 1);
}

/// Nothing passed for as long as the timer runs.
#[test]
fn a_retransmission_after_a_silence_is_the_timer_s() {
    let mut upload = Upload::at_client();
    upload.sends_full(0, 0, 2).sends_full(300_000, 0, 1);
    upload.acked(320_000, 1 + 2 * FULL);
    upload.sends_full(320_100, 2, 1);
    assert_eq!(upload.sender(), [(sender::TIMEOUT, 320)]);
    let time_out = upload.shown.iter().find_map(|shown| shown.time_out);
    let expected = TimeOut {
        acked: 1,
        len: FULL,
    };
    assert_eq!(time_out, Some(expected));
}

/// The last segment alone, sent again soon, asks whether something is missing (RFC 8985).
#[test]
fn a_probe_is_no_recovery() {
    let mut upload = Upload::at_client();
    upload.sends_full(0, 0, 4).sends_full(50_000, 3, 1);
    upload.acked(70_000, 1 + 4 * FULL);
    upload.sends_full(70_100, 4, 1);
    assert_eq!(upload.sender(), [(sender::CONGESTION_WINDOW, 70)]);
}

/// Segments that left TCP earlier than they pass wait in a queue of their machine.
#[test]
fn a_queue_of_the_sender_s_machine() {
    let mut upload = Upload::at_client();
    for number in 0..20_u32 {
        let at_us = u64::from(number) * 10_000;
        let stamp = Some(7000 + number * 6);
        upload.stamped(at_us, End::Client, (1 + number * FULL, FULL), 1, stamp);
    }
    // The second waited for 4 ms, and a quarter of the round trip is 5.
    let expected = [(sender::PACING, 10), (sender::QUEUE, 180)];
    assert_eq!(upload.sender(), expected);
}

/// Between the ends, an acknowledgment releases what passes a round trip to the sender later.
#[test]
fn a_capture_between_the_ends_knows_what_the_sender_had_received() {
    let mut upload = Upload::at(vantage(8_000, 12_000));
    upload.sends_full(0, 0, 4).acked(12_000, 1 + FULL);
    upload.sends_full(20_050, 4, 1);
    assert_eq!(upload.sender(), [(sender::CONGESTION_WINDOW, 20)]);
    assert_eq!(upload.sample().min_rtt_us, 20_000);
}

/// The same queue, seen behind the path to the sender, is one of the path, and part of the round trip.
#[test]
fn a_queue_before_a_capture_between_the_ends() {
    let mut upload = Upload::at(vantage(8_000, 12_000));
    for number in 0..20_u32 {
        let at_us = u64::from(number) * 10_000;
        let stamp = Some(7000 + number * 6);
        let payload = (1 + number * FULL, FULL);
        upload.stamped(at_us, End::Client, payload, 1, stamp);
    }
    upload.acked(202_000, 1 + 20 * FULL);
    upload.sends_full(210_100, 20, 1);
    let sample = upload.sample();
    assert_eq!(sample.times.sender[sender::QUEUE], 0);
    assert!(sample.times.sender[sender::CONGESTION_WINDOW] >= 180 * MS);
    // 210 ms from the first segment, and 76 that the last of those waited.
    let rtts = (sample.gauges.srtt_sum_us, sample.gauges.srtt_samples);
    assert_eq!(rtts, (286_000, 1));
}

#[test]
fn segments_of_one_size_are_full_where_the_path_carries_no_more() {
    let mut upload = Upload::at_client();
    for number in 0..9 {
        upload.sends(u64::from(number) * 1000, 1 + number * 900, 900);
    }
    assert_eq!(upload.sample().mss, 900);
}

/// A sample is due where payload turns, and now and then.
#[test]
fn samples_are_taken_as_a_kernel_takes_them() {
    let mut upload = Upload::at_client();
    upload.sends(0, 1, 500).acked(50_000, 501);
    upload.pass(60_000, End::Server, (1, 10), 501);
    upload.sends(160_000, 501, 500);
    let due: Vec<bool> = upload.shown.iter().map(|shown| shown.is_due).collect();
    assert_eq!(due, [false, false, true, true]);
    assert!(upload.estimate.is_due_at_end(200 * MS));
    assert!(!upload.estimate.is_due_at_end(50 * MS));
}
