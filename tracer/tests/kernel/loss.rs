//! What is lost is counted and said.

use crate::{
    lab::{Lab, is_told_from_listen_on},
    trace::number,
};

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

    let lost: u64 = trace
        .of("lost")
        .iter()
        .map(|line| number(&line["count"]))
        .sum();
    assert!(lost > 0, "the ring was large enough");
    assert_eq!(number(&trace.summary()["lost"]), lost);
    for line in trace.of("lost") {
        assert_eq!(line["hop"], "ring");
        assert!(number(&line["from_ns"]) < number(&line["to_ns"]));
    }
    for timeline in trace.timelines() {
        let whole = timeline["complete"] == true;
        let states = trace
            .of("state")
            .iter()
            .filter(|line| line["connection"] == timeline["connection"])
            .count();
        let all = if is_told_from_listen_on() { 10 } else { 9 };
        assert!(
            !whole || states == all,
            "{states} states of a complete {timeline:#}"
        );
    }
    server.stop();
}
