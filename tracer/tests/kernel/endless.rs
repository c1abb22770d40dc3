//! A tracer that runs without end: bounded in memory, whatever comes.

use std::{
    env,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
};

use crate::{
    churn::{churn, pair, port, within},
    lab::Lab,
    listened::Listened,
};

/// `cargo xtask endless` asks for a million.
#[test]
fn memory_does_not_grow_with_the_connections() {
    let all: u32 = env::var("ENDLESS_CONNECTIONS").map_or(20_000, |text| text.parse().unwrap());
    let first = 100_000.min(all / 2);
    let lab = Lab::new();
    let tracer = Listened::start(&lab, &[]);
    let before = paced(&lab, &tracer, 0..first);
    let after = paced(&lab, &tracer, first..all);
    let tally = tracer.stop();
    eprintln!(
        "{all} connections: {before} KiB after {first}, {after} KiB at the end; {} whole; of {} records {} lost",
        tally.whole,
        tally.summary()["emitted"],
        tally.lost("ring"),
    );
    assert!(after <= before + before / 10, "{before}, then {after} KiB");
    assert_eq!(tally.lost("sink"), 0);
    let touched = u64::from(all) - tally.whole;
    assert!(
        touched == 0 || tally.lost("ring") > 0,
        "{:?}",
        tally.reasons
    );
}

/// Connections no faster than they are told. Gives the tracer's memory at the end, in KiB: the least
/// of the last few looks, between which its allocator takes and gives back.
fn paced(lab: &Lab, tracer: &Listened, numbers: Range<u32>) -> u64 {
    const AT_ONCE: u32 = 500;
    const LOOKS: usize = 10;
    let mut memory = Vec::new();
    for from in numbers.clone().step_by(AT_ONCE as usize) {
        churn(lab, &(from..numbers.end.min(from + AT_ONCE)), 1);
        tracer.wait_until_reported(lab);
        memory.push(tracer.memory());
        if from % 50_000 == 0 {
            eprintln!("{from} connections: {:?} KiB", memory.last());
        }
    }
    *memory.iter().rev().take(LOOKS).min().unwrap()
}

#[test]
fn more_connections_than_may_be_kept() {
    const MAX: usize = 64;
    const OPEN: usize = 300;
    let lab = Lab::new();
    let tracer = Listened::start(&lab, &["--max-connections", &MAX.to_string()]);
    let held: Vec<_> = within(&lab, || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port())).unwrap();
        (0..OPEN).map(|_| pair(&listener)).collect()
    });
    tracer.wait_until_reported(&lab);
    let dropped = tracer.tally(|tally| tally.timelines);
    assert!(dropped >= (OPEN - MAX) as u64, "{dropped} dropped");
    drop(held);
    let tally = tracer.stop();
    assert_eq!(tally.whole, 0);
    assert!(tally.lost("table") >= dropped);
    assert_eq!(tally.lost("ring"), 0);
}
