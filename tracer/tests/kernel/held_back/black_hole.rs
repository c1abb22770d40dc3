//! A path that drops large packets, and whose router does not say so.

use super::{
    ends,
    named::{PORT, assert_named, assert_says, diagnosis, set, tracer},
};
use crate::{
    lab::{Lab, Neighbour, run},
    trace::{Trace, number},
};

/// Packets of more than 1,000 bytes are dropped before they reach the other end, without a word.
fn drop_large_packets(lab: &Lab, neighbour: &Neighbour) {
    let ip = "link set wire gso_max_segs 1";
    run(lab.inside("ip").args(ip.split(' ')));
    let drop = "add table ip hole; \
                add chain ip hole before { type filter hook prerouting priority -300; }; \
                add rule ip hole before ip length > 1000 drop";
    run(neighbour.inside("nft").arg(drop));
}

/// One upload with curl to the neighbour; whether it went well.
fn upload_to(lab: &Lab, neighbour: &Neighbour, bytes: usize) -> (Trace, bool) {
    let server = ends(neighbour.inside("python3"), "server", (PORT, "-"), "");
    let mut tracer = tracer(lab);
    let file = lab.file("file", bytes);
    let url = format!("http://{}:{PORT}/", Neighbour::ADDRESS);
    let uploaded = lab.curl(&["-H", "Expect:", "-T", file.to_str().unwrap(), &url]);
    // Its socket may wait for a client that is gone.
    drop(server);
    tracer.wait_for_timelines(1);
    (tracer.stop(), uploaded.status.success())
}

#[test]
fn an_mtu_black_hole() {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    drop_large_packets(&lab, &neighbour);
    set(lab.inside("sysctl"), "tcp_retries2=5");
    let (trace, went_well) = upload_to(&lab, &neighbour, 2_000_000);
    assert!(!went_well, "it never ended");
    let found = diagnosis(&trace);
    assert_named(found, "loss", "mtu_black_hole");
    let hole = &found["evidence"]["black_hole"];
    assert_eq!(hole["dropped_bytes"], 1448);
    assert_eq!(hole["mss_fell"], false);
    assert!(number(&hole["time_outs"]) >= 4, "{hole}");
    let passed = number(&hole["passed_bytes"]);
    assert!((80..200).contains(&passed), "the request's head: {hole}");
    let last = format!("more than {passed} bytes of payload was ever acknowledged");
    assert_says(found, "advice", &last);
}

#[test]
fn an_mtu_black_hole_that_the_kernel_finds() {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    drop_large_packets(&lab, &neighbour);
    set(lab.inside("sysctl"), "tcp_mtu_probing=1");
    set(lab.inside("sysctl"), "tcp_base_mss=512");
    let (trace, went_well) = upload_to(&lab, &neighbour, 200_000);
    assert!(went_well);
    let found = diagnosis(&trace);
    assert_named(found, "loss", "mtu_black_hole");
    let hole = &found["evidence"]["black_hole"];
    assert_eq!(hole["dropped_bytes"], 1448);
    assert_eq!(hole["mss_fell"], true);
    let passed = number(&hole["passed_bytes"]);
    assert!((400..960).contains(&passed), "{hole}");
}
