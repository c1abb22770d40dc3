//! A report of a live run, in a real browser: Chromium, driven by `upload-server/tests/browser/report.mjs`.

use std::{fs, path::Path, process::Command};

use crate::{
    browser::{is_missing, script},
    lab::{Lab, run},
};

/// Opens the page as a user would.
fn browse(name: &str, page: &Path) {
    if is_missing() {
        return;
    }
    run(script(Command::new("node"), "report.mjs")
        .arg(name)
        .arg(page));
}

/// Readable at each width and in each colour, and complete in words.
#[test]
fn plots_are_drawn() {
    let lab = Lab::new();
    let page = lab.dir.path().join("page.html");
    let server = lab.server(&[]);
    let mut tracer = lab.tracer(&["--report", page.to_str().unwrap()]);
    lab.upload(&lab.file("a.bin", 100_000_000), &server.url("a.bin"));
    tracer.wait_for_timelines(1);
    tracer.stop();
    server.stop();
    let text = fs::read_to_string(&page).unwrap();
    assert_eq!(text.matches("<figure").count(), 4, "{text}");
    browse("plots", &page);
}

/// What is written of a connection, without what is drawn: how many points a curve takes is up to its course.
fn without_drawings(connection: &str) -> String {
    let mut parts = connection.split("<svg");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once("</svg>").unwrap().1
    })
}

/// 1,000 uploads have to take less than 10 MB. What many connections have in common is in the page once.
#[test]
fn a_connection_takes_few_bytes() {
    const MOST: usize = 7_500;
    const MOST_WITH_PLOTS: usize = 8_500;
    /// With what held the upload back, too: on a slow machine, something does.
    const MOST_HELD_BACK: usize = 15_000;
    let lab = Lab::new();
    let page = lab.dir.path().join("page.html");
    let server = lab.server(&[]);
    let mut tracer = lab.tracer(&["--report", page.to_str().unwrap()]);
    let files = [20_000, 1_000_000, 50_000_000].map(|bytes| lab.file(&format!("{bytes}"), bytes));
    for number in 0..5 {
        for file in &files {
            lab.upload(file, &server.url(&format!("file-{number}.bin")));
        }
    }
    tracer.wait_for_timelines(15);
    tracer.stop();
    server.stop();
    let text = fs::read_to_string(&page).unwrap();
    let connections: Vec<&str> = text.split("<li class=\"phase-").skip(1).collect();
    assert_eq!(connections.len(), 15);
    let [mut plain, mut plotted] = [0, 0];
    for connection in connections {
        let bytes = without_drawings(connection).len();
        let is_plotted = connection.contains("<figure>");
        let most = match (is_plotted, connection.contains("held-back")) {
            (false, false) => MOST,
            (true, false) => MOST_WITH_PLOTS,
            (_, true) => MOST_HELD_BACK,
        };
        *(if is_plotted { &mut plotted } else { &mut plain }) += 1;
        assert!(bytes < most, "{bytes} bytes: {connection}");
    }
    assert!(plain >= 5 && plotted >= 5, "{plain}, {plotted}");
}

/// A process, a target and a file with names that would act in a page, and show another name than there is.
const CLIENT: &str = r#"
import ctypes, socket
from urllib.parse import quote
ctypes.CDLL(None).prctl(15, "<img src=x>\u202e".encode(), 0, 0, 0)
name = quote("<script>alert(1)<!--")
for target in [name, "\"'><svg/onload=alert(2)>", "b'`${alert(3)}"]:
    with socket.create_connection(("127.0.0.1", 5000)) as s:
        s.sendall(b"PUT /" + target.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1:5000\r\nConnection: close\r\nContent-Length: 7\r\n\r\ncontent")
        while s.recv(65536): pass
"#;

/// SIGINT ends the run, as a user does.
#[test]
fn nothing_in_a_report_acts() {
    let lab = Lab::new();
    let page = lab.dir.path().join("page.html");
    let server = lab.server(&[]);
    let mut tracer = lab.tracer(&["--report", page.to_str().unwrap()]);
    run(lab.inside("python3").args(["-c", CLIENT]));
    tracer.wait_for_timelines(3);
    assert!(!page.exists(), "it is whole, or not there");
    tracer.stop();
    server.stop();
    let text = fs::read_to_string(&page).unwrap();
    for hostile in ["<img", "<script", "<svg/onload", "\u{202e}"] {
        assert!(!text.contains(hostile), "{hostile}: {text}");
    }
    for shown in [
        "&lt;img src=x&gt;\\u{202e}",
        "&lt;script&gt;alert(1)&lt;!--",
    ] {
        assert!(text.contains(shown), "{shown} is not in {text}");
    }
    browse("hostile", &page);
}
