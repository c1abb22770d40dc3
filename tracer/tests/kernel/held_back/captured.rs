//! The same uploads traced by the kernel and captured by tcpdump at both ends: their segments say the same.

use serde_json::{Value, json};

use super::{Case, Kind, SLOW_ENDS, SLOW_WIRES, Seen, Uploads, port, share_of};
use crate::{
    captures::{read, stop_after, trace_of},
    lab::Lab,
    wire::Capture,
};

/// One upload of each kind of cause, and one that nothing holds back.
const NAMES: [&str; 5] = [
    "the process gives 1 MB/s",
    "the process reads 1 MB/s",
    "a server that works for a second",
    "10 MB in a few round trips",
    "8 Mbit/s, cubic",
];

#[test]
fn segments_say_what_the_kernel_measured() {
    if !Kind::Tun.is_possible() {
        return;
    }
    let all = || SLOW_ENDS.iter().chain(SLOW_WIRES);
    let cases: Vec<&Case> = all().filter(|case| NAMES.contains(&case.name)).collect();
    assert_eq!(cases.len(), NAMES.len());
    // As everywhere here: what is told wrong is tried once more.
    let again = wrong_ones(&cases);
    let again: Vec<&Case> = again.iter().map(|(case, _)| *case).collect();
    let wrong = wrong_ones(&again);
    let told: Vec<&str> = wrong.iter().map(|(_, told)| told.as_str()).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

fn wrong_ones<'a>(cases: &[&'a Case]) -> Vec<(&'a Case, String)> {
    if cases.is_empty() {
        return Vec::new();
    }
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let uploads = Uploads::lay((&lab, &neighbour), Kind::Tun, cases, Seen::Both);
    let folder = lab.dir.path();
    let captures = [
        ("client", lab.inside("tcpdump"), Seen::FromClient),
        ("server", neighbour.inside("tcpdump"), Seen::FromServer),
    ]
    .map(|(end, tcpdump, seen)| {
        let file = folder.join(format!("{end}.pcap"));
        (end, seen, Capture::start_as(tcpdump, "any", "0", file))
    });
    let mut tracer = lab.tracer_alone(&uploads.filter());
    uploads.run();
    tracer.wait_for_timelines(cases.len());
    let live = tracer.stop();
    let mut wrong = Vec::new();
    for (end, seen, capture) in captures {
        let file = stop_after(capture, cases.len());
        let told = trace_of(&read(&["-o", "ndjson"], &file));
        for (number, case) in cases.iter().enumerate() {
            let by_kernel = diagnosis(live.only_to(port(number)));
            let by_segments = diagnosis(told.only_to(port(number)));
            if !is_alike(case, seen, by_kernel, by_segments) || !is_modest(by_segments, end) {
                let text = format!("{} ({end}): {by_segments}, not {by_kernel}", case.name);
                wrong.push((*case, text));
            }
        }
    }
    wrong
}

fn diagnosis(timeline: &Value) -> &Value {
    &timeline["uploads"][0]["diagnosis"]
}

/// Whether the segments' verdict is the kernel's, as far as that end shows it, with much the same share.
fn is_alike(case: &Case, seen: Seen, by_kernel: &Value, by_segments: &Value) -> bool {
    let verdict = by_segments["verdict"].as_str();
    let Some((cause, _)) = case.expected_from(seen) else {
        return verdict.is_none() && by_segments["advice"].is_null();
    };
    let measured = by_kernel["verdict"].as_str().unwrap_or_default();
    let difference = share_of(by_segments, cause) - share_of(by_kernel, measured);
    verdict == Some(cause) && difference.abs() <= 0.2
}

/// Whether it says where it comes from, and is never as certain as a measurement.
fn is_modest(by_segments: &Value, end: &str) -> bool {
    by_segments["from"] == json!([])
        && by_segments["by"] == "segments"
        && (by_segments["verdict"].is_null() || by_segments["near"] == end)
        && by_segments["certainty"] != "observed"
}
