//! What the upload server's page is told.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines},
    process::{Child, ChildStdout, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use upload_protocol::{Timeline, timeline::Samples};

use crate::{
    lab::{Lab, Server, wait_until},
    trace::Trace,
    uploads::KeepAlive,
};

/// The timeline of an upload as the server has it, as it was handed in.
fn handed_in(lab: &Lab, upload: &str) -> Option<String> {
    let url = format!("http://control/uploads/{upload}/timeline");
    let control = lab.control();
    let control = control.to_str().unwrap();
    let answer = lab.curl(&["--fail", "--unix-socket", control, &url]);
    let found = answer.status.success();
    found.then(|| String::from_utf8(answer.stdout).unwrap())
}

fn is_open(timeline: &str) -> bool {
    let timeline: Value = serde_json::from_str(timeline).unwrap();
    timeline["open"].as_bool().unwrap()
}

/// A listener of the server's events.
struct Events {
    curl: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Events {
    fn listen(lab: &Lab, server: &Server) -> Self {
        let mut curl = lab.inside("curl");
        curl.args(["--silent", "--no-buffer", &server.url("events")]);
        let mut curl = curl.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(curl.stdout.take().unwrap()).lines();
        Self { curl, lines }
    }

    /// The data of the next event of this name.
    fn next(&mut self, name: &str) -> Value {
        let event = format!("event: {name}");
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        lines.find(|line| *line == event).unwrap();
        let data = lines.next().unwrap();
        serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}

#[test]
fn the_server_has_the_very_line() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let mut events = Events::listen(&lab, &server);
    assert_eq!(events.next("tracer")["attached"], false);
    let mut tracer = lab.tracer(&["--explain", "--samples"]);
    assert_eq!(events.next("tracer")["attached"], true);
    let file = lab.file("cat.png", 1_000_000);
    lab.upload(&file, &server.url(""));
    tracer.wait_for_timelines(1);
    let news = events.next("timeline");
    assert_eq!(news["upload"], "1");
    assert_eq!(news["open"], false);
    let handed_in = handed_in(&lab, "1").unwrap();
    let trace = tracer.stop();
    assert_eq!(events.next("tracer")["attached"], false);

    let timeline = trace.only_upload();
    let mut page: Value = serde_json::from_str(&handed_in).unwrap();
    let mut line = timeline.clone();
    let [of_page, of_line] = [&mut page, &mut line].map(|timeline| {
        let samples = timeline.as_object_mut().unwrap().remove("samples");
        serde_json::from_value::<Vec<Samples>>(samples.unwrap()).unwrap()
    });
    assert_eq!(page, line);
    assert!(!of_page.is_empty());
    // Those of the upload's own time: a segment may pass before the request, and after the response.
    let typed: Timeline = serde_json::from_value(line).unwrap();
    let window = typed.exchanges()[0].window().unwrap();
    for samples in of_line {
        let own = samples.within(&[window]);
        let same_end =
            |one: &&Samples| (one.from, one.taken_at) == (samples.from, samples.taken_at);
        assert_eq!(of_page.iter().find(same_end), own.as_ref());
    }
    assert_eq!(news["connection"], timeline["connection"]);
    let step = &timeline["phases"][0]["steps"][1];
    let sentence = step["explain"].as_str().unwrap();
    assert!(sentence.starts_with("The server agrees"), "{sentence}");
    server.stop();
}

#[test]
fn an_upload_on_a_connection_that_stays_open() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let mut tracer = lab.tracer(&[]);
    let mut events = Events::listen(&lab, &server);
    let mut client = KeepAlive::connect(&lab, &server);
    client.put("kept", b"hello");
    let answered = Instant::now();
    let news = events.next("timeline");
    let took = answered.elapsed();
    eprintln!("the timeline was there after {took:?}");
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert_eq!(news["open"], true);
    let first = handed_in(&lab, "1").unwrap();
    let first = Trace::new(vec![first]);
    let exchange = &first.lines[0]["phases"][1]["exchanges"][0];
    assert_eq!(exchange["response"]["status"], 201);
    assert_eq!(exchange["upload"], "1");

    drop(client);
    assert_eq!(events.next("timeline")["open"], false);
    assert!(!is_open(&handed_in(&lab, "1").unwrap()));
    tracer.wait_for_timelines(1);
    tracer.stop();
    server.stop();
}

/// A proxy keeps its connections to the server, and carries the uploads of several people on each.
#[test]
fn an_uploads_page_has_nothing_of_others_on_its_connection() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let mut tracer = lab.tracer(&[]);
    let mut proxy = KeepAlive::connect(&lab, &server);
    proxy.put("ann.txt?token=secret-of-ann", b"hello");
    proxy.put("bob.txt?token=secret-of-bob", b"hello");
    let check = |own: &str, id: &str, foreign: &[&str], open: bool| {
        let has = || handed_in(&lab, id).filter(|line| is_open(line) == open);
        wait_until(|| has().is_some());
        let line = has().unwrap();
        assert!(line.contains(&format!(r#""target":"/{own}""#)), "{line}");
        for word in foreign {
            assert!(!line.contains(word), "{word} in {line}");
        }
    };
    check("ann.txt", "1", &["bob.txt", "secret"], true);
    check("bob.txt", "2", &["ann.txt", "secret"], true);
    drop(proxy);
    tracer.wait_for_timelines(1);
    check("ann.txt", "1", &["bob.txt", "secret"], false);
    check("bob.txt", "2", &["ann.txt", "secret"], false);
    let trace = tracer.stop();
    assert_eq!(trace.only_upload()["uploads"].as_array().unwrap().len(), 2);
    server.stop();
}

#[test]
fn the_server_knows_at_once_of_the_tracers_death() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let tracer = lab.tracer(&[]);
    let mut events = Events::listen(&lab, &server);
    // It is announced beside the tracing.
    if events.next("tracer")["attached"] == false {
        assert_eq!(events.next("tracer")["attached"], true);
    }
    let killed = Instant::now();
    tracer.kill();
    assert_eq!(events.next("tracer")["attached"], false);
    let took = killed.elapsed();
    eprintln!("the server knew after {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    server.stop();
}

/// An upload that goes on with another connection has the timelines of both.
#[test]
fn an_upload_in_parts_has_each_connections_timeline() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let mut tracer = lab.tracer(&[]);
    let file = lab.file("part", 1000);
    let tus = ["--header", "Tus-Resumable: 1.0.0", "--fail"];
    let created = lab.curl(
        &[
            &tus[..],
            &["--request", "POST", "--header", "Upload-Length: 2000"],
            &["--header", "Upload-Metadata: filename dHdv"],
            &["--write-out", "%header{location}", &server.url("tus/")],
        ]
        .concat(),
    );
    let target = String::from_utf8(created.stdout).unwrap();
    for offset in ["0", "1000"] {
        let offset = format!("Upload-Offset: {offset}");
        let data = format!("@{}", file.display());
        let part = lab.curl(
            &[
                &tus[..],
                &["--request", "PATCH", "--header", &offset],
                &["--header", "Content-Type: application/offset+octet-stream"],
                &[
                    "--data-binary",
                    &data,
                    &server.url(&format!("tus/{target}")),
                ],
            ]
            .concat(),
        );
        assert!(part.status.success(), "{part:?}");
    }
    tracer.wait_for_timelines(3);
    let control = lab.control();
    let control = control.to_str().unwrap();
    let url = "http://control/uploads/1/timelines";
    let timelines = || -> Vec<Value> {
        let answer = lab.curl(&["--fail", "--unix-socket", control, url]);
        serde_json::from_slice(&answer.stdout).unwrap_or_default()
    };
    wait_until(|| timelines().len() == 2);
    let mut offsets: Vec<u64> = Vec::new();
    for timeline in timelines() {
        let exchange = &timeline["phases"][1]["exchanges"][0];
        assert_eq!(exchange["request"]["method"], "PATCH");
        assert_eq!(exchange["body"]["acknowledged"], 1000);
        offsets.push(timeline["mono_ns"].as_u64().unwrap());
    }
    assert_ne!(offsets[0], offsets[1]);
    tracer.stop();
    server.stop();
}

/// What a server that has gone is not told is counted, and lost to nobody else.
#[test]
fn timelines_the_server_does_not_take_are_counted() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let stderr = lab.dir.path().join("tracer.stderr");
    let tracer = lab.tracer_logging_to(&stderr, &[]);
    let mut client = KeepAlive::connect(&lab, &server);
    client.put("kept", b"hello");
    wait_until(|| handed_in(&lab, "1").is_some());
    server.kill();
    drop(client);
    let trace = tracer.stop();
    assert_eq!(trace.only_upload()["uploads"][0]["id"], "1");
    let stderr = fs::read_to_string(stderr).unwrap();
    let last = stderr.lines().last().unwrap();
    assert_eq!(
        last,
        "tracer: 1 timelines could not be handed to the upload server"
    );
}
