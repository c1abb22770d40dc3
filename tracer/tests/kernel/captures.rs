//! `tracer read`: a capture is told as its connections were live.

mod messages;

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::{
    lab::{Lab, run, skip, wait_until},
    trace::Trace,
    wire::Capture,
};

pub(crate) fn read(arguments: &[&str], file: &Path) -> Output {
    read_all(arguments, &[file])
}

fn read_all(arguments: &[&str], files: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command.arg("read").args(arguments).args(files);
    command.output().unwrap()
}

pub(crate) fn trace_of(output: &Output) -> Trace {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    Trace::new(text.lines().map(str::to_owned).collect())
}

/// Stops a capture once it has the end of so many connections.
pub(crate) fn stop_after(capture: Capture, connections: usize) -> PathBuf {
    wait_until(|| {
        let output = read(&["-o", "ndjson"], capture.file());
        let text = String::from_utf8_lossy(&output.stdout);
        text.matches("\"open\":false").count() >= connections
    });
    capture.stop()
}

/// What only a kernel knows, what names a run, and times: the two were taken at different places.
fn is_the_kernels(field: &str) -> bool {
    const FIELDS: [&str; 19] = [
        "accept_queue",
        "also",
        "bytes_per_second",
        "certainty",
        "cgroup",
        "comm",
        "congestion_window",
        "connection",
        "cookie",
        "diagnosis",
        "error",
        "id",
        "known_by",
        "netns",
        "owner_from",
        "pid",
        "time",
        "uid",
        "upload",
    ];
    field.ends_with("_ns") || FIELDS.contains(&field)
}

fn without_the_kernels(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !is_the_kernels(name));
            fields.values_mut().for_each(without_the_kernels);
        }
        Value::Array(items) => items.iter_mut().for_each(without_the_kernels),
        _ => {}
    }
}

/// The timelines by the client's port, as far as a capture can know them.
fn comparable(trace: &Trace) -> Vec<Value> {
    let mut timelines: Vec<Value> = trace.timelines().into_iter().cloned().collect();
    timelines.sort_by_key(|timeline| timeline["client"]["port"].as_u64());
    timelines.iter_mut().for_each(without_what_live_lacks);
    timelines.iter_mut().for_each(without_the_kernels);
    timelines
}

/// Live, payload is seen at the beginning of bursts alone: no lengths of chunks and responses, no ends of bodies that
/// are missing, no files in forms.
fn without_what_live_lacks(timeline: &mut Value) {
    let mut has_form = false;
    for phase in timeline["phases"].as_array_mut().into_iter().flatten() {
        for exchange in phase["exchanges"].as_array_mut().into_iter().flatten() {
            has_form |= exchange["request"]["method"] == "POST";
            let is_chunked = exchange["request"]["content_length"].is_null();
            for (part, field) in [
                ("response", "bytes"),
                ("response", "missing_end"),
                ("body", "missing_end"),
            ] {
                exchange[part].as_object_mut().unwrap().remove(field);
            }
            if is_chunked {
                exchange["body"].as_object_mut().unwrap().remove("bytes");
            }
        }
    }
    for upload in timeline["uploads"].as_array_mut().into_iter().flatten() {
        let is_counted = upload["bytes"].is_number();
        let upload = upload.as_object_mut().unwrap();
        if has_form {
            upload.remove("name");
        }
        if has_form || !is_counted || upload["name"] == "c" {
            upload.remove("bytes");
        }
    }
}

/// Uploads with and without `100 Continue`, several on one connection, chunked, as a form, and refused; and a
/// connection that is refused.
#[test]
fn a_capture_reads_as_it_was_live() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let port = server.url("").rsplit([':', '/']).nth(1).unwrap().to_owned();
    let capture = Capture::start(&lab, "0");
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", &port, "--port", "1"]);
    for (name, bytes) in [("empty", 0), ("small", 1000), ("large", 3_000_000)] {
        let file = lab.file(name, bytes);
        lab.upload(&file, &server.url(""));
    }
    let small = lab.dir.path().join("small");
    let small = small.to_str().unwrap();
    let url = server.url("two/");
    lab.curl(&["-T", small, "-T", small, &server.url("a"), &server.url("b")]);
    lab.curl(&[
        "-H",
        "Expect:",
        "-H",
        "Transfer-Encoding: chunked",
        "-T",
        small,
        &server.url("c"),
    ]);
    lab.curl(&["-F", &format!("file=@{small}"), &server.url("")]);
    lab.curl(&["-T", small, &url]);
    lab.curl(&["--fail", &server.url("nothing/here")]);
    lab.curl(&["http://127.0.0.1:1/"]);
    tracer.wait_for_timelines(9);
    let live = tracer.stop();
    let file = stop_after(capture, 9);
    server.stop();

    let output = read(&["-o", "ndjson", "--port", &port, "--port", "1"], &file);
    assert!(output.status.success(), "{output:?}");
    let captured = trace_of(&output);
    let (live, captured) = (comparable(&live), comparable(&captured));
    assert_eq!(live.len(), captured.len());
    let mut different = Vec::new();
    for (number, (live, captured)) in live.iter().zip(&captured).enumerate() {
        compare(&number.to_string(), live, captured, &mut different);
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Lists where two values differ.
fn compare(place: &str, live: &Value, captured: &Value, different: &mut Vec<String>) {
    match (live, captured) {
        (Value::Object(one), Value::Object(other)) => {
            let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let place = format!("{place}/{name}");
                compare(&place, &live[name], &captured[name], different);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (at, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{place}/{at}"), one, other, different);
            }
        }
        _ if live == captured => {}
        _ => different.push(format!("{place}: {live} live, {captured} captured")),
    }
}

/// The time that a handshake took, by both.
#[test]
fn the_round_trip_of_a_handshake_is_tsharks() {
    let lab = Lab::new();
    let file = capture_of_an_upload(&lab);
    let rtt = ["-e", "tcp.stream", "-e", "tcp.analysis.initial_rtt"];
    let mut tshark = Command::new("tshark");
    tshark.args(["-T", "fields"]).args(rtt).arg("-r").arg(&file);
    let printed = run(&mut tshark);
    let theirs: Vec<(&str, u64)> = printed
        .lines()
        .filter_map(|line| {
            let (stream, seconds) = line.split_once('\t')?;
            let nanoseconds = seconds.trim().strip_prefix("0.")?;
            Some((stream, nanoseconds.parse().ok()?))
        })
        .collect();
    assert!(!theirs.is_empty(), "{printed}");
    let trace = trace_of(&read(&["-o", "ndjson"], &file));
    for (stream, nanoseconds) in theirs {
        let timelines = trace.timelines();
        let ours = timelines
            .iter()
            .find(|timeline| timeline["connection"] == stream)
            .unwrap();
        assert_eq!(ours["phases"][0]["rtt_ns"], nanoseconds, "{stream}");
    }
}

/// tcpdump writes into a pipe: a timeline is there while both go on.
#[test]
fn a_stream_is_read_as_it_comes() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let mut tcpdump = lab
        .inside("tcpdump")
        .args([
            "-i",
            "lo",
            "-U",
            "--immediate-mode",
            // A packet takes the place of the largest: of the usual 2 MB, there are few.
            "-B",
            "32768",
            "-Z",
            "root",
            "-w",
            "-",
            "tcp",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(tcpdump.stderr.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains("listening on"), "{line}");
    let mut reader = Command::new(env!("CARGO_BIN_EXE_tracer"))
        .args(["read", "-o", "ndjson", "-"])
        .stdin(tcpdump.stdout.take().unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    lab.upload(&lab.file("file", 100_000), &server.url(""));
    let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines();
    let timeline = lines
        .by_ref()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
        .find(|line| line["type"] == "timeline")
        .unwrap();
    assert_eq!(timeline["uploads"][0]["name"], "file");
    assert_eq!(timeline["complete"], true);
    tcpdump.kill().unwrap();
    tcpdump.wait().unwrap();
    let last = lines.last().unwrap().unwrap();
    assert!(last.contains("\"type\":\"summary\""), "{last}");
    assert!(reader.wait().unwrap().success());
    server.stop();
}

/// A capture of one upload, made once.
fn capture_of_an_upload(lab: &Lab) -> PathBuf {
    let server = lab.server(&[]);
    let capture = Capture::start(lab, "0");
    lab.upload(&lab.file("file", 100_000), &server.url(""));
    let file = stop_after(capture, 1);
    server.stop();
    file
}

/// Each has one sentence and status 1, and what could be read is printed.
#[test]
fn captures_that_cannot_be_read_to_their_end() {
    let lab = Lab::new();
    let whole = fs::read(capture_of_an_upload(&lab)).unwrap();
    let path = lab.dir.path().join("bad.pcap");
    let check = |bytes: &[u8], sentence: &str, connections: u64| {
        fs::write(&path, bytes).unwrap();
        let output = read(&["-o", "ndjson"], &path);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(sentence), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        let found = trace_of(&output);
        let summary = found.of("summary").into_iter().next();
        let known = summary.map_or(0, |summary| summary["connections"].as_u64().unwrap());
        assert_eq!(known, connections, "{stderr}");
    };
    check(b"", "it is empty", 0);
    check(
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "it is not a capture",
        0,
    );
    check(&whole[..24], "has no packets", 0);
    check(
        &whole[..whole.len() - 1],
        "it ends in the middle of a packet",
        1,
    );
    let mut unknown = whole.clone();
    unknown[20..24].copy_from_slice(&147_u32.to_le_bytes());
    check(&unknown, "of a link type that is not read", 0);
    let mut without_tcp = whole.clone();
    // The protocol in each IP header: Ethernet is 14 bytes, a record's header 16.
    let mut at = 24;
    while at < without_tcp.len() {
        let length: [u8; 4] = without_tcp[at + 8..at + 12].try_into().unwrap();
        without_tcp[at + 16 + 14 + 9] = 17;
        at += 16 + usize::try_from(u32::from_le_bytes(length)).unwrap();
    }
    check(&without_tcp, "without TCP", 0);
}

/// With a snap length of 60, headers are whole and payload is not.
#[test]
fn frames_cut_by_a_snap_length() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let capture = Capture::start(&lab, "60");
    lab.upload(&lab.file("file", 100_000), &server.url(""));
    let file = stop_after(capture, 1);
    server.stop();
    let output = read(&["-o", "ndjson", "--segments"], &file);
    assert!(output.status.success());
    let trace = trace_of(&output);
    let totals = &trace.summary()["capture"];
    assert!(totals["cut"].as_u64() > Some(0), "{totals}");
    let timeline = &trace.timelines()[0];
    assert!(
        timeline["bytes"]["client_to_server"].as_u64() > Some(100_000),
        "{timeline:#}"
    );
}

/// Compressed captures, filters, and the capture that the tracer writes itself.
#[test]
fn compressed_filtered_and_written_again() {
    let lab = Lab::new();
    let file = capture_of_an_upload(&lab);
    let plain = read(&["--segments"], &file).stdout;
    assert!(!plain.is_empty());
    for program in ["gzip", "zstd"] {
        let packed = lab.dir.path().join(program);
        let mut command = Command::new(program);
        command.args(["-c", "-q"]).arg(&file);
        let status = command.stdout(File::create(&packed).unwrap()).status();
        match status {
            Ok(status) => assert!(status.success()),
            Err(_) => skip(&format!("{program} is not installed")),
        }
        if fs::metadata(&packed).unwrap().len() > 0 {
            assert_eq!(read(&["--segments"], &packed).stdout, plain, "{program}");
        }
    }
    let none = read(&["--address", "192.0.2.1"], &file);
    assert!(none.status.success());
    assert!(String::from_utf8_lossy(&none.stderr).contains("no connection"));
    assert_eq!(
        read(&["--segments", "--address", "127.0.0.1"], &file).stdout,
        plain
    );

    let written = lab.dir.path().join("written.pcapng");
    let output = read(
        &["-o", "ndjson", "--pcapng", written.to_str().unwrap()],
        &file,
    );
    assert!(output.status.success());
    let of = |file: &Path| {
        let fields = [
            "-T",
            "fields",
            "-e",
            "tcp.flags",
            "-e",
            "tcp.seq",
            "-e",
            "tcp.len",
        ];
        run(Command::new("tshark").arg("-r").arg(file).args(fields))
    };
    assert_eq!(of(&written), of(&file));
}

/// Two pieces of a capture, with a frame in both, are read as mergecap makes one of them, in whatever order they
/// are given.
#[test]
fn pieces_of_a_capture() {
    let lab = Lab::new();
    let whole = capture_of_an_upload(&lab);
    let file = |name: &str| lab.dir.path().join(name);
    let (first, second, merged) = (file("1.pcap"), file("2.pcap"), file("merged.pcap"));
    for (piece, frames) in [(&first, "1-8"), (&second, "8-100000")] {
        run(Command::new("editcap")
            .arg("-r")
            .arg(&whole)
            .arg(piece)
            .arg(frames));
    }
    run(Command::new("mergecap")
        .arg("-w")
        .args([&merged, &first, &second]));
    let arguments = ["-o", "ndjson", "--segments"];
    let expected = read(&arguments, &merged);
    assert!(expected.status.success());
    let found = read_all(&arguments, &[&second, &first]);
    assert!(found.stderr.is_empty(), "{found:?}");
    assert!(found.stdout == expected.stdout);
    assert_eq!(trace_of(&found).summary()["capture"]["duplicates"], 1);

    // The second piece is cut: what could be read is printed, and the file is named.
    let bytes = fs::read(&second).unwrap();
    fs::write(&second, &bytes[..bytes.len() - 1]).unwrap();
    let cut = read_all(&arguments, &[&first, &second]);
    let stderr = String::from_utf8_lossy(&cut.stderr);
    assert_eq!(cut.status.code(), Some(1), "{stderr}");
    let sentence = format!("{} was not read to its end", second.display());
    assert!(stderr.contains(&sentence), "{stderr}");
    assert_eq!(trace_of(&cut).timelines().len(), 1);
}

/// Each is said in one sentence.
#[test]
fn captures_that_are_no_pair() {
    let lab = Lab::new();
    let other = lab.dir.path().join("other.pcap");
    fs::rename(capture_of_an_upload(&lab), &other).unwrap();
    let whole = capture_of_an_upload(&lab);
    let check = |files: &[&Path], status: i32, sentence: &str, timelines: usize| {
        let output = read_all(&["-o", "ndjson"], files);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        assert!(stderr.contains(sentence), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert_eq!(trace_of(&output).timelines().len(), timelines);
    };
    check(&[&whole, &other], 0, "no connection in common", 2);
    check(&[&whole, &whole], 0, "hold the same packets", 1);
    check(
        &[Path::new("-"), &whole],
        1,
        "stdin (-) can only be read alone",
        0,
    );
    check(
        &[&whole, Path::new("/dev/null")],
        1,
        "/dev/null is not a regular file",
        0,
    );
    check(&[&whole, Path::new("/nowhere")], 1, "/nowhere", 0);
    let text = lab.file("text", 100);
    check(&[&whole, &text], 1, "it is not a capture", 0);
}

/// Captures of others, where they are at hand: each line is as the schema says, and no timeline
/// contradicts itself.
#[test]
fn captures_of_others() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures");
    let folder = std::env::var_os("CAPTURES").map_or(folder, PathBuf::from);
    if !folder.is_dir() {
        skip(&format!("{} is not there", folder.display()));
        return;
    }
    let mut folders = vec![folder];
    let mut read_any = false;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let output = read(&["-o", "ndjson", "--segments"], &path);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.code().is_some_and(|code| code <= 1),
                "{stderr}"
            );
            read_any |= !trace_of(&output).timelines().is_empty();
        }
    }
    assert!(read_any);
}
