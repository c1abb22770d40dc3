//! `tracer read` of two captures of one upload, one at each end of a wire with a rate, a delay and losses: how
//! long each segment was on its way, and which were lost, is what the wire did.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use slow_wire::{ENDS, Ports, Way, Wire, addresses, device};

use crate::{
    lab::{Lab, Script, run, skip, wait_until},
    trace::Trace,
    wire::Capture,
};

const WIRE: u8 = 77;
const PORT: u16 = 4377;
const MS: i64 = 1_000_000;

/// What was captured of one upload.
struct Captured {
    lab: Lab,
    client: PathBuf,
    server: PathBuf,
    /// Sequence numbers of what the wire lost, as they are on it.
    lost: [Vec<u32>; 2],
}

/// Uploads over a wire, with tcpdump at both ends.
fn captured(ways: (Way, Way), ports: Option<Ports>, bytes: &str) -> Option<Captured> {
    if !Path::new("/dev/net/tun").exists() {
        skip("this kernel has no TUN devices");
        return None;
    }
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let (near, far) = (lab.namespace_path(), neighbour.namespace_path());
    let wire = Wire::lay((&near, &far), WIRE, ways, ports).unwrap();
    let file = |name| lab.dir.path().join(name);
    let start = |tcpdump, name| Capture::start_as(tcpdump, &device(WIRE), "0", file(name));
    let at_client = start(lab.inside("tcpdump"), "client.pcap");
    let at_server = start(neighbour.inside("tcpdump"), "server.pcap");
    let of_server = ports.map_or(PORT, |ports| ports.of_server).to_string();
    let server = Script::start_with(
        neighbour.inside("python3"),
        ENDS,
        &["server", &of_server, "-"],
    );
    let (_, host) = addresses(WIRE);
    let arguments = ["client", &PORT.to_string(), &host, bytes];
    let mut client = Script::start_with(lab.inside("python3"), ENDS, &arguments);
    client.end_input();
    client.end();
    server.end();
    for capture in [&at_client, &at_server] {
        wait_until(|| {
            let output = read(&["-o", "ndjson"], &[capture.file()]);
            String::from_utf8_lossy(&output.stdout).contains("\"open\":false")
        });
    }
    let (client, server) = (at_client.stop(), at_server.stop());
    let lost = wire.losses();
    Some(Captured {
        lab,
        client,
        server,
        lost,
    })
}

fn read(arguments: &[&str], files: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command.arg("read").args(arguments).args(files);
    command.output().unwrap()
}

fn trace_of(arguments: &[&str], files: &[&Path]) -> Trace {
    let output = read(&[&["-o", "ndjson"], arguments].concat(), files);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    Trace::new(text.lines().map(str::to_owned).collect())
}

/// The same capture by a clock that is ahead, and gains: each timestamp is written anew.
fn by_another_clock(file: &Path, ahead_ns: i64, gains_ppm: i64) -> PathBuf {
    const HEADER: usize = 24;
    let mut bytes = fs::read(file).unwrap();
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut at = HEADER;
    let mut first = None;
    while at < bytes.len() {
        let micros = i64::from(word(&bytes, at)) * 1_000_000 + i64::from(word(&bytes, at + 4));
        let since = micros - *first.get_or_insert(micros);
        let moved = micros + ahead_ns / 1000 + since * gains_ppm / 1_000_000;
        let moved = [moved / 1_000_000, moved % 1_000_000].map(|part| u32::try_from(part).unwrap());
        bytes[at..at + 4].copy_from_slice(&moved[0].to_le_bytes());
        bytes[at + 4..at + 8].copy_from_slice(&moved[1].to_le_bytes());
        at += 16 + usize::try_from(word(&bytes, at + 8)).unwrap();
    }
    let moved = file.with_extension("moved.pcap");
    fs::write(&moved, bytes).unwrap();
    moved
}

/// A segment as tshark reads it, and its time in nanoseconds.
struct Row {
    frame: u64,
    time_ns: i64,
    from_client: bool,
    seq: u32,
    /// What tells it from other segments of the connection.
    key: String,
}

fn by_tshark(file: &Path, server_port: u16) -> Vec<Row> {
    let mut tshark = Command::new("tshark");
    tshark
        .arg("-r")
        .arg(file)
        .args(["-T", "fields", "-E", "separator=|"]);
    for field in [
        "frame.number",
        "frame.time_epoch",
        "tcp.dstport",
        "tcp.seq_raw",
        "tcp.ack_raw",
        "tcp.len",
        "tcp.flags",
        "tcp.options.timestamp.tsval",
        "ip.id",
    ] {
        tshark.args(["-e", field]);
    }
    let rows = run(&mut tshark);
    rows.lines()
        .map(|row| {
            let fields: Vec<&str> = row.split('|').collect();
            let (seconds, fraction) = fields[1].split_once('.').unwrap();
            let seconds: i64 = seconds.parse().unwrap();
            let fraction: i64 = fraction[..9].parse().unwrap();
            Row {
                frame: fields[0].parse().unwrap(),
                time_ns: seconds * 1_000_000_000 + fraction,
                from_client: fields[2] == server_port.to_string(),
                seq: fields[3].parse().unwrap(),
                key: fields[3..].join(" "),
            }
        })
        .collect()
}

/// How long each segment took by the one clock that both captures had: by its frame at its sender's end.
fn true_delays(captured: &Captured, ports: [u16; 2]) -> HashMap<(bool, u64), i64> {
    let at_client = by_tshark(&captured.client, ports[0]);
    let at_server = by_tshark(&captured.server, ports[1]);
    let arrivals = |rows: &[Row], from_client: bool| -> HashMap<String, i64> {
        let rows = rows.iter().filter(|row| row.from_client == from_client);
        rows.map(|row| (row.key.clone(), row.time_ns)).collect()
    };
    let mut delays = HashMap::new();
    for (from_client, sent, other) in [
        (true, &at_client, &at_server),
        (false, &at_server, &at_client),
    ] {
        let arrivals = arrivals(other, from_client);
        for row in sent.iter().filter(|row| row.from_client == from_client) {
            if let Some(arrived_ns) = arrivals.get(&row.key) {
                delays.insert((from_client, row.frame), arrived_ns - row.time_ns);
            }
        }
    }
    delays
}

/// Compares each segment's delay with the true one. `assumed_ns`: by how much more the delays from the client
/// are than those from the server, which nobody can know.
fn compare_delays(
    trace: &Trace,
    truth: &HashMap<(bool, u64), i64>,
    assumed_ns: i64,
    within_ns: i64,
) {
    let mut compared = 0;
    for segment in trace.of("segment") {
        let Some(delay) = segment["one_way_delay_ns"].as_i64() else {
            continue;
        };
        let from_client = segment["from"] == "client";
        let frame = segment["frame"].as_u64().unwrap();
        let true_ns = truth[&(from_client, frame)];
        let half = assumed_ns / 2;
        let expected = true_ns + if from_client { -half } else { half };
        assert!(
            (delay - expected).abs() <= within_ns,
            "{delay} for {expected}: {segment}"
        );
        compared += 1;
    }
    assert_eq!(compared, truth.len());
}

const fn way(delay_ms: u64) -> Way {
    Way {
        delay_ms,
        ..Way::DIRECT
    }
}

/// The way to the server has a rate, a queue before it, and loses one segment of 150.
const LOSSY: Way = Way {
    rate_kbit: 8000,
    queue: 300_000,
    lose_every: 150,
    ..way(20)
};

/// The relative sequence numbers of what the wire lost.
fn lost_on_the_wire(captured: &Captured) -> Vec<u64> {
    let first = by_tshark(&captured.client, PORT)[0].seq;
    let lost = captured.lost[0].iter();
    lost.map(|seq| seq.wrapping_sub(first).into()).collect()
}

fn losses(timeline: &Value) -> Vec<u64> {
    let losses = timeline["transit"]["losses"].as_array().unwrap();
    losses
        .iter()
        .map(|lost| {
            assert_eq!(
                (&lost["at"], &lost["from"]),
                (&"between".into(), &"client".into())
            );
            lost["seq"].as_u64().unwrap()
        })
        .collect()
}

/// The server's clock is an hour ahead, and half a second.
#[test]
fn delays_and_losses_between_two_captures() {
    let Some(captured) = captured((LOSSY, way(20)), None, "bytes=1e6") else {
        return;
    };
    let ahead = 3_600_500 * MS;
    let server = by_another_clock(&captured.server, ahead, 0);
    let lost = lost_on_the_wire(&captured);
    assert!(lost.len() >= 4, "{lost:?}");
    let truth = true_delays(&captured, [PORT; 2]);
    let trace = trace_of(&["--segments"], &[&captured.client, &server]);
    let timeline = trace.timelines()[0];
    let clocks = &trace.summary()["clocks"];
    let offset = clocks["offset_ns"].as_i64().unwrap();
    let error = clocks["error_ns"].as_i64().unwrap();
    assert!((offset - ahead).abs() < 2 * MS, "{clocks}");
    assert!((20 * MS..25 * MS).contains(&error), "{clocks}");
    assert!(
        (40 * MS..44 * MS).contains(&clocks["round_trip_ns"].as_i64().unwrap()),
        "{clocks}"
    );
    assert_eq!(clocks["connections"], 1);
    compare_delays(&trace, &truth, 0, 2 * MS);
    assert_eq!(losses(timeline), lost);
    let up = &timeline["transit"]["client_to_server"];
    let down = &timeline["transit"]["server_to_client"];
    assert_eq!(up["lost_between"], lost.len(), "{up}");
    assert_eq!(
        up["arrived"].as_u64().unwrap() + down["arrived"].as_u64().unwrap(),
        truth.len() as u64
    );
    for passage in [up, down] {
        for none in [
            "lost_beyond",
            "missing_at_sender",
            "missing_at_receiver",
            "duplicated",
        ] {
            assert_eq!(passage[none], 0, "{none}: {passage}");
        }
    }
    assert_eq!(timeline["complete"], true);
    assert_eq!(timeline["connection"], "1:0");
    let syn = &timeline["phases"][0]["steps"][0];
    assert!(
        syn["one_way_delay_ns"].as_i64().unwrap() >= 19 * MS,
        "{syn}"
    );

    // In the other order, the same is told by the other clock.
    let turned = trace_of(&["--segments"], &[&server, &captured.client]);
    let turned_offset = turned.summary()["clocks"]["offset_ns"].as_i64().unwrap();
    assert!((turned_offset + offset).abs() <= 1000);
    assert_eq!(losses(turned.timelines()[0]), lost);
    let transit = &turned.timelines()[0]["transit"];
    assert_eq!(transit["captures"][0]["capture"], 2);
    assert_eq!(transit["client_to_server"]["arrived"], up["arrived"]);
    compare_delays(&turned, &truth, 0, 2 * MS);

    let shown = read(&["--explain"], &[&captured.client, &server]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let sentence = format!(
        "lost between {} and {}: Seq={} ",
        captured.client.display(),
        server.display(),
        lost[0]
    );
    assert!(shown.contains(&sentence), "{shown}");
    drop(captured.lab);
}

/// The ways differ: 30 ms there, 10 ms back. That cannot be known: the sum is right, the offset is wrong by
/// half the difference, and the error bound says so. The clock of the server gains, and NAT lies between.
#[test]
fn what_cannot_be_known_of_two_captures_is_within_the_error() {
    let ports = Ports {
        of_client: PORT,
        of_server: PORT + 1000,
    };
    let slow = Way {
        rate_kbit: 1600,
        queue: 30_000,
        ..way(30)
    };
    let Some(captured) = captured((slow, way(10)), Some(ports), "bytes=1e6") else {
        return;
    };
    let ahead = -77_000 * MS;
    let gains = 400;
    let server = by_another_clock(&captured.server, ahead, gains);
    let truth = true_delays(&captured, [PORT, PORT + 1000]);
    let trace = trace_of(&["--segments"], &[&captured.client, &server]);
    let timeline = trace.timelines()[0];
    assert_eq!(trace.timelines().len(), 1);
    assert_eq!(timeline["server"]["port"], PORT + 1000);
    let seen_as = timeline["server"]["seen_as"].as_str().unwrap();
    assert!(seen_as.ends_with(&format!(":{PORT}")), "{seen_as}");
    let clocks = &trace.summary()["clocks"];
    let wrong = clocks["offset_ns"].as_i64().unwrap() - ahead;
    assert!((8 * MS..12 * MS).contains(&wrong), "{clocks}");
    assert!(clocks["error_ns"].as_i64().unwrap() > wrong, "{clocks}");
    assert!(
        (40 * MS..44 * MS).contains(&clocks["round_trip_ns"].as_i64().unwrap()),
        "{clocks}"
    );
    compare_delays(&trace, &truth, 20 * MS, 3 * MS);
    assert_eq!(losses(timeline), lost_on_the_wire(&captured));
    drop(captured.lab);
}
