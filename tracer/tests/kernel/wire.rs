//! The segments are those that tshark reads off the same traffic.

mod analysis;
mod http2;
mod tls;

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    lab::{Lab, Tracer, run},
    trace::Trace,
};

/// tcpdump on the namespace's loopback.
pub(crate) struct Capture {
    tcpdump: Child,
    file: PathBuf,
}

impl Capture {
    /// Captures the first `bytes` of each packet, or all of it with 0.
    pub(crate) fn start(lab: &Lab, bytes: &str) -> Self {
        Self::start_on("lo", lab, bytes)
    }

    /// The same on another device.
    fn start_on(device: &str, lab: &Lab, bytes: &str) -> Self {
        let file = lab.dir.path().join("capture.pcap");
        Self::start_as(lab.inside("tcpdump"), device, bytes, file)
    }

    /// The same of a command, into a file of its own.
    pub(crate) fn start_as(mut tcpdump: Command, device: &str, bytes: &str, file: PathBuf) -> Self {
        let mut tcpdump = tcpdump
            .args([
                "-i",
                device,
                "-s",
                bytes,
                "-B",
                "65536",
                "-U",
                "--immediate-mode",
            ])
            .args(["-Z", "root", "-w"])
            .arg(&file)
            .arg("tcp")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(tcpdump.stderr.take().unwrap()).lines();
        // On all devices, it first says which link layer it makes of them.
        let is_ready = lines.any(|line| line.unwrap().contains("listening on"));
        assert!(is_ready, "tcpdump has ended");
        Self { tcpdump, file }
    }

    /// What has been captured so far.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    pub(crate) fn stop(mut self) -> PathBuf {
        let pid = Pid::from_raw(i32::try_from(self.tcpdump.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        assert!(self.tcpdump.wait().unwrap().success());
        self.file
    }
}

/// The columns that are compared, by tshark's names.
const FIELDS: [&str; 11] = [
    "tcp.flags",
    "tcp.seq",
    "tcp.ack",
    "tcp.len",
    "tcp.window_size",
    "tcp.options.mss_val",
    "tcp.options.wscale.shift",
    "tcp.options.timestamp.tsval",
    "tcp.options.timestamp.tsecr",
    "tcp.options.sack_le",
    "tcp.options.sack_re",
];

/// What tshark says of each segment to or from a port: those from the client, then those from the
/// server, each in order.
fn by_tshark(file: &Path, port: u16) -> [Vec<String>; 2] {
    rows_of(file, port, &FIELDS)
}

/// These fields of each segment, after the number of its stream.
fn rows_of(file: &Path, port: u16, fields: &[&str]) -> [Vec<String>; 2] {
    let mut tshark = Command::new("tshark");
    tshark
        .arg("-r")
        .arg(file)
        .args(["-T", "fields", "-E", "separator=|"]);
    tshark.args(["-Y", &format!("tcp.port == {port}")]);
    tshark.args(["-e", "tcp.srcport", "-e", "tcp.stream"]);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().unwrap();
    let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
    let unexpected = warnings
        .lines()
        .find(|line| !line.is_empty() && !line.starts_with("Running as user \"root\""));
    assert_eq!(unexpected, None, "tshark has a complaint");
    let mut sides = [Vec::new(), Vec::new()];
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (source, rest) = line.split_once('|').unwrap();
        sides[usize::from(source == port.to_string())].push(rest.to_owned());
    }
    sides
}

/// The tracer's lines of segments by their sender; connections numbered as tshark numbers its streams.
fn by_stream(trace: &Trace) -> [Vec<(usize, &Value)>; 2] {
    let mut streams: Vec<&str> = Vec::new();
    let mut sides = [Vec::new(), Vec::new()];
    for line in trace.of("segment") {
        let connection = line["connection"].as_str().unwrap();
        let stream = streams
            .iter()
            .position(|known| *known == connection)
            .unwrap_or_else(|| {
                streams.push(connection);
                streams.len() - 1
            });
        sides[usize::from(line["from"] == "server")].push((stream, line));
    }
    sides
}

/// What tshark says, of what the tracer says.
fn by_tracer(trace: &Trace) -> [Vec<String>; 2] {
    by_stream(trace).map(|lines| lines.into_iter().map(row).collect())
}

fn row((stream, line): (usize, &Value)) -> String {
    let mut row = format!("{stream}|0x{:04x}", flags(&line["flags"]));
    for field in ["seq", "ack", "len", "window"] {
        write!(row, "|{}", line[field]).unwrap();
    }
    let options = &line["options"];
    for field in ["mss", "window_scale", "tsval", "tsecr"] {
        row.push('|');
        if let Some(value) = options.get(field) {
            row.push_str(&value.to_string());
        }
    }
    for edge in [0, 1] {
        let blocks = options.get("sack").and_then(Value::as_array);
        let edges: Vec<String> = blocks
            .into_iter()
            .flatten()
            .map(|block| block[edge].to_string())
            .collect();
        row.push('|');
        row.push_str(&edges.join(","));
    }
    row
}

fn flags(names: &Value) -> u16 {
    let all = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"];
    names
        .as_array()
        .unwrap()
        .iter()
        .map(|name| 1 << all.iter().position(|known| name == known).unwrap())
        .sum()
}

/// Runs `traffic` under tcpdump and the tracer, and compares every segment.
fn check(lab: &Lab, port: u16, connections: usize, traffic: impl FnOnce()) -> Trace {
    check_capturing("0", lab, port, connections, traffic)
}

/// The same with so many bytes of each packet, where whole ones are more than tcpdump can keep up
/// with.
fn check_capturing(
    bytes: &str,
    lab: &Lab,
    port: u16,
    connections: usize,
    traffic: impl FnOnce(),
) -> Trace {
    let own = lab.dir.path().join("own.pcapng");
    let mut tracer = tracer_with_packets(lab, port, &own);
    let capture = Capture::start(lab, bytes);
    traffic();
    tracer.wait_for_timelines(connections);
    let trace = tracer.stop();
    let file = capture.stop();
    let expected = by_tshark(&file, port);
    compare(by_tracer(&trace), expected.clone());
    compare(by_tshark(&own, port), expected);
    analysis::compare(&trace, &own, port);
    trace
}

/// Each segment of both sides is the same, in the same order.
fn compare(mut found: [Vec<String>; 2], mut expected: [Vec<String>; 2]) {
    for (side, name) in [(0, "client"), (1, "server")] {
        let (found, expected) = (&mut found[side], &mut expected[side]);
        if is_swapped(expected) {
            expected.sort();
            found.sort();
        }
        // Acknowledgments with the same numbers, made on two CPUs, have no order of their own.
        for rows in [&mut *expected, &mut *found] {
            rows.chunk_by_mut(|one, other| numbers(one) == numbers(other))
                .for_each(<[String]>::sort);
        }
        for (at, (found, expected)) in found.iter().zip(&*expected).enumerate() {
            assert_eq!(
                found, expected,
                "segment {at} from the {name}, of {FIELDS:?}"
            );
        }
        assert_eq!(found.len(), expected.len(), "segments from the {name}");
    }
    assert!(!found[0].is_empty(), "there was no traffic");
}

/// Stream, sequence and acknowledgment number of a row.
fn numbers(row: &str) -> [&str; 3] {
    let columns: Vec<&str> = row.split('|').collect();
    [columns[0], columns[2], columns[3]]
}

/// Whether tcpdump itself saw a sender's segments, or acknowledgments, in another order than that of
/// their numbers: with
/// large frames in a hurry, one may overtake another between the socket and the device. The tracer
/// stands at the socket.
fn is_swapped(rows: &[String]) -> bool {
    let column = |column: usize| {
        let rows = rows.iter().map(|row| {
            let numbers = numbers(row);
            (numbers[0], numbers[column].parse().unwrap())
        });
        rows.collect::<Vec<(&str, u64)>>()
    };
    !column(1).is_sorted() || !column(2).is_sorted()
}

fn python(lab: &Lab, port: u16, script: &str) {
    let prelude =
        format!("import socket, struct\ns = socket.create_connection(('127.0.0.1', {port}))\n");
    run(lab.inside("python3").args(["-c", &(prelude + script)]));
}

#[test]
fn a_plain_upload() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let file = lab.file("file", 300_000);
    check(&lab, 5000, 1, || {
        lab.upload(&file, &server.url(""));
    });
    server.stop();
}

#[test]
fn three_uploads_on_one_connection() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let file = lab.file("file", 20_000);
    let file = file.to_str().unwrap();
    check(&lab, 5000, 1, || {
        let uploaded = lab.curl(&[
            "--upload-file",
            file,
            &server.url("one"),
            "--upload-file",
            file,
            &server.url("two"),
            "--upload-file",
            file,
            &server.url("three"),
        ]);
        assert!(uploaded.status.success());
    });
    server.stop();
}

#[test]
fn an_upload_that_the_client_resets() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    check(&lab, 5000, 1, || {
        python(
            &lab,
            5000,
            "s.sendall(b'PUT /cut HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 1000000\\r\\n\\r\\n' + b'x' * 5000)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
s.close()",
        );
    });
    server.stop();
}

#[test]
fn an_upload_refused_before_its_body() {
    let lab = Lab::new();
    let server = lab.server(&["--max-size", "1000"]);
    let file = lab.file("file", 3_000_000);
    check(&lab, 5000, 1, || {
        let refused = lab.curl(&[
            "--header",
            "Expect:",
            "--upload-file",
            file.to_str().unwrap(),
            &server.url(""),
        ]);
        let answer = String::from_utf8_lossy(&refused.stdout).into_owned();
        assert!(answer.contains("413"), "{refused:?}");
    });
    server.stop();
}

#[test]
fn a_half_closed_connection() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    check(&lab, 5000, 1, || {
        python(
            &lab,
            5000,
            "s.sendall(b'PUT /half HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 5\\r\\n\\r\\nhello')
s.shutdown(socket.SHUT_WR)
while s.recv(65536):
    pass
s.close()",
        );
    });
    server.stop();
}

#[test]
fn a_refused_connection() {
    let lab = Lab::new();
    check(&lab, 5999, 1, || {
        assert!(!lab.curl(&["http://127.0.0.1:5999/"]).status.success());
    });
}

#[test]
fn an_upload_over_ipv6() {
    let lab = Lab::new();
    let server = lab.server(&["--listen", "[::1]:5000"]);
    let file = lab.file("file", 100_000);
    check(&lab, 5000, 1, || {
        let uploaded = lab.curl(&[
            "--upload-file",
            file.to_str().unwrap(),
            "http://[::1]:5000/",
        ]);
        assert!(uploaded.status.success(), "{uploaded:?}");
    });
    server.stop();
}

#[test]
fn a_body_of_200_mb() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let file = lab.file("file", 200_000_000);
    check_capturing("128", &lab, 5000, 1, || {
        lab.upload(&file, &server.url(""));
    });
    server.stop();
}

/// A tracer of every segment to and from the port, which also writes them to a file.
fn tracer_with_packets(lab: &Lab, port: u16, file: &Path) -> Tracer {
    lab.tracer_alone(&[
        "-o",
        "ndjson",
        "--segments",
        "--port",
        &port.to_string(),
        "--pcapng",
        file.to_str().unwrap(),
    ])
}
