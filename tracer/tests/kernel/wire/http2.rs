//! The frames of HTTP/2 in clear text, counted as tshark counts them.

use std::{collections::BTreeMap, path::Path, process::Command};

use super::check;
use crate::lab::{Lab, run};

#[test]
fn frames_with_prior_knowledge() {
    let lab = Lab::new();
    let server = lab.server(&["--http2"]);
    let port = server.address.port();
    let file = lab.file("file", 500);
    let trace = check(&lab, port, 1, || {
        let uploaded = lab.curl(&[
            "--http2-prior-knowledge",
            "--upload-file",
            file.to_str().unwrap(),
            &server.url(""),
        ]);
        assert!(uploaded.status.success(), "{uploaded:?}");
    });
    let maintenance = &trace.timelines()[0]["phases"][1];
    assert_eq!(maintenance["protocol"], "http2");
    let expected = by_tshark(&lab.dir.path().join("capture.pcap"), port);
    for (end, expected) in [("client", &expected[0]), ("server", &expected[1])] {
        let count = &maintenance["http2"][end];
        assert_eq!(count["more"], false);
        let found: BTreeMap<u8, (u64, u64)> = count["types"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, sum)| {
                let number = NAMES.iter().position(|known| known == name).unwrap();
                let sum = |field: &str| sum[field].as_u64().unwrap();
                (u8::try_from(number).unwrap(), (sum("frames"), sum("bytes")))
            })
            .collect();
        assert_eq!(&found, expected, "frames of the {end}");
    }
    server.stop();
}

/// RFC 9113, section 6, by number.
const NAMES: [&str; 10] = [
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
];

/// How many frames of each type, and their bytes: the client's, the server's.
fn by_tshark(file: &Path, port: u16) -> [BTreeMap<u8, (u64, u64)>; 2] {
    let text = run(Command::new("tshark").arg("-r").arg(file).args([
        "-d",
        &format!("tcp.port=={port},http2"),
        "-Y",
        "http2",
        "-T",
        "fields",
        "-e",
        "tcp.srcport",
        "-e",
        "http2.type",
        "-e",
        "http2.length",
    ]));
    let mut sides = [BTreeMap::new(), BTreeMap::new()];
    for line in text.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let side = &mut sides[usize::from(columns[0] == port.to_string())];
        for (kind, length) in columns[1].split(',').zip(columns[2].split(',')) {
            if kind.is_empty() {
                continue;
            }
            let sum: &mut (u64, u64) = side.entry(kind.parse().unwrap()).or_default();
            sum.0 += 1;
            sum.1 += length.parse::<u64>().unwrap();
        }
    }
    sides
}
