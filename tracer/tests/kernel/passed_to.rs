//! Uploads that a server passes on to a Unix socket: each with the path that its request went to, and no other.

use std::{collections::BTreeMap, path::Path, thread};

use serde_json::Value;

use crate::{
    clients::is_there,
    hops::Proxy,
    lab::{Lab, Script, is_emulated, skip},
    trace::{Trace, number},
};

const FRONT: u16 = 443;
const APP: &str = include_str!("passed_to/app.py");
const SERVER: &str = include_str!("passed_to/server.py");
const CHATTER: &str = include_str!("passed_to/chatter.py");

fn is_skipped() -> bool {
    let is_skipped = is_emulated() || !is_there("nginx");
    if is_skipped {
        skip("this machine has no nginx");
    }
    is_skipped
}

/// An application at a Unix socket, and its process's id.
fn app(lab: &Lab, path: &str, more: &[&str]) -> (Script, u64) {
    let script = Script::start_with(lab.inside("python3"), APP, &[&[path], more].concat());
    let pid = script.line().parse().unwrap();
    (script, pid)
}

/// nginx with two applications, each at its location.
fn nginx(lab: &Lab, tls: bool, [a, b]: [&str; 2], options: &str) -> Proxy {
    let upstreams = format!(
        "upstream a {{ server unix:{a}; keepalive 8; }} upstream b {{ server unix:{b}; keepalive 8; }}"
    );
    let location = |name| {
        format!(
            "location /{name}/ {{ proxy_pass http://{name}; proxy_http_version 1.1; {options} }}\n"
        )
    };
    let locations = location("a") + &location("b");
    let inside = |program: &str| lab.inside(program);
    Proxy::nginx_with(lab, inside, (FRONT, tls), (&upstreams, &locations))
}

fn upload(lab: &Lab, scheme: &str, target: &str, file: &Path) {
    let url = format!("{scheme}://localhost:{FRONT}/{target}");
    let sent = lab.curl(&["-k", "-f", "-T", file.to_str().unwrap(), &url]);
    assert!(sent.status.success(), "{sent:?}");
}

/// Twelve uploads, four at once, alternately to the one and to the other.
fn upload_twelve(lab: &Lab, scheme: &str) {
    let sizes = [40_000, 300_000, 3_000_000];
    let files = sizes.map(|size| lab.file(&size.to_string(), size));
    let numbers: Vec<usize> = (0..12).collect();
    for some in numbers.chunks(4) {
        thread::scope(|scope| {
            for number in some {
                let target = format!("{}/file-{number}", ["a", "b"][number % 2]);
                let file = &files[number % files.len()];
                scope.spawn(move || upload(lab, scheme, &target, file));
            }
        });
    }
}

fn uploads(trace: &Trace) -> Vec<&Value> {
    let timelines = trace.timelines().into_iter();
    timelines
        .flat_map(|timeline| timeline["uploads"].as_array().unwrap())
        .collect()
}

/// Each upload's path, process and certainty, by the location that its request named.
fn check_clear(trace: &Trace, expected: [(&str, u64); 2], count: usize) {
    let mut found = 0;
    for timeline in trace.timelines() {
        for exchange in timeline["phases"][1]["exchanges"].as_array().unwrap() {
            let uploads = timeline["uploads"].as_array().unwrap();
            let mut of_it = uploads
                .iter()
                .filter(|upload| upload["id"] == exchange["upload"]);
            let upload = of_it.next().unwrap();
            let target = exchange["request"]["target"].as_str().unwrap();
            let (path, pid) = expected[usize::from(target.starts_with("/b/"))];
            let to = &upload["passed_to"];
            assert_eq!(to["kind"], "unix", "{timeline:#}");
            assert_eq!(to["path"], path, "{timeline:#}");
            assert_eq!(number(&to["process"]["pid"]), pid, "{timeline:#}");
            let comm = to["process"]["comm"].as_str().unwrap();
            assert!(comm.starts_with("python"), "{comm}");
            assert_eq!(to["certainty"], "observed", "{timeline:#}");
            assert_eq!(to["evidence"].as_array().unwrap().len(), 2);
            let body = number(&upload["bytes"]);
            let sent = number(&to["bytes"]);
            assert!((body..body + 4_096).contains(&sent), "{timeline:#}");
            found += 1;
        }
    }
    assert_eq!(found, count);
    assert_eq!(trace.summary()["lost"], 0);
}

/// A connection for each request, connections that are kept, and an upload that is passed on as it comes.
#[test]
fn each_upload_has_its_path() {
    if is_skipped() {
        return;
    }
    for options in [
        "",
        "proxy_set_header Connection '';",
        "proxy_set_header Connection ''; proxy_request_buffering off;",
    ] {
        let lab = Lab::new();
        let path = lab.dir.path().join("a.sock");
        let path = path.to_str().unwrap();
        let other = lab.dir.path().join("b.sock");
        let other = other.to_str().unwrap();
        let (a, pid) = app(&lab, path, &[]);
        let (b, other_pid) = app(&lab, other, &[]);
        let proxy = nginx(&lab, false, [path, other], options);
        let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "443"]);
        upload_twelve(&lab, "http");
        tracer.wait_for_timelines(12);
        let trace = tracer.stop();
        drop((proxy, a, b));
        check_clear(&trace, [(path, pid), (other, other_pid)], 12);
    }
}

/// Several uploads on one connection of the client.
#[test]
fn a_connection_that_the_client_keeps() {
    if is_skipped() {
        return;
    }
    let lab = Lab::new();
    let paths = ["a.sock", "b.sock"].map(|name| lab.dir.path().join(name));
    let [a, b] = paths.each_ref().map(|path| path.to_str().unwrap());
    let ((first, pid), (second, other)) = (app(&lab, a, &[]), app(&lab, b, &[]));
    let proxy = nginx(&lab, false, [a, b], "");
    let file = lab.file("file", 200_000);
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "443"]);
    let mut command = lab.inside("curl");
    command.args(["--silent", "--show-error", "-f"]);
    for target in ["a/1", "b/2", "b/3", "a/4"] {
        let url = format!("http://localhost:{FRONT}/{target}");
        command.arg("-T").arg(&file).arg(url);
    }
    assert!(command.status().unwrap().success());
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    drop((proxy, first, second));
    check_clear(&trace, [(a, pid), (b, other)], 4);
}

/// Within TLS, an upload is known by its bytes alone, and so is what it was passed on to.
#[test]
fn encrypted() {
    if is_skipped() {
        return;
    }
    let lab = Lab::new();
    let path = lab.dir.path().join("a.sock");
    let path = path.to_str().unwrap();
    let (app, _) = app(&lab, path, &[]);
    let proxy = nginx(&lab, true, [path, path], "");
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "443"]);
    upload_twelve(&lab, "https");
    tracer.wait_for_timelines(12);
    let trace = tracer.stop();
    drop((proxy, app));
    let uploads = uploads(&trace);
    assert_eq!(uploads.len(), 12);
    for upload in uploads {
        let to = &upload["passed_to"];
        assert_eq!(to["path"], path, "{upload:#}");
        assert_eq!(to["certainty"], "inferred", "{upload:#}");
    }
}

/// The application never answers: where the upload is, is known all the same.
#[test]
fn an_application_that_does_not_answer() {
    if is_skipped() {
        return;
    }
    let lab = Lab::new();
    let path = lab.dir.path().join("a.sock");
    let path = path.to_str().unwrap();
    let (app, _) = app(&lab, path, &["hold"]);
    let proxy = nginx(&lab, false, [path, path], "");
    let tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "443"]);
    let file = lab.file("file", 100_000);
    let mut client = lab.inside("curl");
    let url = format!("http://localhost:{FRONT}/a/file");
    let mut client = client.arg("-sT").arg(file).arg(url).spawn().unwrap();
    assert_eq!(app.line(), "held");
    let trace = tracer.stop();
    client.kill().unwrap();
    client.wait().unwrap();
    drop((proxy, app));
    let to = &trace.only_upload()["uploads"][0]["passed_to"];
    assert_eq!(to["path"], path, "{trace:#?}", trace = trace.lines);
    assert_eq!(to["bytes"], Value::Null);
    assert_eq!(to["certainty"], "inferred");
}

/// A server that asks another process before it answers does not pass the upload on; one that sends it the whole
/// body does.
#[test]
fn a_question_is_no_upload() {
    for (what, is_passed_on) in [("question", false), ("body", true)] {
        let lab = Lab::new();
        let path = lab.dir.path().join("other.sock");
        let path = path.to_str().unwrap();
        let arguments = ["4443", path, what];
        let server = Script::start_with(lab.inside("python3"), SERVER, &arguments);
        let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "4443"]);
        let file = lab.file("file", 100_000);
        lab.upload(&file, "http://127.0.0.1:4443/file");
        lab.upload(&file, "http://127.0.0.1:4443/file");
        tracer.wait_for_timelines(2);
        let trace = tracer.stop();
        let pid = server.pid();
        drop(server);
        let uploads = uploads(&trace);
        assert_eq!(uploads.len(), 2);
        for upload in uploads {
            let to = upload.get("passed_to");
            assert_eq!(to.is_some(), is_passed_on, "{upload:#}");
            let Some(to) = to else { continue };
            assert_eq!(to["path"], path, "{upload:#}");
            assert_eq!(to["certainty"], "observed", "{upload:#}");
            assert_eq!(number(&to["process"]["pid"]), u64::from(pid), "{upload:#}");
        }
    }
}

/// What other processes exchange makes no record.
#[test]
fn other_processes() {
    let lab = Lab::new();
    let path = lab.dir.path().join("chatter.sock");
    let tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "443"]);
    let chatter = Script::start_with(lab.inside("python3"), CHATTER, &[path.to_str().unwrap()]);
    assert_eq!(chatter.line(), "over");
    let trace = tracer.stop();
    assert_eq!(trace.summary()["events"], 0, "{:#}", trace.summary());
}

/// A path may have characters that act on a terminal.
#[test]
fn hidden_characters() {
    if is_skipped() {
        return;
    }
    let lab = Lab::new();
    let path = lab.dir.path().join("a\u{1b}[31m.sock");
    let path = path.to_str().unwrap();
    let (app, _) = app(&lab, path, &[]);
    let proxy = nginx(&lab, false, [path, path], "");
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "443"]);
    upload(&lab, "http", "a/file", &lab.file("file", 100_000));
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    drop((proxy, app));
    assert_eq!(trace.only_upload()["uploads"][0]["passed_to"]["path"], path);
    let written = trace.text.join("");
    assert!(!written.contains('\u{1b}'), "{written}");
    let found: BTreeMap<_, _> = written.match_indices("\\u001b[31m").collect();
    assert!(!found.is_empty(), "{written}");
}
