//! Whose each connection is, against what the processes themselves wrote down: threads, forks,
//! workers, short-lived ones, on loopback and between two network namespaces.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{
    lab::{Lab, Neighbour},
    trace::Trace,
};

/// The process's id and name; of each of several connections where a port was used again.
type Truth = BTreeMap<Place, Vec<(u64, String)>>;

/// An end, the client's address and port, and the server's port.
type Place = (String, String, u64, u64);

/// A load: a server of one kind and its callers, each of another.
const LOADS: [(&str, [&str; 3]); 4] = [
    ("threads", ["curl", "in_threads", "in_children"]),
    ("forks", ["in_threads", "curl", "in_children"]),
    ("workers", ["in_children", "in_threads", "curl"]),
    ("speaks_first", ["in_threads", "in_children", "curl"]),
];
const CALLS: usize = 25;

#[test]
fn of_600_connections_every_one() {
    let lab = Lab::new();
    let neighbour = lab.neighbour();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--all"]);
    let mut running = Vec::new();
    for (number, (server, callers)) in LOADS.iter().enumerate() {
        for (place, host, source) in [
            (0, "127.0.0.1", "127.0.0.1"),
            (1, Neighbour::ADDRESS, Lab::ADDRESS),
        ] {
            let port = 4400 + number * 10 + place;
            let mut command = match place {
                0 => lab.inside("python3"),
                _ => neighbour.inside("python3"),
            };
            let whole = callers.len() * CALLS;
            let mut child = script(&lab, &mut command, server, host, port, whole, source)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            wait_until_ready(&mut child);
            running.push(child);
            for (which, caller) in callers.iter().enumerate() {
                // Ports of their own for those that choose them.
                let first = 10_000 + (port - 4400) * 300 + which * 100;
                let mut command = lab.inside("python3");
                let child = script_at(&lab, &mut command, caller, host, port, CALLS, source, first);
                running.push(child.spawn().unwrap());
            }
        }
    }
    let processes = running.len();
    for mut child in running {
        assert!(child.wait().unwrap().success());
    }
    let connections = LOADS.len() * 2 * 3 * CALLS;
    tracer.wait_for_timelines(connections);
    let trace = tracer.stop();
    let truth = truth(lab.dir.path());
    let written: usize = truth.values().map(Vec::len).sum();
    assert_eq!(written, 2 * connections, "both ends wrote it down");
    let wrong = wrong(&trace, &truth);
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
    eprintln!("{connections} connections, {processes} processes and their children: all right");
    assert_eq!(trace.summary()["lost"], 0);
}

fn script<'a>(
    lab: &Lab,
    command: &'a mut Command,
    kind: &str,
    host: &str,
    port: usize,
    count: usize,
    source: &str,
) -> &'a mut Command {
    script_at(lab, command, kind, host, port, count, source, 0)
}

#[expect(clippy::too_many_arguments, reason = "the script's command line")]
fn script_at<'a>(
    lab: &Lab,
    command: &'a mut Command,
    kind: &str,
    host: &str,
    port: usize,
    count: usize,
    source: &str,
    first: usize,
) -> &'a mut Command {
    let truth = lab.dir.path().join(format!("truth-{first}"));
    command
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/kernel/owners.py"
        ))
        .args([kind, host, &port.to_string(), truth.to_str().unwrap()])
        .arg(count.to_string())
        .env("SOURCE", source)
        .stdin(Stdio::null())
}

fn wait_until_ready(child: &mut Child) {
    use std::io::{BufRead as _, BufReader};
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
}

fn truth(directory: &Path) -> Truth {
    let mut truth = Truth::new();
    for file in std::fs::read_dir(directory).unwrap() {
        let file = file.unwrap();
        if !file.file_name().to_string_lossy().starts_with("truth-") {
            continue;
        }
        for line in std::fs::read_to_string(file.path()).unwrap().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let place = (
                words[0].to_owned(),
                words[1].to_owned(),
                words[2].parse().unwrap(),
                words[3].parse().unwrap(),
            );
            let owner = (words[4].parse().unwrap(), words[5].to_owned());
            truth.entry(place).or_default().push(owner);
        }
    }
    truth
}

/// Every end that is told otherwise than it was, or not at all.
fn wrong(trace: &Trace, truth: &Truth) -> Vec<String> {
    let mut reported: BTreeMap<Place, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for timeline in trace.timelines() {
        let client = &timeline["client"];
        let peer = (
            client["addr"].as_str().unwrap().to_owned(),
            client["port"].as_u64().unwrap(),
            timeline["server"]["port"].as_u64().unwrap(),
        );
        for end in ["client", "server"] {
            let place = (end.to_owned(), peer.0.clone(), peer.1, peer.2);
            let Some(expected) = truth.get(&place) else {
                continue;
            };
            let owner = &timeline[end];
            let found = (owner["pid"].as_u64(), owner["comm"].as_str());
            let is_it = |(pid, comm): &(u64, String)| found == (Some(*pid), Some(comm.as_str()));
            if !expected.iter().any(is_it) {
                wrong.push(describe(&place, expected, owner));
            }
            *reported.entry(place).or_default() += 1;
        }
    }
    let missing = truth
        .iter()
        .filter(|(place, expected)| reported.get(*place) != Some(&expected.len()));
    wrong.extend(missing.map(|(place, _)| format!("{place:?} was not told")));
    wrong
}

fn describe(place: &Place, expected: &[(u64, String)], found: &Value) -> String {
    let also = &found["also"];
    format!(
        "{place:?} is {expected:?}, told as {} {} by {}, also {also}",
        found["pid"], found["comm"], found["owner_from"]
    )
}
