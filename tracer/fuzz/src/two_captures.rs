//! Two captures of one conversation, made at two places: surveyed, their clocks aligned, merged, and through the
//! whole core and every sink. The input is the length of the first one, and both.

use tracer::internals::core::{
    output::Output,
    packet::Packet,
    pipeline::Pipeline,
    points::{Found, Points, Survey},
};
use upload_protocol::timeline::{Passage, Transit};

use crate::capture::{Timed, check_packets, packets, summary};

const NAMES: [&str; 2] = ["first.pcap", "second.pcap"];

/// As of one capture; and what became of the segments between the two adds up.
pub fn check(bytes: &[u8]) {
    let Some((length, captures)) = bytes.split_first_chunk() else {
        return;
    };
    let first = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (first, second) = captures.split_at(first.min(captures.len()));
    let both = [packets(first), packets(second)];
    let (both, points) = survey(both);
    let (begin_ns, merged) = merge(both, points.as_ref());
    let read = [0, 1].map(|point| {
        merged
            .iter()
            .filter(|packet| packet.capture == point)
            .count()
    });
    let pipeline = || match &points {
        Some(points) => Pipeline::new(true).with_points(points.clone()),
        None => Pipeline::new(true),
    };
    let outputs = check_packets(begin_ns, merged.into_iter(), pipeline);
    check_clocks(&outputs, points.as_ref());
    for output in &outputs {
        if let Output::Timeline(timeline) = output
            && let Some(transit) = &timeline.transit
        {
            check_transit(transit, read);
        }
    }
}

/// Two captures as input of [`check`].
#[must_use]
pub fn input(first: &[u8], second: &[u8]) -> Vec<u8> {
    let length = u32::try_from(first.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes(), first, second].concat()
}

/// What the captures are to each other. The second is left out if it holds the same.
fn survey(mut both: [Vec<Timed>; 2]) -> ([Vec<Timed>; 2], Option<Points>) {
    let mut survey = Survey::new(both.len());
    for (number, packets) in both.iter().enumerate() {
        for (time_ns, packet) in packets {
            survey.packet(number, *time_ns, packet);
        }
    }
    let names = NAMES.map(str::to_owned);
    let points = match survey.finish(&names) {
        Found::Points(points) => Some(*points),
        Found::Misaligned(_) => Some(Points::apart(names)),
        Found::Same(..) => {
            both[1].clear();
            None
        }
        Found::Apart {
            overlap,
            continues,
            rewritten,
        } => (overlap && (rewritten > 0 || !continues)).then(|| Points::apart(names)),
        Found::Pieces(_) | Found::TooMany(..) => panic!("there are two"),
    };
    (both, points)
}

/// The packets in the order of one clock, and what their times count from.
fn merge(both: [Vec<Timed>; 2], points: Option<&Points>) -> (u64, Vec<Packet<'static>>) {
    let mut number = 0;
    let both = both.map(|packets| {
        let capture = number;
        number += 1;
        let timed = packets.into_iter().map(move |(time_ns, packet)| {
            let time_ns = points.map_or(time_ns, |points| points.clocks.in_first(capture, time_ns));
            (time_ns, capture, packet)
        });
        timed.collect::<Vec<_>>().into_iter().peekable()
    });
    let [mut first, mut second] = both;
    let begins = [first.peek(), second.peek()];
    let begin_ns = begins.iter().flatten().map(|(time_ns, ..)| *time_ns).min();
    let begin_ns = begin_ns.unwrap_or_default();
    let mut merged = Vec::new();
    // Of two packets at one time, that of the first; within one capture, the order is the file's.
    while let Some((time_ns, capture, mut packet)) = {
        let is_second = second.peek().is_some_and(|(of_second, ..)| {
            first
                .peek()
                .is_none_or(|(of_first, ..)| of_second < of_first)
        });
        if is_second {
            second.next()
        } else {
            first.next()
        }
    } {
        packet.mono_ns = time_ns.saturating_sub(begin_ns);
        packet.capture = if points.is_some() { capture } else { 0 };
        merged.push(packet);
    }
    (begin_ns, merged)
}

fn check_clocks(outputs: &[Output], points: Option<&Points>) {
    let connections = points.map_or(0, Points::connections);
    let clocks = &summary(outputs).clocks;
    assert_eq!(clocks.is_some(), connections > 0);
    if let Some(clocks) = clocks {
        assert_eq!(clocks.connections, connections);
        assert!(clocks.segments >= 1, "{clocks:?}");
    }
}

fn check_transit(transit: &Transit, read: [usize; 2]) {
    let [near_client, near_server] = [0, 1].map(|at| usize::from(transit.captures[at].capture) - 1);
    assert_eq!(near_client + near_server, 1, "{transit:?}");
    check_passage(&transit.client_to_server, (near_client, near_server), read);
    check_passage(&transit.server_to_client, (near_server, near_client), read);
    let lost = [&transit.client_to_server, &transit.server_to_client]
        .map(|passage| passage.lost_between + passage.lost_beyond);
    let listed = transit.losses.len() as u64 + transit.losses_left_out;
    assert!(listed <= lost.iter().sum(), "{transit:?}");
}

/// No more passed a capture than it has.
fn check_passage(passage: &Passage, (from, to): (usize, usize), read: [usize; 2]) {
    let [sent, received] = [from, to].map(|point| read[point] as u64);
    assert!(passage.segments <= sent, "{passage:?}");
    assert!(passage.arrived <= passage.segments, "{passage:?}");
    assert!(passage.lost_beyond <= passage.arrived, "{passage:?}");
    assert!(
        passage.lost_between + passage.missing_at_receiver <= passage.segments,
        "{passage:?}"
    );
    assert!(
        passage.missing_at_sender + passage.duplicated <= received,
        "{passage:?}"
    );
    assert_eq!(passage.one_way_delay.is_some(), passage.arrived > 0);
    if let Some(delay) = passage.one_way_delay {
        assert!(
            delay.min_ns <= delay.mean_ns && delay.mean_ns <= delay.max_ns,
            "{delay:?}"
        );
    }
}
