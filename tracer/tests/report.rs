//! `--report`, `--har` and `--perfetto`: of the captures and the recording of the repository.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// Elements without an end tag (HTML Living Standard, section 13.1.2).
const VOID: [&str; 5] = ["!DOCTYPE", "br", "input", "link", "meta"];

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn tracer(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command.args(arguments).current_dir(tests());
    command
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

/// What is read in these tests, as arguments.
fn sources() -> Vec<Vec<String>> {
    let entries = fs::read_dir(tests().join("captures")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let captures = names.filter(|name| name != "README.md");
    let mut sources: Vec<Vec<String>> = captures
        .map(|name| vec!["read".to_owned(), format!("captures/{name}")])
        .collect();
    let recording = ["replay", "recordings/uploads.trace"];
    sources.push(recording.map(str::to_owned).to_vec());
    let two = [
        "read",
        "captures/lost-client.pcap",
        "captures/lost-server.pcap",
    ];
    sources.push(two.map(str::to_owned).to_vec());
    sources
}

/// The page as a browser's parser takes it: each element is closed where it has to be.
#[track_caller]
fn assert_is_whole(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>\n"), "{page}");
    assert!(page.ends_with("</ol></main></body></html>\n"), "{page}");
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    while let Some((_, tag)) = rest.split_once('<') {
        let (tag, after) = tag.split_once('>').unwrap();
        let name = tag.split([' ', '\n']).next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "in {page}"),
            None if VOID.contains(&name) => {}
            None => open.push(name),
        }
        // What is in a style sheet is no tag.
        rest = match name {
            "style" => after.split_once("</style").map(|(_, rest)| rest).unwrap(),
            _ => after,
        };
        if name == "style" {
            open.pop();
        }
    }
    assert_eq!(open, [""; 0]);
}

#[test]
fn each_is_whole_and_has_every_connection() {
    for source in sources() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let arguments: Vec<&str> = source.iter().map(String::as_str).collect();
        let output = run(tracer(&arguments)
            .args(["-o", "ndjson", "--report"])
            .arg(file("page.html"))
            .arg("--har")
            .arg(file("requests.har"))
            .arg("--perfetto")
            .arg(file("trace.json")));
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let timelines: Vec<Value> = lines
            .filter(|line: &Value| line["type"] == "timeline")
            .collect();
        assert!(!timelines.is_empty(), "{source:?}");

        let page = fs::read_to_string(file("page.html")).unwrap();
        assert_is_whole(&page);
        assert_eq!(page.matches("<li class=\"phase-").count(), timelines.len());
        for part in ["<script", "http://", "https://", "style=", "url(http"] {
            assert!(!page.contains(part), "{source:?}: {part}");
        }

        let har = fs::read_to_string(file("requests.har")).unwrap();
        let har: Value = serde_json::from_str(&har).unwrap();
        let requests = |timeline: &Value| {
            let exchanges = timeline["phases"][1]["exchanges"].as_array();
            exchanges.map_or(0, Vec::len)
        };
        let expected: usize = timelines.iter().map(requests).sum();
        assert_eq!(har["log"]["entries"].as_array().unwrap().len(), expected);

        let trace = fs::read_to_string(file("trace.json")).unwrap();
        let trace: Value = serde_json::from_str(&trace).unwrap();
        let events = trace["traceEvents"].as_array().unwrap().iter();
        let processes = events.filter(|event| {
            let name = event["args"]["name"].as_str().unwrap_or_default();
            event["name"] == "process_name" && name.starts_with("connection ")
        });
        assert_eq!(processes.count(), timelines.len(), "{source:?}");
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            3,
            "nothing else is left"
        );
    }
}

/// Only the uploads that were chosen.
#[test]
fn a_choice_holds_for_the_page_too() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let mut command = tracer(&["replay", "recordings/uploads.trace", "--slower-than", "5ms"]);
    run(command.arg("--report").arg(&page));
    let page = fs::read_to_string(page).unwrap();
    assert!(
        page.contains("<h1>What TCP did: 1 connection</h1>"),
        "{page}"
    );
}

/// A target, a file's name and the name of a TLS server that would act in a page.
#[test]
fn hostile_names_are_text() {
    let folder = tempfile::tempdir().unwrap();
    for (capture, harmless, hostile, text) in [
        (
            "cooked-1.pcap",
            "PUT /file ",
            "PUT /<b>& ",
            "PUT /&lt;b&gt;&amp;",
        ),
        ("tls.pcapng", "upload.test", "<svg/onload", "&lt;svg/onload"),
    ] {
        let bytes = fs::read(tests().join("captures").join(capture)).unwrap();
        let changed = replaced(&bytes, harmless.as_bytes(), hostile.as_bytes());
        let source = folder.path().join(capture);
        fs::write(&source, changed).unwrap();
        let page = folder.path().join("page.html");
        run(tracer(&["read"]).arg(&source).arg("--report").arg(&page));
        let page = fs::read_to_string(page).unwrap();
        assert_is_whole(&page);
        assert!(page.contains(text), "{text} is not in {page}");
        assert!(!page.contains("<svg/") && !page.contains("<b>&"), "{page}");
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut changed = bytes.to_vec();
    let mut count = 0;
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            changed[at..at + to.len()].copy_from_slice(to);
            count += 1;
        }
    }
    assert!(count > 0);
    changed
}

#[test]
fn a_file_that_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/page.html");
    for option in ["--report", "--har", "--perfetto"] {
        for path in [folder.path(), &missing] {
            let mut command = tracer(&["read", "captures/put.pcap", option]);
            let output = command.arg(path).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            let stderr = String::from_utf8(output.stderr).unwrap();
            let expected = format!("tracer: {} cannot be written: ", path.display());
            assert!(stderr.starts_with(&expected), "{stderr}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
            assert!(output.stdout.is_empty());
        }
    }
}
