//! Names full of characters that act on a terminal, or show another name than there is: none of them reaches an
//! output as itself.

use std::{fs, process::Command};

use upload_protocol::plain::is_hidden;

use crate::lab::{Lab, run};

/// ESC, C1, DEL, right-to-left override, isolate, zero width space, byte order mark, line separator.
const EVIL: &str = "\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}\u{61c}";

/// Uploads under such a name, by a process with such a name, with such a target and such fields.
const CLIENT: &str = r#"
import ctypes, socket, sys
from urllib.parse import quote
evil = sys.argv[1]
raw = evil.encode()
ctypes.CDLL(None).prctl(15, ("\x9b" + "\u202e" + "\x1b[2J\u2066").encode()[:15], 0, 0, 0)
name = quote(evil.replace("\x1b", "").replace("\x9b", "").replace("\x7f", ""))
def ask(head, body=b""):
    with socket.create_connection(("127.0.0.1", 5000)) as s:
        s.sendall(head + b"Host: 127.0.0.1:5000\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        while s.recv(65536): pass
ask(b"PUT /" + name.encode() + b" HTTP/1.1\r\n", b"content")
ask(b"PUT /" + raw + b" HTTP/1.1\r\nUser-Agent: " + raw + b"\r\n", b"content")
ask(b"P" + raw + b" /x HTTP/1.1\r\n")
ask(b"GET /" + quote(evil).encode() + b"?" + quote(evil).encode() + b" HTTP/1.1\r\nX-Request-Id: " + raw + b"\r\n")
"#;

fn check(what: &str, text: &str) {
    let hidden = |character: &char| is_hidden(*character) && !matches!(character, '\n' | '\t');
    assert_eq!(text.chars().find(hidden), None, "{what}: {text:?}");
}

#[test]
fn no_output_has_hidden_characters() {
    let lab = Lab::new();
    let dir = |name: &str| lab.dir.path().join(name);
    let (recording, capture, log) = (dir("recording"), dir("capture"), dir("log"));
    let server_log = dir("server-log");
    let server = lab.server_logging_to(&server_log, &[]);
    let mut tracer = Command::new(env!("CARGO_BIN_EXE_tracer"));
    tracer
        .arg("record")
        .arg(&recording)
        .arg("-vv")
        .args(["-o", "ndjson", "--segments", "--explain", "--server"])
        .arg(lab.control())
        .arg("--pcapng")
        .arg(&capture)
        .stderr(fs::File::create(&log).unwrap());
    let mut tracer = lab.tracer_by(tracer);
    let mut shown = Command::new(env!("CARGO_BIN_EXE_tracer"));
    shown.args(["--segments", "--explain", "--port", "5000"]);
    let mut shown = lab.tracer_by(shown);
    run(lab.inside("python3").args(["-c", CLIENT, EVIL]));
    tracer.wait_for_timelines(4);
    shown.wait_for_text("termination");
    let page = |target: &str| {
        let url = server.url(target);
        let output = lab.curl(&["--fail", &url]);
        assert!(output.status.success(), "{target}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    crate::lab::wait_until(|| page("t/1.ndjson").contains("timeline"));
    for form in [
        "",
        "?fragment",
        ".json",
        ".ndjson",
        ".har",
        ".perfetto.json",
    ] {
        check(form, &page(&format!("t/1{form}")));
    }
    let text = shown.stop_text();
    check("text", &text);
    // A name is still there, for who looks for it.
    assert!(text.contains(r"\u{202e}"), "{text}");
    let trace = tracer.stop();
    let lines = trace.lines.iter().map(ToString::to_string);
    assert!(lines.clone().any(|line| line.contains('\u{202e}')));
    server.stop();
    check("stderr", &fs::read_to_string(log).unwrap());
    check("the server's log", &fs::read_to_string(server_log).unwrap());
    let comments = run(Command::new("tshark")
        .args(["-n", "-T", "fields", "-e", "frame.comment", "-r"])
        .arg(&capture));
    check("capture", &comments);
    assert!(comments.contains(r"\u{9b}"), "{comments}");
    for arguments in [
        &[][..],
        &["--explain"],
        &["-o", "ndjson"],
        &["-o", "ndjson", "--explain"],
    ] {
        for colour in ["0", "1"] {
            let replayed = run(Command::new(env!("CARGO_BIN_EXE_tracer"))
                .arg("replay")
                .args(arguments)
                .arg(&recording)
                .env("CLICOLOR_FORCE", colour));
            let styles = ["0", "1", "2", "31", "32", "33", "36"];
            let plain = styles.iter().fold(replayed, |text, style| {
                text.replace(&format!("\u{1b}[{style}m"), "")
            });
            check(&format!("{arguments:?}"), &plain);
        }
    }
}

/// Names of files, as a shell expands them.
#[test]
fn a_refused_command_line_has_no_hidden_characters() {
    let evil = EVIL.replace('\u{1b}', "\u{1b}[31m\u{1b}");
    for arguments in [
        vec![evil.as_str()],
        vec!["--port", &evil],
        vec!["--pid", "1", "--cookie", &evil],
        vec!["replay", &evil],
        vec!["record", "/", &evil],
        vec!["--server", &evil],
        vec!["--", &evil],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_tracer"))
            .args(&arguments)
            .output()
            .unwrap();
        assert!(!output.status.success(), "{output:?}");
        check("stdout", &String::from_utf8(output.stdout).unwrap());
        check("stderr", &String::from_utf8(output.stderr).unwrap());
    }
}
