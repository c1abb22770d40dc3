//! Conversations at two points, row by row, and what becomes of their segments.

use std::net::Ipv6Addr;

use upload_protocol::timeline::OneWayDelay;

use super::*;
use crate::core::segment::Carrier;

const MS: u64 = 1_000_000;
const SPANS: [(u64, u64); 2] = [(0, 60_000 * MS); 2];
const PSH: u16 = 8;

/// Who sends a segment.
#[derive(Clone, Copy, PartialEq)]
enum By {
    /// The first point is near it.
    Client,
    Server,
}

use By::{Client, Server};

/// A segment: its sender, its range of payload, its timestamp.
#[derive(Clone, Copy)]
struct Sent {
    from: By,
    range: (u32, u32),
    ack: u32,
    tsval: u32,
    identification: u16,
    sack: Option<(u32, u32)>,
}

const fn data(from: u32, to: u32, tsval: u32) -> Sent {
    Sent {
        from: Client,
        range: (from, to),
        ack: 1,
        tsval,
        identification: 0,
        sack: None,
    }
}

const fn ack(ack: u32, tsval: u32) -> Sent {
    Sent {
        from: Server,
        range: (1, 1),
        ack,
        tsval,
        identification: 0,
        sack: None,
    }
}

fn segment(sent: Sent, at_ns: u64) -> Box<Segment> {
    let len = sent.range.1 - sent.range.0;
    let mut options = Vec::new();
    if sent.tsval > 0 {
        options.extend([1, 1, 8, 10]);
        options.extend(sent.tsval.to_be_bytes());
        options.extend([0; 4]);
    }
    if let Some((left, right)) = sent.sack {
        options.extend([1, 1, 5, 10]);
        options.extend(left.to_be_bytes());
        options.extend(right.to_be_bytes());
    }
    let (source, destination) = if sent.from == Client { (1, 2) } else { (2, 1) };
    let mut packet = vec![0x45, 0, 0, 0];
    packet.extend(sent.identification.to_be_bytes());
    packet.resize(20, 0);
    packet.extend([0, source, 0, destination]);
    packet.extend(sent.range.0.to_be_bytes());
    packet.extend(sent.ack.to_be_bytes());
    let words = u8::try_from(5 + options.len() / 4).unwrap();
    let flags = Flags::ACK | if len > 0 { PSH } else { 0 };
    packet.extend([words << 4, u8::try_from(flags).unwrap(), 1, 0, 0, 0, 0, 0]);
    packet.extend(options);
    let address = Ipv6Addr::LOCALHOST;
    let carrier = Carrier {
        source: address,
        destination: address,
        ecn: 0,
        headers: 20,
        length: u32::try_from(packet.len()).unwrap() + len,
    };
    let mut segment = Segment::behind(&packet, &carrier).unwrap();
    segment.mono_ns = at_ns;
    segment.keep(true)
}

/// Of a segment: where its range begins, its delay in milliseconds, where it was lost, which capture lacks it.
type Told = (u32, Option<u64>, Option<LostAt>, Option<Point>);

/// What passed which point when, in milliseconds.
struct Talk(Crossings);

impl Talk {
    fn new() -> Self {
        let client = Address::new(Ipv6Addr::LOCALHOST, 1);
        Self(Crossings::new(client, SPANS))
    }

    fn pass(&mut self, point: Point, at_ms: u64, sent: Sent) {
        let near = usize::from(sent.from == Server);
        self.0
            .observe((point, point == near), segment(sent, at_ms * MS));
    }

    /// A segment that arrives.
    fn cross(&mut self, at_ms: u64, sent: Sent, took_ms: u64) {
        let near = usize::from(sent.from == Server);
        self.pass(near, at_ms, sent);
        self.pass(1 - near, at_ms + took_ms, sent);
    }

    /// What is known of the client's segments at the end, in the order sent.
    fn end(mut self, at_ms: u64) -> (Vec<Told>, Self) {
        let released = self.0.finish(at_ms * MS);
        let of_client = released
            .into_iter()
            .filter(|segment| segment.len > 0)
            .map(|segment| {
                let crossing = segment.crossing.unwrap();
                let delay = crossing.one_way_delay_ns.map(|delay| delay / MS);
                (segment.seq, delay, crossing.lost, crossing.missing_in)
            })
            .collect();
        (of_client, self)
    }

    fn passage(&self) -> Passage {
        self.0.passage(Address::new(Ipv6Addr::LOCALHOST, 1))
    }
}

#[test]
fn each_segment_has_its_delay() {
    let mut talk = Talk::new();
    talk.cross(0, data(1, 101, 5), 10);
    talk.pass(0, 20, data(101, 201, 6));
    talk.pass(0, 21, data(201, 301, 6));
    talk.pass(1, 31, data(101, 201, 6));
    talk.pass(1, 36, data(201, 301, 6));
    talk.cross(37, ack(301, 7), 10);
    let (segments, talk) = talk.end(50);
    let arrived = |seq, delay| (seq, Some(delay), None, None);
    assert_eq!(
        segments,
        [arrived(1, 10), arrived(101, 11), arrived(201, 15)]
    );
    let passage = talk.passage();
    assert_eq!((passage.segments, passage.arrived), (3, 3));
    let expected = OneWayDelay {
        min_ns: 10 * MS,
        mean_ns: 12 * MS,
        max_ns: 15 * MS,
    };
    assert_eq!(passage.one_way_delay, Some(expected));
}

/// A segment is released when it has arrived and is acknowledged, and not before the one before it.
#[test]
fn segments_are_released_in_the_order_sent() {
    let mut talk = Talk::new();
    let released = |talk: &mut Talk, at: u64| -> Vec<u32> {
        let released = talk.0.release(at * MS, usize::MAX);
        released.into_iter().map(|segment| segment.seq).collect()
    };
    talk.pass(0, 0, data(1, 101, 1));
    talk.pass(0, 1, data(101, 201, 1));
    talk.pass(1, 11, data(101, 201, 1));
    assert!(released(&mut talk, 11).is_empty());
    talk.pass(1, 12, data(1, 101, 1));
    assert!(released(&mut talk, 12).is_empty());
    talk.pass(1, 13, ack(201, 2));
    assert_eq!(released(&mut talk, 13), [1, 101]);
    assert_eq!(talk.passage().reordered, 1);
    assert!(!talk.0.is_empty(), "the acknowledgment is under way");
    talk.pass(0, 23, ack(201, 2));
    assert_eq!(released(&mut talk, 23), [1]);
    assert_eq!((talk.0.is_empty(), talk.0.held_bytes()), (true, 0));
}

/// A frame of 3,000 bytes is cut up on its way, and its pieces are put together in another way.
#[test]
fn frames_that_are_cut_up_and_put_together() {
    let mut talk = Talk::new();
    talk.pass(0, 0, data(1, 3001, 1));
    talk.pass(0, 1, data(3001, 4001, 1));
    talk.pass(1, 10, data(1, 1001, 1));
    talk.pass(1, 11, data(1001, 3501, 1));
    talk.pass(1, 12, data(3501, 4001, 1));
    talk.pass(1, 13, ack(4001, 2));
    let (segments, talk) = talk.end(50);
    let arrived = |seq, delay| (seq, Some(delay), None, None);
    assert_eq!(segments, [arrived(1, 11), arrived(3001, 11)]);
    assert_eq!(talk.passage().duplicated, 0);
}

/// The second thousand of a frame of three does not arrive, and is sent again.
#[test]
fn a_part_of_a_frame_is_lost() {
    let mut talk = Talk::new();
    talk.pass(0, 0, data(1, 3001, 1));
    talk.pass(1, 10, data(1, 1001, 1));
    talk.pass(1, 12, data(2001, 3001, 1));
    talk.cross(13, ack(1001, 2), 10);
    talk.cross(230, data(1001, 2001, 3), 10);
    talk.pass(1, 241, ack(3001, 4));
    let mut released = talk.0.finish(500 * MS).into_iter();
    let first = released.next().unwrap().crossing.unwrap();
    assert_eq!(first.lost, Some(LostAt::Between));
    assert_eq!(first.lost_bytes, Some((1000, 2000)));
    assert_eq!(first.one_way_delay_ns, None);
    let passage = talk.passage();
    assert_eq!((passage.lost_between, passage.lost_beyond), (1, 0));
}

#[test]
fn where_a_segment_was_lost() {
    let between = Some(LostAt::Between);
    let beyond = Some(LostAt::Beyond);
    let check = |rows: &dyn Fn(&mut Talk), expected: [Told; 2]| {
        let mut talk = Talk::new();
        rows(&mut talk);
        let (segments, _) = talk.end(1000);
        assert_eq!(segments, expected);
    };
    // It never comes to the second point; its copy does.
    check(
        &|talk| {
            talk.pass(0, 0, data(1, 101, 1));
            talk.cross(200, data(1, 101, 2), 10);
            talk.pass(1, 211, ack(101, 3));
        },
        [(1, None, between, None), (1, Some(10), None, None)],
    );
    // It passes the second point, as does its copy, and is acknowledged only then.
    check(
        &|talk| {
            talk.cross(0, data(1, 101, 1), 10);
            talk.cross(200, data(1, 101, 2), 10);
            talk.pass(1, 211, ack(101, 3));
        },
        [(1, Some(10), beyond, None), (1, Some(10), None, None)],
    );
    // The same, but the receiver says that it came twice: its acknowledgment was lost.
    check(
        &|talk| {
            talk.cross(0, data(1, 101, 1), 10);
            talk.cross(200, data(1, 101, 2), 10);
            talk.pass(
                1,
                211,
                Sent {
                    sack: Some((1, 101)),
                    ..ack(101, 3)
                },
            );
        },
        [(1, Some(10), None, None), (1, Some(10), None, None)],
    );
    // It is acknowledged before its copy arrives: the copy was not necessary.
    check(
        &|talk| {
            talk.cross(0, data(1, 101, 1), 10);
            talk.pass(1, 11, ack(101, 3));
            talk.cross(200, data(1, 101, 2), 10);
        },
        [(1, Some(10), None, None), (1, Some(10), None, None)],
    );
    // It is acknowledged and no copy of it was sent: the second capture lacks it.
    check(
        &|talk| {
            talk.pass(0, 0, data(1, 101, 1));
            talk.cross(1, data(101, 201, 1), 10);
            talk.pass(1, 12, ack(201, 3));
        },
        [(1, None, None, Some(1)), (101, Some(10), None, None)],
    );
    // The first capture lacks it.
    check(
        &|talk| {
            talk.pass(1, 10, data(1, 101, 1));
            talk.cross(1, data(101, 201, 1), 10);
        },
        [(1, None, None, Some(0)), (101, Some(10), None, None)],
    );
}

/// After the end of the other capture nobody knows what arrives.
#[test]
fn what_the_other_capture_did_not_watch_is_unknown() {
    let client = Address::new(Ipv6Addr::LOCALHOST, 1);
    let mut talk = Talk(Crossings::new(
        client,
        [(0, 5000 * MS), (100 * MS, 300 * MS)],
    ));
    talk.pass(0, 50, data(1, 101, 1));
    talk.cross(150, data(101, 201, 1), 10);
    talk.pass(0, 400, data(201, 301, 1));
    let (segments, talk) = talk.end(5000);
    let unknown = |seq| (seq, None, None, None);
    assert_eq!(
        segments,
        [unknown(1), (101, Some(10), None, None), unknown(201)]
    );
    assert_eq!(talk.passage().lost_between, 0);
}

/// Without timestamps, copies are told apart by their IP identifications, or by the delay before.
#[test]
fn copies_without_timestamps() {
    for identification in [0, 700_u16] {
        let mut talk = Talk::new();
        let sent = |number: u16| Sent {
            identification: if identification > 0 {
                identification + number * 100
            } else {
                0
            },
            ..data(101, 201, 0)
        };
        talk.cross(0, data(1, 101, 0), 10);
        talk.pass(0, 20, sent(0));
        talk.cross(220, sent(1), 12);
        talk.pass(1, 233, ack(201, 0));
        let (segments, _) = talk.end(1000);
        let lost = (101, None, Some(LostAt::Between), None);
        assert_eq!(
            segments[1..],
            [lost, (101, Some(12), None, None)],
            "{identification}"
        );
    }
}

#[test]
fn what_the_path_doubles_is_counted_once() {
    let mut talk = Talk::new();
    talk.cross(0, data(1, 101, 1), 10);
    talk.pass(1, 11, data(1, 101, 1));
    talk.cross(12, ack(101, 2), 10);
    talk.0.release(30 * MS, usize::MAX);
    talk.pass(1, 40, data(1, 101, 1));
    let (segments, talk) = talk.end(50);
    assert!(segments.is_empty());
    let passage = talk.passage();
    assert_eq!(
        (passage.segments, passage.arrived, passage.duplicated),
        (1, 1, 2)
    );
}

/// Little lies between the points, and the arrival has the earlier timestamp.
#[test]
fn an_arrival_that_seems_to_come_first() {
    let mut talk = Talk::new();
    let mut early = segment(data(1, 101, 1), 100 * MS);
    early.mono_ns -= 3000;
    talk.0.observe((1, false), early);
    talk.pass(0, 100, data(1, 101, 1));
    let (segments, talk) = talk.end(200);
    assert_eq!(segments, [(1, Some(0), None, None)]);
    assert_eq!(talk.passage().missing_at_sender, 0);
}

/// Too much is held: a segment is released before it arrives, and then counts with its delay.
#[test]
fn an_arrival_after_the_release() {
    let mut talk = Talk::new();
    talk.pass(0, 0, data(1, 101, 1));
    talk.pass(0, 1, data(101, 201, 1));
    let released = talk.0.release(MS, 0);
    let crossings = released
        .into_iter()
        .map(|segment| *segment.crossing.unwrap());
    assert!(
        crossings
            .into_iter()
            .all(|crossing| crossing == Crossing::default())
    );
    talk.pass(1, 10, data(1, 101, 1));
    talk.pass(1, 11, data(1, 101, 1));
    let (segments, talk) = talk.end(50);
    assert!(segments.is_empty());
    let passage = talk.passage();
    assert_eq!((passage.segments, passage.arrived), (2, 1));
    assert_eq!((passage.duplicated, passage.missing_at_sender), (1, 0));
    assert_eq!(passage.one_way_delay.unwrap().max_ns, 10 * MS);
}

#[test]
fn what_is_held_is_bounded() {
    let mut talk = Talk::new();
    let mut released = 0;
    for number in 0..20_000 {
        talk.pass(
            0,
            1 + u64::from(number) / 100,
            data(number * 10, number * 10 + 10, 1),
        );
        released += talk.0.release(0, 100_000).len();
        assert!(talk.0.held_bytes() <= 100_000);
    }
    assert!(released > 19_000);
    assert!(talk.0.by_one.under_way.len() < 1000);
}
