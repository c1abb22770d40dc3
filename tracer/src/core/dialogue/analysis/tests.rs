//! Hand-written conversations, each segment with the term of Wireshark's User's Guide.

use upload_protocol::{End, Flags};

use super::Analysis::{self, *};
use crate::core::{dialogue::Dialogue, segment::Segment};

const MS: u64 = 1_000_000;

/// A segment: when, from whom, seen leaving or not, flags, seq, ack, payload length, window.
type Line = (u64, End, bool, u16, u32, u32, u32, u16);

/// The remark on each of the segments, after a handshake that took 10 ms.
fn remarks(lines: &[Line]) -> Vec<Vec<Analysis>> {
    let handshake = [
        (0, End::Client, true, Flags::SYN, 1000, 0, 0, 500),
        (
            9 * MS,
            End::Server,
            false,
            Flags::SYN | Flags::ACK,
            7000,
            1001,
            0,
            500,
        ),
        (10 * MS, End::Client, true, Flags::ACK, 1001, 7001, 0, 500),
    ];
    let mut dialogue = Dialogue::default();
    for line in handshake.iter().chain(lines) {
        let (mono_ns, from, leaving, flags, seq, ack, len, window) = *line;
        let mut segment = segment(from, leaving, flags, (seq, ack), len, window);
        segment.mono_ns = mono_ns;
        dialogue.observe(from, false, segment);
    }
    let settled = dialogue.settle(u64::MAX, true);
    let analysed = settled.into_iter().skip(3);
    analysed.map(|segment| segment.position.analysis).collect()
}

/// An IPv4 packet, parsed as it comes from the kernel.
fn segment(
    from: End,
    leaving: bool,
    flags: u16,
    (seq, ack): (u32, u32),
    len: u32,
    window: u16,
) -> Box<Segment> {
    let (source, destination) = match from {
        End::Client => (1_u8, 2_u8),
        End::Server => (2, 1),
    };
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0];
    packet.extend([10, 0, 0, source, 10, 0, 0, destination]);
    packet.extend([0, source, 0, destination]);
    packet.extend(seq.to_be_bytes());
    packet.extend(ack.to_be_bytes());
    packet.extend((5 << 12 | flags).to_be_bytes());
    packet.extend(window.to_be_bytes());
    packet.extend([0; 4]);
    Segment::parse(&packet, 40 + len, leaving, false)
        .unwrap()
        .keep(true)
}

fn check(lines: &[Line], expected: &[&[Analysis]]) {
    assert_eq!(remarks(lines), expected);
}

const ACK: u16 = Flags::ACK;

#[test]
fn a_segment_sent_again() {
    let line = |at, ack| (at, End::Client, true, ACK, 1001, ack, 100, 500);
    check(
        &[line(11 * MS, 7001), line(300 * MS, 7001)],
        &[&[], &[Retransmission]],
    );
}

#[test]
fn a_segment_overtaken_on_the_way() {
    let server = |at, seq| (at, End::Server, false, ACK, seq, 1001, 100, 500);
    check(
        &[
            server(11 * MS, 7101),
            server(12 * MS, 7001),
            server(13 * MS, 7201),
        ],
        &[&[PreviousSegmentNotSeen], &[OutOfOrder], &[]],
    );
}

#[test]
fn a_hole_filled_after_a_round_trip_is_a_retransmission() {
    let server = |at, seq| (at, End::Server, false, ACK, seq, 1001, 100, 500);
    check(
        &[server(11 * MS, 7101), server(22 * MS, 7001)],
        &[&[PreviousSegmentNotSeen], &[Retransmission]],
    );
}

#[test]
fn out_of_order_leaving_its_socket_is_a_retransmission() {
    let client = |at, seq| (at, End::Client, true, ACK, seq, 7001, 100, 500);
    check(
        &[
            client(11 * MS, 1001),
            client(11 * MS + 1, 1101),
            client(12 * MS, 1001),
        ],
        &[&[], &[], &[Retransmission]],
    );
}

#[test]
fn a_retransmission_after_duplicate_acks_is_fast() {
    let client = |at, seq| (at, End::Client, true, ACK, seq, 7001, 100, 500);
    let server = |at, ack| (at, End::Server, false, ACK, 7001, ack, 0, 500);
    check(
        &[
            client(11 * MS, 1001),
            server(20 * MS, 1101),
            client(21 * MS, 1101),
            client(22 * MS, 1201),
            client(23 * MS, 1301),
            server(31 * MS, 1101),
            server(32 * MS, 1101),
            client(33 * MS, 1101),
        ],
        &[
            &[],
            &[],
            &[],
            &[],
            &[],
            &[DuplicateAck],
            &[DuplicateAck],
            &[FastRetransmission],
        ],
    );
}

#[test]
fn a_retransmission_of_acknowledged_bytes_is_spurious() {
    let client = |at| (at, End::Client, true, ACK, 1001, 7001, 100, 500);
    let server = (20 * MS, End::Server, false, ACK, 7001, 1101, 0, 500);
    check(
        &[client(11 * MS), server, client(300 * MS)],
        &[&[], &[], &[SpuriousRetransmission]],
    );
}

/// A capture begins with the acknowledgment of bytes that come again.
#[test]
fn the_first_segment_of_a_capture_may_be_spurious() {
    let mut dialogue = Dialogue::default();
    for (from, seq, ack) in [(End::Client, 1001, 7101), (End::Server, 7001, 1101)] {
        let segment = segment(from, false, ACK, (seq, ack), 100, 500);
        dialogue.observe(from, false, segment);
    }
    let settled = dialogue.settle(u64::MAX, true);
    assert_eq!(settled[1].position.analysis, [SpuriousRetransmission]);
}

#[test]
fn the_answer_to_a_keep_alive() {
    let probe = |at| (at, End::Client, true, ACK, 1100, 7001, 0, 500);
    let answer = |at| (at, End::Server, false, ACK, 7001, 1101, 0, 500);
    check(
        &[
            (11 * MS, End::Client, true, ACK, 1001, 7001, 100, 500),
            answer(20 * MS),
            probe(1000 * MS),
            answer(1001 * MS),
            probe(2000 * MS),
            answer(2001 * MS),
            answer(2002 * MS),
        ],
        &[
            &[],
            &[],
            &[KeepAlive],
            &[KeepAliveAck],
            &[KeepAlive],
            &[KeepAliveAck],
            // Nothing came between.
            &[KeepAliveAck],
        ],
    );
}

/// Linux probes with an old number, as a keep-alive does; others with the next byte.
#[test]
fn a_window_that_closes_and_opens() {
    let client = |at, seq, len| (at, End::Client, true, ACK, seq, 7001, len, 500);
    let server = |at, window| (at, End::Server, false, ACK, 7001, 1501, 0, window);
    check(
        &[
            client(11 * MS, 1001, 500),
            server(20 * MS, 0),
            client(300 * MS, 1500, 0),
            server(310 * MS, 0),
            client(600 * MS, 1501, 1),
            server(610 * MS, 0),
            server(620 * MS, 400),
            client(630 * MS, 1501, 400),
        ],
        &[
            &[WindowFull],
            &[ZeroWindow],
            &[KeepAlive],
            &[ZeroWindow],
            &[ZeroWindowProbe],
            &[ZeroWindow, ZeroWindowProbeAck],
            &[WindowUpdate],
            &[WindowFull],
        ],
    );
}

/// Once for the same bytes.
#[test]
fn an_acknowledgment_of_bytes_that_were_not_seen() {
    let server = |at, ack| (at, End::Server, false, ACK, 7001, ack, 0, 500);
    check(
        &[
            (11 * MS, End::Client, true, ACK, 1001, 7001, 100, 500),
            server(20 * MS, 1301),
            server(21 * MS, 1301),
            (22 * MS, End::Client, true, ACK, 1301, 7001, 100, 500),
        ],
        &[
            &[],
            &[AckedUnseenSegment],
            &[DuplicateAck],
            &[PreviousSegmentNotSeen],
        ],
    );
}

/// A repeated SYN or FIN is acknowledged and carries no byte that could have been.
#[test]
fn a_fin_sent_again_after_its_acknowledgment_is_no_spurious_retransmission() {
    let fin = |at| (at, End::Client, true, ACK | Flags::FIN, 1001, 7001, 0, 500);
    let server = (20 * MS, End::Server, false, ACK, 7001, 1002, 0, 500);
    check(
        &[fin(11 * MS), server, fin(300 * MS)],
        &[&[], &[], &[Retransmission]],
    );
}

#[test]
fn the_last_of_a_stream_was_overtaken_by_nothing() {
    let server = |at, seq, len| (at, End::Server, false, ACK, seq, 1001, len, 500);
    // An acknowledgment that has no number of its own came first.
    check(
        &[
            server(11 * MS, 7201, 0),
            server(12 * MS, 7001, 100),
            server(13 * MS, 7101, 100),
        ],
        &[&[PreviousSegmentNotSeen], &[OutOfOrder], &[Retransmission]],
    );
}

#[test]
fn a_retransmission_is_fast_where_acknowledged_bytes_were_not_seen() {
    let server = |at, seq, len| (at, End::Server, false, ACK, seq, 2000, len, 500);
    check(
        &[server(11 * MS, 7101, 100), server(12 * MS, 7001, 100)],
        &[
            &[PreviousSegmentNotSeen, AckedUnseenSegment],
            &[FastRetransmission],
        ],
    );
}

#[test]
fn numbers_half_the_space_apart() {
    const HALF: u32 = 1 << 31;
    let client = |at, seq, ack| (at, End::Client, false, ACK, seq, ack, 100, 500);
    let server = |at, seq, ack| (at, End::Server, false, ACK, seq, ack, 100, 500);
    check(
        &[
            client(11 * MS, 1001, 7001),
            client(12 * MS, 1101 + HALF, 7001),
            server(13 * MS, 7001, 1101 + HALF),
        ],
        &[
            &[],
            &[PreviousSegmentNotSeen, SpuriousRetransmission],
            &[AckedUnseenSegment],
        ],
    );
}
