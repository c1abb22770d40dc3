//! `--metrics`: what a scraper reads is what NDJSON has of the same run, and no scraper costs the tracer anything.

mod expected;
mod page;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use aya::sys::{Stats, enable_stats};

use self::{expected::Expected, page::Page};
use crate::{
    churn::{churn, within},
    clients::{is_there, python},
    lab::{Lab, Tracer, run, skip},
    trace::{Trace, number},
};

/// Any free port.
const ADDRESS: &str = "127.0.0.1:0";
const OPEN_METRICS: &str = "Accept: application/openmetrics-text; version=1.0.0";

/// A tracer with metrics, and where they are.
fn measured(lab: &Lab, arguments: &[&str]) -> (Tracer, SocketAddr) {
    let messages = lab.dir.path().join("messages");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command
        .args(["-o", "ndjson", "--metrics", ADDRESS])
        .args(arguments)
        .stderr(fs::File::create(&messages).unwrap());
    let tracer = lab.tracer_by(command);
    (tracer, address(&messages))
}

/// Where a tracer with these messages answers.
fn address(messages: &Path) -> SocketAddr {
    let text = fs::read_to_string(messages).unwrap();
    let (_, rest) = text.split_once("metrics at http://").expect(&text);
    let (address, _) = rest.split_once("/metrics").unwrap();
    address.parse().unwrap()
}

fn scrape(address: SocketAddr, arguments: &[&str]) -> String {
    let url = format!("http://{address}/metrics");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail"]);
    run(curl.args(arguments).arg(url))
}

/// Real parsers read it: those of Prometheus' Python client, and `promtool`.
fn check(address: SocketAddr) {
    let older = scrape(address, &[]);
    let newer = scrape(address, &["--header", OPEN_METRICS]);
    if is_there("python") {
        for (parser, text) in [("parser", &older), ("openmetrics.parser", &newer)] {
            let program = format!(
                "import sys
from prometheus_client.{parser} import text_string_to_metric_families as parse
print(sum(len(family.samples) for family in parse(sys.stdin.read())))"
            );
            let samples = fed(Command::new(python()).args(["-c", &program]), text);
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            assert_eq!(samples.trim().parse(), Ok(lines.count()), "{text}");
        }
    } else {
        skip("this machine has no prometheus-client");
    }
    if is_there("promtool") {
        let found = fed(Command::new("promtool").args(["check", "metrics"]), &older);
        assert_eq!(found, "");
    } else {
        skip("this machine has no promtool");
    }
}

/// Runs a command that must succeed with this on its stdin.
fn fed(command: &mut Command, text: &str) -> String {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8(printed).unwrap();
    assert!(output.status.success(), "{command:?}: {printed}");
    printed
}

/// Ports of the lab's network namespace, beside the server's.
const NOBODY: &str = "127.0.0.1:5001";
const RESET: &str = "127.0.0.1:5002";

/// Uploads that end in several ways, a connection that is refused, and one that is reset: six in all.
fn traffic(lab: &Lab, url: &str) {
    for (name, bytes) in [
        ("small", 1_000),
        ("large", 20_000_000),
        ("too-large", 30_000_000),
    ] {
        let file = lab.file(name, bytes);
        lab.curl(&["--upload-file", file.to_str().unwrap(), url]);
    }
    // Long enough for a verdict.
    let slow = lab.file("slow", 400_000);
    let slow = slow.to_str().unwrap();
    lab.curl(&["--limit-rate", "300k", "--upload-file", slow, url]);
    within(lab, || {
        assert!(TcpStream::connect(NOBODY).is_err());
        let listener = TcpListener::bind(RESET).unwrap();
        let client = TcpStream::connect(RESET).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"unread").unwrap();
        // What it does not read makes a RST of its close.
        client.peek(&mut [0]).unwrap();
        drop(client);
        let _ = server.read(&mut [0]);
    });
}

#[test]
fn what_is_scraped_is_what_ndjson_has() {
    let lab = Lab::new();
    let server = lab.server(&["--max-size", "25000000"]);
    let _counted = enable_stats(Stats::RunTime).unwrap();
    let control = lab.control();
    let ports = ["--port", "5000", "--port", "5001", "--port", "5002"];
    let of_server = ["--server", control.to_str().unwrap()];
    let (mut tracer, address) = measured(&lab, &[&ports[..], &of_server].concat());
    traffic(&lab, &server.url(""));
    tracer.wait_for_timelines(6);
    check(address);
    let page = Page::of(&scrape(address, &[]));
    let trace = tracer.stop();
    server.stop();

    let expected = Expected::of(&trace);
    for (metric, labels) in [
        ("tracer_uploads_total", r#"outcome="complete""#),
        ("tracer_uploads_total", r#"outcome="too_large""#),
        ("tracer_connections_total", r#"ending="fin""#),
        ("tracer_connections_total", r#"ending="rst""#),
        ("tracer_connections_total", r#"ending="not_opened""#),
        (
            "tracer_diagnoses_total",
            r#"verdict="client_application",side="client""#,
        ),
    ] {
        let counter = (metric, labels.to_owned());
        assert!(
            expected.counters.contains_key(&counter),
            "{counter:?}: {expected:#?}"
        );
    }
    for metric in [
        "tracer_response_wait_seconds",
        "tracer_upload_rate_bytes_per_second",
        "tracer_accept_wait_seconds",
        "tracer_connection_duration_seconds",
    ] {
        let mut metrics = expected.values.keys();
        assert!(
            metrics.any(|(of, _)| *of == metric),
            "{metric}: {expected:#?}"
        );
    }
    page.has_all(&expected);
    let records: f64 = page.all("tracer_records_total").sum();
    assert!(records > 0.0 && records <= number(&trace.summary()["events"]) as f64);
    assert!(page.all("tracer_program_runs_total").any(|runs| runs > 0.0));
    assert!(
        page.all("process_cpu_seconds_total")
            .any(|seconds| seconds > 0.0)
    );
    assert!(
        page.all("process_resident_memory_bytes")
            .any(|bytes| bytes > 1e6)
    );
    assert_eq!(
        page.all("tracer_connections_open").collect::<Vec<_>>(),
        [0.0]
    );
}

/// A ring of one page overflows.
#[test]
fn losses_are_counted() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let control = lab.control();
    let small = ["--ring-size", "4096", "--server", control.to_str().unwrap()];
    let (mut tracer, address) = measured(&lab, &small);
    let file = lab.file("small", 100);
    let url = server.url("");
    while !tracer
        .lines_so_far()
        .of("lost")
        .iter()
        .any(|line| line["hop"] == "ring")
    {
        churn(&lab, &(0..200), 2);
        lab.upload(&file, &url);
    }
    let page = Page::of(&scrape(address, &[]));
    let trace = tracer.stop();
    server.stop();
    let lost: f64 = page.all("tracer_lost_total").sum();
    assert!(lost > 0.0);
    assert!(lost <= number(&trace.summary()["lost"]) as f64);
}

/// As many scrapers as may connect, but one, ask and do not read, or do not even ask. Tracing goes on, another scraper
/// is answered, and the end comes in time.
#[test]
fn scrapers_that_stall_cost_nothing() {
    const STALLED: usize = 15;
    let lab = Lab::new();
    let server = lab.server(&[]);
    let control = lab.control();
    let (mut tracer, address) = measured(&lab, &["--server", control.to_str().unwrap()]);
    let stalled: Vec<TcpStream> = (0..STALLED)
        .map(|number| {
            let mut scraper = TcpStream::connect(address).unwrap();
            let request: &[u8] = if number % 2 == 0 {
                b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
            } else {
                b"GET /metrics HT"
            };
            scraper.write_all(request).unwrap();
            scraper
        })
        .collect();
    let file = lab.file("cat.png", 1_000_000);
    lab.upload(&file, &server.url(""));
    tracer.wait_for_timelines(1);
    let page = Page::of(&scrape(address, &[]));
    assert_eq!(page.all("tracer_connections_total").sum::<f64>(), 1.0);
    let begun = Instant::now();
    let trace = tracer.stop();
    // Less than any limit of a scraper's time.
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(number(&trace.summary()["lost"]), 0);
    drop(stalled);
    server.stop();
}

/// What is no scrape is refused, and one that is too long or comes too slowly is cut off.
#[test]
fn other_requests_are_refused() {
    let lab = Lab::new();
    let (tracer, address) = measured(&lab, &["--port", "5001"]);
    let answer = |request: &[u8]| {
        let mut client = TcpStream::connect(address).unwrap();
        // It may be refused before its end.
        let _ = client.write_all(request);
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let long = [b"GET /metrics HTTP/1.1\r\nHost: ", &[b'a'; 100_000][..]].concat();
    for (request, status) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], "404"),
        (
            b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na",
            "405",
        ),
        (b"\0\r\n\r\n", "400"),
        (&long, "431"),
    ] {
        let answer = answer(request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer:?}"
        );
    }
    let whole = answer(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n");
    assert_eq!(
        whole.matches("HTTP/1.1 200 OK").count(),
        1,
        "one request for each connection"
    );
    let begun = Instant::now();
    assert_eq!(answer(b"GET /metrics"), "", "the head never ends");
    let waited = begun.elapsed();
    assert!((5..60).contains(&waited.as_secs()), "{waited:?}");
    tracer.stop();
}

/// With every connection traced, those to the tracer are not; where their port is chosen, they are.
#[test]
fn the_tracer_does_not_show_its_scrapes() {
    let lab = Lab::new();
    for chooses in [false, true] {
        let messages = lab.dir.path().join("messages");
        let lines = lab.dir.path().join("lines");
        let mut command = lab.inside(env!("CARGO_BIN_EXE_tracer"));
        let filter = if chooses { "--port=5009" } else { "--all" };
        command
            .args([
                "-o",
                "ndjson",
                "--segments",
                "--metrics",
                "127.0.0.1:5009",
                filter,
            ])
            .stdout(fs::File::create(&lines).unwrap())
            .stderr(fs::File::create(&messages).unwrap());
        let tracer = lab.process(command);
        let url = format!("http://{}/metrics", address(&messages));
        for _ in 0..3 {
            assert!(lab.curl(&["--fail", &url]).status.success());
        }
        assert!(tracer.stop().success());
        let text = fs::read_to_string(lines).unwrap();
        let trace = Trace::new(text.lines().map(str::to_owned).collect());
        let timelines = trace.timelines();
        let scrapes = timelines
            .iter()
            .filter(|timeline| timeline["server"]["port"] == 5009);
        assert_eq!(
            scrapes.count(),
            if chooses { 3 } else { 0 },
            "{timelines:#?}"
        );
    }
}

/// A low port takes the caller's own right to it.
#[test]
fn it_listens_with_the_rights_of_the_caller() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command
        .args(["--port", "5001", "--metrics", "127.0.0.1:81"])
        .env("SUDO_UID", "65534")
        .env("SUDO_GID", "65534");
    let refused = command.output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let why = String::from_utf8(refused.stderr).unwrap();
    let expected = "cannot listen for --metrics at 127.0.0.1:81: Permission denied";
    assert!(why.contains(expected), "{why}");
}
