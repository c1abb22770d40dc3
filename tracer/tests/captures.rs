//! The captures beside this file are shown as ever, on each system that the tracer is built for.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use pcap_file::pcapng::{
    Block, PcapNgReader, blocks::interface_description::InterfaceDescriptionOption,
};

/// Where a person reads how they were made.
const README: &str = "README.md";

#[test]
fn each_is_shown_as_ever() {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        for file in captures() {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            insta::assert_snapshot!(name, shown(&file));
        }
    });
}

/// As tshark's Info column has it, at the segment in which it begins.
#[test]
fn segments_name_what_begins_in_their_payload() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let flight = "Server Hello, Change Cipher Spec, Application Data";
    for (name, expected) in [
        (
            "cooked-1.pcap",
            &[
                "PUT /file HTTP/1.1",
                "HTTP/1.1 100 Continue",
                "HTTP/1.1 201 Created",
            ][..],
        ),
        (
            "http2.pcap.gz",
            &[
                "Magic, SETTINGS[0], WINDOW_UPDATE[0]",
                "SETTINGS[0]",
                "SETTINGS[0], WINDOW_UPDATE[0]",
                "HEADERS[1]: PUT /file",
                "SETTINGS[0]",
                "DATA[1]",
                "HEADERS[1], DATA[1]",
            ],
        ),
        (
            "tls.pcapng",
            &[
                "Client Hello (SNI=upload.test)",
                flight,
                "Change Cipher Spec, Application Data",
                "Application Data",
                "Application Data",
                "Application Data",
                "Application Data",
                "Application Data",
                "Application Data",
                "Application Data",
                "Client Hello (SNI=upload.test)",
                flight,
                "Alert (Level: Fatal, Description: Unknown CA)",
            ],
        ),
    ] {
        let mut command = tracer();
        command.arg(folder.join(name));
        let output = command.args(["--segments", "-o", "ndjson"]).output();
        let lines = text(&output.unwrap());
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let infos: Vec<String> = lines
            .filter_map(|line| Some(line.get("info")?.as_str()?.to_owned()))
            .collect();
        assert_eq!(infos, expected, "{name}");
    }
}

/// A capture in a pipe is read as its file is: no byte of it is taken for the end of a line.
#[test]
fn a_stream_is_shown_as_its_file() {
    for file in captures() {
        let mut command = tracer();
        let stream = fs::File::open(&file).unwrap();
        let output = command.arg("-").stdin(stream).output().unwrap();
        assert_eq!(text(&output), shown(&file), "{}", file.display());
    }
}

/// Written as pcapng, the segments of two captures have an interface for each: their senders'.
#[test]
fn two_captures_are_two_interfaces() {
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("both.pcapng");
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let names = ["lost-client.pcap", "lost-server.pcap"];
    let output = tracer()
        .current_dir(captures)
        .args(names)
        .args(["--segments", "-o", "ndjson", "--pcapng"])
        .arg(&written)
        .output()
        .unwrap();
    let senders = text(&output);
    let sent = ["client", "server"].map(|end| {
        let from = format!("\"from\":\"{end}\"");
        let segments = senders
            .lines()
            .filter(|line| line.contains("\"type\":\"segment\""));
        segments.filter(|line| line.contains(&from)).count()
    });
    assert!(sent.iter().all(|count| *count > 0), "{sent:?}");
    let file = fs::File::open(&written).unwrap();
    let mut reader = PcapNgReader::new(file).unwrap();
    let mut packets = [0; 2];
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.unwrap() {
            packets[usize::try_from(packet.interface_id).unwrap()] += 1;
        }
    }
    let found = reader.interfaces().iter().map(|interface| {
        let mut options = interface.options.iter();
        options.find_map(|option| match option {
            InterfaceDescriptionOption::IfName(name) => Some(name.to_string()),
            _ => None,
        })
    });
    assert!(found.eq(names.map(|name| Some(name.to_owned()))));
    assert_eq!(packets, sent);
}

/// Two captures in two pieces each are read like the two.
#[test]
fn two_captures_in_pieces() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let folder = tempfile::tempdir().unwrap();
    let shown = |files: &[&str]| {
        let mut command = tracer();
        command.args(["--segments", "-o", "ndjson"]).args(files);
        let output = command.current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        text(&output)
    };
    for name in ["client", "server"] {
        let whole = fs::read(captures.join(format!("lost-{name}.pcap"))).unwrap();
        let at = half(&whole);
        let pieces = [&whole[..at], &[&whole[..24], &whole[at..]].concat()];
        for (number, piece) in (1..).zip(pieces) {
            fs::write(folder.path().join(format!("{name}-{number}")), piece).unwrap();
        }
        fs::write(folder.path().join(name), whole).unwrap();
    }
    let pieces = ["client-1", "client-2", "server-1", "server-2"];
    let whole = shown(&["client", "server"]);
    let named = |text: String| {
        text.replace("client-1 + client-2", "client")
            .replace("server-1 + server-2", "server")
    };
    assert_eq!(named(shown(&pieces)), whole);
    // The piece that is given first is of the first capture.
    assert_eq!(
        named(shown(&["client-2", "server-1", "client-1", "server-2"])),
        whole
    );
}

/// Where in a pcap of the usual byte order about half of its packets are over.
fn half(pcap: &[u8]) -> usize {
    let mut at = 24;
    while at < pcap.len() / 2 {
        let length = pcap[at + 8..at + 12].try_into().unwrap();
        at += 16 + usize::try_from(u32::from_le_bytes(length)).unwrap();
    }
    at
}

fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.file_name().unwrap() != README);
    files.sort();
    assert!(!files.is_empty());
    files
}

fn tracer() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command.arg("read");
    command
}

fn shown(file: &Path) -> String {
    let output = tracer().arg(file).output().unwrap();
    assert!(output.status.success(), "{}: {output:?}", file.display());
    text(&output)
}

fn text(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}
