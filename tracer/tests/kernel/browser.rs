//! The pages in a real browser while the tracer watches: Chromium, driven by
//! `upload-server/tests/browser/traced.mjs`.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use crate::{
    lab::{Lab, Server, Tracer, is_emulated, skip},
    trace::Trace,
    uploads::KeepAlive,
};

/// A browser that does one of the script's scenarios. What was to be seen then stands in `browser`,
/// in cargo's folder.
struct Browser {
    node: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    fn start(lab: &Lab, server: &Server, scenario: &str) -> Self {
        let mut node = script(lab.inside("node"), "traced.mjs")
            .arg(lab.dir.path())
            .arg(server.url(""))
            .arg(scenario)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(node.stdout.take().unwrap()).lines();
        Self { node, lines }
    }

    /// What it says next, but for what is only to be read; nothing at its end.
    fn message(&mut self) -> Option<Value> {
        loop {
            let line = self.lines.next()?.unwrap();
            let message: Value = serde_json::from_str(&line).unwrap();
            if message.get("upload").is_some() || message.get("ask").is_some() {
                return Some(message);
            }
            eprintln!("{line}");
        }
    }

    /// Does what it asks for.
    fn asks(&mut self, what: &str, answer: impl FnOnce()) {
        let message = self.message();
        assert_eq!(
            message.as_ref().map(|message| &message["ask"]),
            Some(&what.into())
        );
        answer();
        writeln!(self.node.stdin.as_mut().unwrap(), "done").unwrap();
    }

    /// The timelines that the server has of each upload, once all went well.
    fn end(mut self) -> Vec<Value> {
        let messages: Vec<Value> = std::iter::from_fn(|| self.message()).collect();
        assert!(self.node.wait().unwrap().success());
        messages
    }
}

/// Why nothing can be shown here. What the pages tell does not depend on the kernel, but for what the
/// other tests compare.
/// Adds a script of `upload-server/tests/browser` to a command of node's, with what drives the browser and the folder for
/// what was to be seen.
pub(crate) fn script(mut node: Command, name: &str) -> Command {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    assert!(
        target.join("playwright-core").exists() && target.join("axe-core").exists(),
        "what drives the browser is missing: `cargo xtask test` installs it"
    );
    let scripts = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../upload-server/tests/browser"
    );
    node.arg(Path::new(scripts).join(name))
        .arg(target)
        .arg(target.join("browser"));
    node
}

pub(crate) fn is_missing() -> bool {
    if is_emulated() {
        skip("the emulated machine has no browser, for which it is too slow");
    }
    is_emulated()
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

/// The exchanges of an upload in a timeline.
fn exchanges<'a>(timeline: &'a Value, upload: &'a Value) -> Vec<&'a Value> {
    let exchanges = timeline["phases"][1]["exchanges"].as_array().unwrap();
    let own = exchanges.iter();
    own.filter(|exchange| exchange["upload"] == *upload)
        .collect()
}

/// What the page showed of each upload is what the tracer's own NDJSON has of it.
fn assert_shown(trace: &Trace, uploads: &[Value]) {
    for shown in uploads {
        for timeline in shown["timelines"].as_array().unwrap() {
            let mut traced = trace.timelines().into_iter();
            let traced = traced.find(|traced| traced["connection"] == timeline["connection"]);
            let traced = traced.unwrap();
            assert_eq!(timeline["phases"][0], traced["phases"][0]);
            let own = exchanges(timeline, &shown["upload"]);
            assert_eq!(own, exchanges(traced, &shown["upload"]));
            assert!(!own.is_empty(), "{timeline:#}");
        }
    }
}

#[test]
fn three_uploads_are_shown() {
    if is_missing() {
        return;
    }
    let lab = Lab::new();
    let server = lab.server(&[]);
    let tracer = lab.tracer(&["--explain"]);
    let uploads = Browser::start(&lab, &server, "three_uploads_are_shown").end();
    assert_eq!(uploads.len(), 3);
    assert_shown(&tracer.stop(), &uploads);
    server.stop();
}

#[test]
fn what_held_an_upload_back_is_shown() {
    if is_missing() {
        return;
    }
    let lab = Lab::new();
    let server = lab.server(&[]);
    let tracer = lab.tracer(&["--explain"]);
    let uploads = Browser::start(&lab, &server, "shows_what_held_it_back").end();
    assert_eq!(uploads.len(), 1);
    assert_shown(&tracer.stop(), &uploads);
    server.stop();
}

#[test]
fn a_cancelled_upload_shows_who_closed() {
    if is_missing() {
        return;
    }
    let lab = Lab::new();
    let server = lab.server(&[]);
    let tracer = lab.tracer(&["--explain"]);
    let uploads = Browser::start(&lab, &server, "cancels").end();
    assert_eq!(uploads.len(), 2);
    assert_shown(&tracer.stop(), &uploads);
    server.stop();
}

#[test]
fn another_tracer_takes_over() {
    if is_missing() {
        return;
    }
    let lab = Lab::new();
    let server = lab.server(&[]);
    let tracer = lab.tracer(&["--explain"]);
    let mut browser = Browser::start(&lab, &server, "another_tracer_takes_over");
    browser.asks("stop the tracer", || Tracer::kill(tracer));
    let mut second = None;
    browser.asks("start the tracer", || {
        second = Some(lab.tracer(&["--explain"]));
    });
    let uploads = browser.end();
    assert_eq!(uploads.len(), 1);
    assert_shown(&second.unwrap().stop(), &uploads);
    server.stop();
}

#[test]
fn a_page_renews_itself() {
    if is_missing() {
        return;
    }
    let lab = Lab::new();
    let server = lab.server(&[]);
    let tracer = lab.tracer(&[]);
    let mut browser = Browser::start(&lab, &server, "renews_itself");
    let mut client = None;
    browser.asks("upload", || {
        let mut kept = KeepAlive::connect(&lab, &server);
        kept.put("kept", b"hello");
        client = Some(kept);
    });
    browser.asks("close", || drop(client));
    assert_eq!(browser.end().len(), 1);
    tracer.stop();
    server.stop();
}
