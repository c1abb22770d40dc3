//! What is lost is counted and said.

use std::{collections::HashMap, fs, ops::Range};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    churn::{churn, port},
    lab::{Lab, has_states_from_listen_on, wait_until},
    listened::{Listened, Tally},
    trace::number,
};

/// Two processors make records faster than they are read: what is lost is what the kernel counted,
/// and what was not touched, before, meanwhile and after, is right.
#[test]
fn a_small_ring_under_churn() {
    const EACH: u32 = 10_000;
    const UNTOUCHED: u32 = 100;
    let lab = Lab::new();
    let tracer = Listened::start(&lab, &["--ring-size", "65536"]);
    paced(&lab, &tracer, 0..UNTOUCHED);
    let reasons = tracer.tally(|tally| tally.reasons.clone());
    assert_eq!(
        tracer.tally(|tally| tally.whole),
        u64::from(UNTOUCHED),
        "{reasons:?}"
    );
    churn(&lab, &(0..EACH), 2);
    tracer.wait_until_reported(&lab);
    // The kernel is asked for those whose end was lost.
    wait_until(|| tracer.tally(Tally::is_all_reported));
    let before = tracer.tally(|tally| tally.whole);
    paced(&lab, &tracer, 0..UNTOUCHED);
    let after = tracer.tally(|tally| tally.whole);
    assert_eq!(after - before, u64::from(UNTOUCHED));

    let tally = tracer.stop();
    let lost = tally.lost("ring");
    eprintln!(
        "{} connections: {lost} of {} records lost, {} lines; {} told, {} of them whole; {:?}",
        2 * (EACH + UNTOUCHED),
        tally.summary()["emitted"],
        tally.lost("sink"),
        tally.timelines,
        tally.whole,
        tally.reasons,
    );
    assert_eq!(tally.open, 0);
    assert!(lost > 0, "the ring was large enough");
    assert!(tally.whole < u64::from(2 * (EACH + UNTOUCHED)));
}

/// No faster than they are told.
fn paced(lab: &Lab, tracer: &Listened, numbers: Range<u32>) {
    const AT_ONCE: u32 = 4;
    for from in numbers.clone().step_by(AT_ONCE as usize) {
        churn(lab, &(from..numbers.end.min(from + AT_ONCE)), 1);
        tracer.wait_until_reported(lab);
    }
}

/// A ring of one page holds some twenty records: a burst overflows it before it is read.
#[test]
fn a_ring_that_is_too_small() {
    const AT_ONCE: usize = 64;
    let lab = Lab::new();
    let server = lab.server(&[]);
    let tracer = lab.tracer(&["--ring-size", "4096"]);
    let file = lab.file("small", 100);
    let clients: Vec<_> = (0..AT_ONCE)
        .map(|number| {
            lab.inside("curl")
                .args(["--silent", "--upload-file"])
                .arg(&file)
                .arg(server.url(&format!("file-{number}")))
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut client in clients {
        assert!(client.wait().unwrap().success());
    }
    let trace = tracer.stop();

    let lines = trace.of("lost");
    let lost: u64 = lines.iter().map(|line| number(&line["count"])).sum();
    assert!(
        lines.iter().any(|line| line["hop"] == "ring"),
        "the ring was large enough"
    );
    assert_eq!(number(&trace.summary()["lost"]), lost);
    for line in lines {
        // Where much is interrupted, a program may be by itself.
        assert!(line["hop"] == "ring" || line["hop"] == "recursion");
        assert!(number(&line["from_ns"]) < number(&line["to_ns"]));
    }
    for timeline in trace.timelines() {
        let whole = timeline["complete"] == true;
        let states = trace
            .of("state")
            .iter()
            .filter(|line| line["connection"] == timeline["connection"])
            .count();
        let all = if has_states_from_listen_on() { 10 } else { 9 };
        assert!(
            !whole || states == all,
            "{states} states of a complete {timeline:#}"
        );
    }
    server.stop();
}

/// A tracer that gets no processor for a while: the first ring buffer, of 256 KiB, has no room for what happens
/// meanwhile, and the second has. Then both are read at once, while more happens.
#[test]
fn a_tracer_that_waits() {
    const EACH: u32 = 200;
    const LANES: u32 = 2;
    const ROUNDS: u32 = 5;
    /// A connection has more than 20 records with both ends here, each of more than 80 bytes.
    const LEAST_BYTES: u32 = 20 * 80;
    const { assert!(EACH * LANES * LEAST_BYTES > 2 * (256 << 10)) };
    let lab = Lab::new();
    let port = port().to_string();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--audit", "--port", &port]);
    let pid = Pid::from_raw(i32::try_from(tracer.pid()).unwrap()).unwrap();
    for _ in 0..ROUNDS {
        kill_process(pid, Signal::STOP).unwrap();
        wait_until(|| is_stopped(pid));
        churn(&lab, &(0..EACH), LANES);
        kill_process(pid, Signal::CONT).unwrap();
        churn(&lab, &(0..EACH), LANES);
        tracer.wait_for("timeline", (2 * EACH * LANES) as usize);
    }
    let trace = tracer.stop();
    let summary = trace.summary();
    assert_eq!(number(&summary["lost"]), 0);
    assert_eq!(summary["emitted"], summary["events"]);
    for timeline in trace.timelines() {
        assert_eq!(timeline["complete"], true, "{timeline}");
    }
    let mut states = HashMap::new();
    for line in trace.of("state") {
        let end = (line["connection"].as_str(), line["end"].as_str());
        if let Some(before) = states.insert(end, &line["new"]) {
            assert_eq!(*before, line["old"], "out of order: {line}");
        }
    }
    assert_eq!(states.len(), (4 * EACH * LANES * ROUNDS) as usize);
}

fn is_stopped(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('T'))
}
