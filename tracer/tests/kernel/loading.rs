//! One eBPF object for all kernels: every program that this kernel has a place for loads, and what it
//! lacks is said.

use std::{fs, process::Command};

use serde_json::{Value, json};
use tracer::internals::kernel::{Filter, Probe, Records};

use crate::{
    lab::{self, Lab, has_failed_retransmits, has_helpers, has_reset_reasons, has_trampolines},
    loaded::Loaded,
    trace::Trace,
};

/// The programs that need nothing newer than Linux 6.1.
const EVERYWHERE: [&str; 15] = [
    "tracer_state",
    "tracer_state_2",
    "tracer_read",
    "tracer_retrans",
    "tracer_retran_2",
    "tracer_synack",
    "tracer_rst_sent",
    "tracer_rst_recv",
    "tracer_error",
    "tracer_fork",
    "tracer_exit",
    "tracer_sample",
    "tracer_in",
    "tracer_out",
    "tracer_release",
];

/// Who sends, on TCP and on Unix sockets, is seen by one of these, by up to four, or by none.
fn senders() -> Vec<&'static str> {
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap();
    let has = |name: &str| {
        symbols
            .lines()
            .any(|line| line.split_whitespace().nth(2) == Some(name))
    };
    if has("__traceiter_sock_send_length") {
        return vec!["tracer_send"];
    }
    if !has_trampolines() {
        return Vec::new();
    }
    let pairs = [
        ("tracer_sendmsg", "tcp_sendmsg"),
        ("tracer_sendpage", "tcp_sendpage"),
        ("tracer_unix_snd", "unix_stream_sendmsg"),
        ("tracer_unix_pag", "unix_stream_sendpage"),
    ];
    pairs
        .into_iter()
        .filter(|(_, function)| has(function))
        .map(|(program, _)| program)
        .collect()
}

/// As much as there is to load: every segment, processes by their ids, samples, and every record counted.
#[test]
fn every_program_loads() {
    let lab = Lab::new();
    if !has_helpers() {
        lab::skip(&what_an_old_kernel_lacks());
        return;
    }
    let own = std::process::id().to_string();
    for more in [&["--segments"][..], &["--audit"], &[]] {
        let tracer =
            lab.tracer_alone(&[&["-o", "ndjson", "--samples", "-v", "--pid", &own], more].concat());
        let loaded = Loaded::by(tracer.pid());
        if let Some(most) = loaded.most_verified() {
            let most = f64::from(most) / 1e6;
            lab::report_figures(&format!(
                "{more:?}: {most:.2} million instructions verified"
            ));
        }
        let attached = loaded.program_names();
        for name in EVERYWHERE.into_iter().chain(senders()) {
            let count = attached.iter().filter(|found| *found == name).count();
            assert!(count > 0, "{name} is not among {attached:?}");
        }
        let trace = tracer.stop();
        let missing = trace.summary().get("missing");
        let missing = missing.and_then(|missing| missing.as_array().cloned());
        assert_eq!(missing.unwrap_or_default(), expected_missing());
    }
}

/// What the tracer names as missing on this kernel.
fn expected_missing() -> Vec<Value> {
    let mut expected = Vec::new();
    if senders().is_empty() {
        expected.push(json!({
            "what": "tracepoint sock_send_length",
            "lost": "which process sends on a connection and never reads, and which Unix socket a server passes a request on to",
        }));
    }
    if !has_failed_retransmits() {
        expected.push(json!({
            "what": "argument err of tracepoint tcp_retransmit_skb (Linux 6.17)",
            "lost": "which retransmissions this machine failed to send",
        }));
    }
    if !has_reset_reasons() {
        expected.push(json!({
            "what": "argument reason of tracepoint tcp_send_reset (Linux 6.10)",
            "lost": "why a socket of this machine sent a RST",
        }));
    }
    expected
}

/// One sentence, from the tracer and from its doctor.
fn what_an_old_kernel_lacks() -> String {
    let [trace, doctor] = ["--all", "doctor"].map(|argument| {
        let mut tracer = Command::new(env!("CARGO_BIN_EXE_tracer"));
        let output = tracer.arg(argument).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        output
    });
    let stderr = String::from_utf8(trace.stderr).unwrap();
    let sentence = stderr.trim_end().strip_prefix("tracer: ").unwrap();
    assert!(sentence.contains(" cookies of sockets, "), "{sentence}");
    assert!(!sentence.contains('\n'), "{sentence}");
    let stdout = String::from_utf8(doctor.stdout).unwrap();
    let programs = stdout.lines().find(|line| line.starts_with("programs "));
    assert!(programs.unwrap().ends_with(sentence), "{stdout}");
    sentence.to_owned()
}

/// A machine may have that many open when the tracer begins; what it has more is not followed, and
/// the others are.
#[test]
fn a_quarter_of_a_million_sockets_have_room() {
    let _lab = Lab::new();
    let nobody = u32::MAX;
    let filter = Filter {
        pids: vec![nobody],
        ..Filter::default()
    };
    let mut probe = Probe::attach(&filter, 4096, Records::default()).unwrap();
    let room = 1 << 18;
    let nothings: Vec<u64> = (0..=room).map(|n| u64::MAX - n).collect();
    assert_eq!(probe.remember(&nothings).unwrap(), nothings.len() - 1);
}

/// The tracer in a mount namespace without cgroup v2, which may not mount it for itself.
#[test]
fn missing_parts_are_printed() {
    let lab = Lab::new();
    let root = tracer::internals::kernel::cgroups::cgroup2_root()
        .unwrap()
        .unwrap();
    let script = format!(
        "umount -l {} && exec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin {} -o ndjson --port 4001 -- curl http://127.0.0.1:4001/",
        root.display(),
        env!("CARGO_BIN_EXE_tracer")
    );
    let output = lab
        .inside("unshare")
        .args(["--mount", "sh", "-c", &script])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7), "curl's, which is refused");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let what = "cgroup v2 hierarchy (mounted)";
    let sentence = format!("{what} is unavailable on this kernel, so segments");
    assert!(stderr.contains(&sentence), "{stderr}");

    let lines = String::from_utf8(output.stdout).unwrap();
    let trace = Trace::new(lines.lines().map(str::to_owned).collect());
    assert_eq!(trace.summary()["missing"][0]["what"], what);
    let failure = &trace.only_to(4001)["phases"][0]["failure"];
    assert_eq!(
        failure, "refused",
        "the changes of state show it all the same"
    );
}

/// A recording lists the parts that were missing where it was made.
#[test]
fn missing_parts_are_recorded() {
    let lab = Lab::new();
    let root = tracer::internals::kernel::cgroups::cgroup2_root()
        .unwrap()
        .unwrap();
    let file = lab.dir.path().join("recording");
    let script = format!(
        "umount -l {} && exec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin {} record {} -o ndjson --port 4001 -- true",
        root.display(),
        env!("CARGO_BIN_EXE_tracer"),
        file.display()
    );
    let live = lab
        .inside("unshare")
        .args(["--mount", "sh", "-c", &script])
        .output()
        .unwrap();
    assert!(live.status.success(), "{live:?}");
    let replayed = Command::new(env!("CARGO_BIN_EXE_tracer"))
        .arg("replay")
        .arg(&file)
        .args(["-o", "ndjson"])
        .output()
        .unwrap();
    assert_eq!(replayed.stdout, live.stdout);
    let lines = String::from_utf8(live.stdout).unwrap();
    assert!(
        lines.contains(r#""missing":[{"what":"cgroup v2"#),
        "{lines}"
    );
}
