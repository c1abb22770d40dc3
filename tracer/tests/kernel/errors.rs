//! What cannot work is one sentence on stderr and exit status 1, with nothing left attached.

use std::process::{Command, Stdio};

use crate::lab::Lab;

const TRACER: &str = env!("CARGO_BIN_EXE_tracer");

/// Starts `words` and expects it to fail with `sentence`.
fn check(words: &[&str], status: i32, sentence: &str) {
    let output = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{words:?}: {stderr}");
    assert!(stderr.contains(sentence), "{words:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{words:?} wrote to stdout");
    if status == 1 {
        assert_eq!(stderr.lines().count(), 1, "{words:?}: {stderr}");
    }
}

#[test]
fn each_is_one_sentence() {
    let lab = Lab::new();
    let nowhere = lab.dir.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    let everybodys = lab.everybodys_tracer();
    let everybodys = everybodys.to_str().unwrap();
    let no_btf = format!("mount -t tmpfs none /sys/kernel/btf && exec {TRACER} --all");
    let cases: &[(&[&str], i32, &str)] = &[
        (
            &[
                "setpriv",
                "--reuid=65534",
                "--clear-groups",
                everybodys,
                "--all",
            ],
            1,
            "without CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN: run the tracer as root (sudo), or",
        ),
        (
            &["unshare", "--user", "--map-root-user", TRACER, "--all"],
            1,
            "in a user namespace (a rootless container) they have no effect",
        ),
        (
            &["unshare", "--mount", "sh", "-c", &no_btf],
            1,
            "CONFIG_DEBUG_INFO_BTF=y",
        ),
        (
            &[TRACER, "--server", nowhere],
            1,
            "start one with `upload-server`",
        ),
        (
            &[TRACER, "--pid", "4194305"],
            1,
            "there is no process 4194305",
        ),
        (&[TRACER, "replay", nowhere], 1, "cannot be opened"),
        (
            &[TRACER, "record", "/proc/none/file", "--all"],
            1,
            "the recording /proc/none/file cannot be written",
        ),
        (&[TRACER, "--no-such-flag"], 2, "unexpected argument"),
        (&[TRACER, "--all", "--port", "1"], 2, "cannot be used with"),
        (&[TRACER, "--port", "70000"], 2, "70000 is not in 1..=65535"),
        (&[TRACER, "--port", "0"], 2, "0 is not in 1..=65535"),
        (&[TRACER, "--pid", "0"], 2, "0 is not in 1.."),
        (&[TRACER, "--pid", "4294967296"], 2, "--pid"),
        (&[TRACER, "--comm", ""], 2, "--comm"),
        (&[TRACER, "--cookie", "0"], 2, "no socket has the cookie 0"),
        (&[TRACER, "--cookie", "sk:xyz"], 2, "as `ss -e` prints it"),
        (&[TRACER, "--count", "0"], 2, "--count"),
        (&[TRACER, "--ring-size", "0"], 2, "0 is not in 1..="),
        (&[TRACER, "--ring-size", "4294967295"], 2, "is not in 1..="),
        (&[TRACER, "--max-connections", "0"], 2, "0 is not in 1.."),
        (&[TRACER, "--duration", "nan"], 2, "--duration"),
        (&[TRACER, "--duration", "1e30"], 2, "--duration"),
        (
            &[TRACER, "--pid", "2"],
            1,
            "(kthreadd) is a thread of the kernel",
        ),
        (&[TRACER, "--duration=-1"], 2, "--duration"),
    ];
    for (words, status, sentence) in cases {
        check(words, *status, sentence);
    }
}

/// `tracer | head` ends quietly.
#[test]
fn a_closed_pipe_is_no_error() {
    let lab = Lab::new();
    let mut tracer = Command::new(TRACER)
        .args(["--port", "5998", "-o", "ndjson"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = std::io::BufReader::new(tracer.stderr.take().unwrap());
    let mut line = String::new();
    // What the kernel lacks comes before.
    while !line.contains("attached") {
        line.clear();
        let length = std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
        assert!(length > 0, "it ended before it was attached");
    }
    drop(tracer.stdout.take());
    while tracer.try_wait().unwrap().is_none() {
        let refused = lab.curl(&["http://127.0.0.1:5998/"]);
        assert!(!refused.status.success());
    }
    assert!(tracer.wait().unwrap().success());
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut rest).unwrap();
    assert_eq!(rest, "");
}
