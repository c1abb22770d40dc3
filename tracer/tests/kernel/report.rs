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
