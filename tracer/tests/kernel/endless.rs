//! A tracer that runs without end: bounded in memory, whatever comes.

use std::net::{Ipv4Addr, TcpListener};

use crate::{
    churn::{PORT, pair, within},
    lab::Lab,
    listened::Listened,
};

#[test]
fn more_connections_than_may_be_kept() {
    const MOST: usize = 64;
    const OPEN: usize = 300;
    let lab = Lab::new();
    let tracer = Listened::start(&lab, &["--max-connections", &MOST.to_string()]);
    let held: Vec<_> = within(&lab, || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap();
        (0..OPEN).map(|_| pair(&listener)).collect()
    });
    tracer.wait_until_told(&lab);
    let dropped = tracer.said(|said| said.timelines);
    assert!(dropped >= (OPEN - MOST) as u64, "{dropped} dropped");
    drop(held);
    let said = tracer.stop();
    assert_eq!(said.whole, 0);
    assert!(said.lost("table") >= dropped);
    assert_eq!(said.lost("ring"), 0);
}
