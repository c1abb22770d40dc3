//! Samples of an upload agree with tshark on the same traffic: exactly where every segment was seen, and
//! at each moment that the kernel sampled.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;
use upload_protocol::{
    End, Timeline,
    timeline::{Samples, TakenAt},
};

use crate::{
    captures::{read, stop_after, trace_of},
    lab::{Lab, run},
    loaded::Loaded,
    trace::Trace,
    wire::Capture,
};

/// A segment as tshark reads it.
struct Row {
    /// Since the first packet.
    at_ns: u64,
    from_client: bool,
    next: u64,
    len: u64,
    ack: Option<u64>,
    window: u64,
    in_flight: Option<u64>,
    ack_rtt_ns: Option<u64>,
    blocks: Vec<(u64, u64)>,
}

impl Row {
    /// What arrived twice (D-SACK): tshark takes it for selected, too.
    fn twice(&self) -> u64 {
        let Some((left, right)) = self.blocks.first() else {
            return 0;
        };
        let second = self.blocks.get(1);
        let is_twice = self.ack.is_some_and(|ack| *right <= ack)
            || second.is_some_and(|second| second.0 <= *left && *right <= second.1);
        if is_twice { right - left } else { 0 }
    }
}

/// The segments of a stream, in the order of the file.
fn by_tshark(file: &Path, stream: &str, server_port: u16) -> Vec<Row> {
    const FIELDS: [&str; 10] = [
        "frame.time_relative",
        "tcp.dstport",
        "tcp.nxtseq",
        "tcp.len",
        "tcp.ack",
        "tcp.window_size",
        "tcp.analysis.bytes_in_flight",
        "tcp.analysis.ack_rtt",
        "tcp.options.sack_le",
        "tcp.options.sack_re",
    ];
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(file);
    tshark.args(["-T", "fields", "-E", "separator=|"]);
    tshark.args(["-Y", &format!("tcp.stream == {stream}")]);
    for field in FIELDS {
        tshark.args(["-e", field]);
    }
    let rows = run(&mut tshark);
    let rows = rows.lines().map(|line| {
        let fields: Vec<&str> = line.split('|').collect();
        let number = |at: usize| fields[at].parse().ok();
        Row {
            at_ns: nanoseconds(fields[0]).unwrap(),
            from_client: fields[1] == server_port.to_string(),
            next: number(2).unwrap_or_default(),
            len: number(3).unwrap(),
            ack: number(4),
            window: number(5).unwrap(),
            in_flight: number(6),
            ack_rtt_ns: nanoseconds(fields[7]),
            blocks: list(fields[8]).zip(list(fields[9])).collect(),
        }
    });
    rows.collect()
}

fn list(numbers: &str) -> impl Iterator<Item = u64> {
    let numbers = numbers.split(',').filter(|number| !number.is_empty());
    numbers.map(|number| number.parse().unwrap())
}

/// tshark prints seconds, with nine digits after the point.
fn nanoseconds(seconds: &str) -> Option<u64> {
    let (seconds, fraction) = seconds.split_once('.')?;
    let seconds: u64 = seconds.parse().ok()?;
    let fraction: u64 = fraction.get(..9)?.parse().ok()?;
    Some(seconds * 1_000_000_000 + fraction)
}

fn samples(timeline: &Value, from: End, taken_at: TakenAt) -> Option<Samples> {
    let timeline: Timeline = serde_json::from_value(timeline.clone()).unwrap();
    let mut all = timeline.samples.iter();
    let own = all.find(|samples| samples.from == from && samples.taken_at == taken_at)?;
    Some(Samples::clone(own))
}

/// Each sample is the state after a segment as tshark has it. `began_ns` is when the timeline begins, since the first packet, where
/// both have the same clock. Returns how many samples have bytes in flight that tshark has, too.
#[track_caller]
fn assert_exact(samples: &Samples, rows: &[Row], began_ns: Option<u64>) -> usize {
    let (mut sent, mut acked, mut window, mut rtt, mut twice) = (0, 0, None, None, 0);
    // The state after each segment, and what tshark calls in flight there.
    let mut states = Vec::new();
    for row in rows {
        if row.from_client {
            if row.len > 0 || row.next > sent {
                sent = sent.max(row.next);
            }
        } else if let Some(ack) = row.ack {
            acked = acked.max(ack);
            window = Some(row.window);
            rtt = row.ack_rtt_ns.or(rtt);
            twice = row.twice();
        }
        let in_flight = row.in_flight.filter(|_| row.from_client);
        let in_flight = in_flight.map(|bytes| bytes + twice);
        states.push((row.at_ns, sent, acked, window, rtt, in_flight));
    }
    let mut compared = 0;
    for at in 0..samples.at_ns.len() {
        let at_ns = samples.at_ns[at];
        let is_it = |state: &&(u64, u64, u64, Option<u64>, Option<u64>, Option<u64>)| {
            let (row_ns, sent, acked, window, _, in_flight) = **state;
            let is_then = match began_ns {
                Some(began_ns) => row_ns == began_ns + at_ns,
                None => {
                    let own = u64::from(samples.in_flight[at]);
                    in_flight.is_none_or(|bytes| bytes == own)
                }
            };
            let own = (samples.sent[at], samples.acked[at]);
            is_then && (sent, acked) == own && window == samples.window[at].map(u64::from)
        };
        let found = states.iter().find(is_it);
        let what = format!(
            "sample {at} at {at_ns}: sent {}, acknowledged {}, window {:?}, in flight {}",
            samples.sent[at], samples.acked[at], samples.window[at], samples.in_flight[at]
        );
        let (.., rtt, in_flight) = found.unwrap_or_else(|| panic!("{what}"));
        if samples.retransmits[at] == 0 && began_ns.is_some() {
            assert_eq!(samples.rtt_ns[at], *rtt, "{what}");
        }
        // On a busy machine, a capture may have an acknowledgment before the segment. Then nothing is in flight, and tshark
        // counts what it takes for sent again.
        let is_acked = samples.acked[at] >= samples.sent[at];
        if let Some(expected) = in_flight.filter(|_| !is_acked) {
            assert_eq!(u64::from(samples.in_flight[at]), expected, "{what}");
            compared += 1;
        }
    }
    compared
}

fn captures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/captures")
        .join(name)
}

/// What this thread starts meanwhile runs on one processor. On more, a capture of the loopback interface has segments in another
/// order than their times, and tshark takes them in the order of the file.
struct OnOneProcessor {
    before: CpuSet,
}

impl OnOneProcessor {
    fn new() -> Self {
        let before = sched_getaffinity(None).unwrap();
        let first = (0..CpuSet::MAX_CPU).find(|number| before.is_set(*number));
        let mut one = CpuSet::new();
        one.set(first.unwrap());
        sched_setaffinity(None, &one).unwrap();
        Self { before }
    }
}

impl Drop for OnOneProcessor {
    fn drop(&mut self) {
        sched_setaffinity(None, &self.before).unwrap();
    }
}

/// A capture of an upload: with few segments each is a sample, of many a part.
#[test]
fn of_a_capture_each_sample_is_tsharks() {
    let _one = OnOneProcessor::new();
    let lab = Lab::new();
    let server = lab.server(&[]);
    for bytes in [300_000, 60_000_000] {
        let capture = Capture::start(&lab, "128");
        lab.upload(&lab.file("a.bin", bytes), &server.url("a.bin"));
        let file = stop_after(capture, 1);
        let trace = trace_of(&read(&["-o", "ndjson", "--samples"], &file));
        let timeline = trace.only_upload();
        let rows = by_tshark(&file, "0", server.address.port());
        let samples = samples(timeline, End::Client, TakenAt::Segments).unwrap();
        let began_ns = timeline["mono_ns"].as_u64().unwrap();
        let compared = assert_exact(&samples, &rows, Some(began_ns));
        let payload = rows.iter().filter(|row| row.from_client && row.len > 0);
        let payload = payload.count();
        assert!(compared >= payload.min(100), "{compared} of {payload}");
        assert!((1..=512).contains(&samples.at_ns.len()));
        let most = samples.in_flight.iter().copied().max().map(u64::from);
        let expected = rows.iter().filter_map(|row| row.in_flight).max();
        assert_eq!(most, expected, "the peak is kept");
    }
    server.stop();
}

/// Of a path that lost segments, where tshark has what was in flight.
#[test]
fn with_losses_each_sample_is_tsharks() {
    let file = captures("lost-client.pcap");
    let trace = trace_of(&read(&["-o", "ndjson", "--samples"], &file));
    for timeline in trace.timelines() {
        let Some(samples) = samples(timeline, End::Client, TakenAt::Segments) else {
            continue;
        };
        let stream = timeline["connection"].as_str().unwrap();
        let port = u16::try_from(timeline["server"]["port"].as_u64().unwrap()).unwrap();
        let rows = by_tshark(&file, stream, port);
        let began_ns = timeline["mono_ns"].as_u64().unwrap();
        assert!(assert_exact(&samples, &rows, Some(began_ns)) > 20);
        assert!(samples.retransmits.last() > Some(&0));
        return;
    }
    panic!("no upload is large enough: {:#?}", trace.timelines());
}

/// Live with `--segments`: as tshark reads the file that the tracer writes.
#[test]
fn live_each_segment_is_a_sample() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let file = lab.dir.path().join("all.pcapng");
    let pcapng = [
        "--segments",
        "--samples",
        "--pcapng",
        file.to_str().unwrap(),
    ];
    let mut tracer = lab.tracer(&pcapng);
    lab.upload(&lab.file("a.bin", 3_000_000), &server.url("a.bin"));
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    let timeline = trace.only_upload();
    let rows = by_tshark(&file, "0", server.address.port());
    let segments = samples(timeline, End::Client, TakenAt::Segments).unwrap();
    let compared = assert_exact(&segments, &rows, None);
    assert!(compared > 20, "{compared}");
    // The kernel's samples are there, too.
    assert!(samples(timeline, End::Client, TakenAt::Sender).is_some());
    server.stop();
}

/// What the kernel samples is what has passed by then.
#[test]
fn each_sample_of_the_kernel_is_among_what_passed() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let capture = Capture::start(&lab, "128");
    let mut tracer = lab.tracer(&["--samples"]);
    lab.upload(&lab.file("a.bin", 200_000_000), &server.url("a.bin"));
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    let file = stop_after(capture, 1);
    let rows = by_tshark(&file, "0", server.address.port());
    let timeline = trace.only_upload();
    let of = |taken_at| samples(timeline, End::Client, taken_at).unwrap();
    let (sender, receiver) = (of(TakenAt::Sender), of(TakenAt::Receiver));
    let client = || rows.iter().filter(|row| row.from_client);
    let server_rows = || rows.iter().filter(|row| !row.from_client);
    let nexts: BTreeSet<u64> = client().map(|row| row.next).collect();
    let acks: BTreeSet<u64> = server_rows().filter_map(|row| row.ack).collect();
    let windows: BTreeSet<u64> = server_rows().map(|row| row.window).collect();
    for at in 0..sender.at_ns.len() {
        let (sent, acked) = (sender.sent[at], sender.acked[at]);
        assert!(nexts.contains(&sent), "{sent} was not sent");
        assert!(acks.contains(&acked), "{acked} was not acknowledged");
        assert_eq!(sent - acked, u64::from(sender.in_flight[at]));
        let window = sender.window[at].map(u64::from);
        assert!(window.is_none_or(|window| windows.contains(&window)));
        assert!(sender.cwnd[at] > 0);
    }
    for acked in &receiver.acked {
        assert!(nexts.contains(acked), "{acked} was not received");
    }
    // The last is that of the end: everything was acknowledged, and the file was read.
    assert!(*sender.acked.last().unwrap() > 200_000_000);
    assert!(*receiver.acked.last().unwrap() > 200_000_000);
    assert!(sender.rtt_ns.last().unwrap().is_some());
    for samples in [&sender, &receiver] {
        assert!(samples.at_ns.is_sorted(), "{samples:?}");
        assert!((50..=513).contains(&samples.at_ns.len()), "{samples:?}");
        assert!(samples.taken >= 50);
    }
    server.stop();
}

/// Nothing is sampled that no output shows, and a short request is not.
#[test]
fn only_what_is_shown_is_sampled() {
    let lab = Lab::new();
    let tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4001"]);
    let programs = Loaded::by(tracer.pid()).program_names();
    assert!(
        !programs.contains(&"tracer_sample".to_owned()),
        "{programs:?}"
    );
    tracer.stop();
    let tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4001", "--samples"]);
    let programs = Loaded::by(tracer.pid()).program_names();
    assert!(
        programs.contains(&"tracer_sample".to_owned()),
        "{programs:?}"
    );
    tracer.stop();

    let server = lab.server(&[]);
    let mut tracer = lab.tracer(&["--samples"]);
    lab.upload(&lab.file("a.bin", 1000), &server.url("a.bin"));
    tracer.wait_for_timelines(1);
    assert_eq!(tracer.stop().only_upload().get("samples"), None);
    // The page has samples, lines have none unless they are asked for.
    let mut tracer = lab.tracer(&[]);
    lab.upload(&lab.file("b.bin", 9_000_000), &server.url("b.bin"));
    tracer.wait_for_timelines(1);
    assert_eq!(tracer.stop().only_upload().get("samples"), None);
    let page = lab.curl(&[&server.url("t/2")]);
    let page = String::from_utf8(page.stdout).unwrap();
    assert_eq!(page.matches("<figure").count(), 4, "{page}");
    server.stop();
}

/// A recording has them, and shows what was shown live.
#[test]
fn a_recording_has_the_samples() {
    let lab = Lab::new();
    let file = lab.dir.path().join("recording");
    let upload = lab.file("a.bin", 20_000_000);
    let live = run(lab
        .inside(env!("CARGO_BIN_EXE_tracer"))
        .arg("record")
        .arg(&file)
        .args(["-o", "ndjson", "--samples", "--", "python3", "-c", UPLOAD])
        .arg(&upload));
    let replay = |arguments: &[&str]| {
        let mut tracer = Command::new(env!("CARGO_BIN_EXE_tracer"));
        run(tracer.arg("replay").arg(&file).args(arguments))
    };
    assert_eq!(replay(&["-o", "ndjson", "--samples"]), live);
    let trace = Trace::new(live.lines().map(str::to_owned).collect());
    let sent = samples(trace.timelines()[0], End::Client, TakenAt::Sender);
    assert!(sent.unwrap().at_ns.len() > 10);
    let without = replay(&["-o", "ndjson"]);
    assert!(!without.contains("\"samples\""), "{without}");
}

/// Sends a file to itself.
const UPLOAD: &str = r"
import socket, sys, threading
listener = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
content = open(sys.argv[1], 'rb').read()
def serve():
    while server.recv(65536): pass
    server.close()
thread = threading.Thread(target=serve)
thread.start()
client.sendall(content)
client.close()
thread.join()
";
