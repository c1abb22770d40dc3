//! The segments and conversations of a capture, by the tracer.

use std::{collections::HashMap, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    Options, Segment, Segments,
    conversation::{Conversation, Conversations, Message},
    tshark::analysis_names,
};

/// What `tracer read` printed.
pub(super) struct Found {
    pub(super) segments: Segments,
    pub(super) conversations: Conversations,
    /// The address and the port of each conversation's client.
    pub(super) clients: HashMap<String, (String, u64)>,
    /// Frames without a segment, by reason.
    pub(super) unread: Vec<(String, u64)>,
    /// What it said at the end, if it failed.
    pub(super) failure: Option<String>,
}

impl Found {
    /// What the tracer said of a file in a format that it does not read.
    pub(super) fn refusal(&self) -> Option<&str> {
        let failure = self.failure.as_deref()?;
        failure.contains("it is not a capture").then_some(failure)
    }
}

/// Reads a capture.
pub(super) fn read(program: &Path, file: &Path) -> Result<Found> {
    let mut command = Command::new(program);
    command
        .args(["read", "--segments", "-o", "ndjson"])
        .arg(file);
    let output = command
        .output()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    if output.status.code().is_none_or(|code| code > 1) {
        bail!("{command:?}: {}", output.status);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let lines = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(serde_json::from_slice)
        .collect::<Result<Vec<Value>, _>>()?;
    let of_type = |name: &'static str| lines.iter().filter(move |line| line["type"] == name);
    let ports: HashMap<String, (Option<u64>, Option<u64>)> = of_type("timeline")
        .map(|line| {
            let port = |end: &str| line[end]["port"].as_u64();
            (text(&line["connection"]), (port("client"), port("server")))
        })
        .collect();
    let summary = of_type("summary").next();
    let mut spans: HashMap<String, (u64, u64)> = HashMap::new();
    for line in of_type("segment") {
        let time = line["mono_ns"].as_u64().unwrap_or_default();
        let span = spans
            .entry(text(&line["connection"]))
            .or_insert((time, time));
        *span = (span.0.min(time), span.1.max(time));
    }
    let conversations = of_type("timeline")
        .map(|line| {
            let stream = text(&line["connection"]);
            let mut conversation = conversation(line);
            conversation.duration_ns = spans.get(&stream).map(|(first, last)| last - first);
            (stream, conversation)
        })
        .collect();
    Ok(Found {
        conversations,
        clients: of_type("timeline")
            .filter_map(|line| {
                let port = line["client"]["port"].as_u64()?;
                let address = text(&line["client"]["addr"]);
                Some((text(&line["connection"]), (address, port)))
            })
            .collect(),
        segments: of_type("segment")
            .map(|line| segment(line, &ports))
            .collect::<Result<_>>()?,
        unread: unread(summary),
        failure: (!output.status.success()).then_some(said),
    })
}

fn conversation(timeline: &Value) -> Conversation {
    let mut conversation = Conversation {
        bytes: ["client_to_server", "server_to_client"].map(|way| timeline["bytes"][way].as_u64()),
        incomplete: strings(&timeline["incomplete"])
            .map(str::to_owned)
            .collect(),
        ..Conversation::default()
    };
    let phases = timeline["phases"].as_array().into_iter().flatten();
    for phase in phases.filter(|phase| phase["name"] == "maintenance") {
        for exchange in phase["exchanges"].as_array().into_iter().flatten() {
            let (request, response) = (&exchange["request"], &exchange["response"]);
            let message = |head, body: &Value| Message {
                head,
                bytes: body["bytes"].as_u64(),
                missing_end: body["missing_end"].as_str().map(str::to_owned),
            };
            if let Some(method) = request["method"].as_str().filter(|one| !one.is_empty()) {
                let head = format!("{method} {}", text(&request["target"]));
                conversation.requests.push(message(head, &exchange["body"]));
            }
            if let Some(status) = response["status"].as_u64() {
                conversation
                    .responses
                    .push(message(status.to_string(), response));
            }
        }
        let malformed = phase["malformed"].as_array().into_iter().flatten();
        conversation
            .malformed
            .extend(malformed.map(|one| text(&one["what"])));
        if phase["tls"].is_object() {
            tls(&phase["tls"], &mut conversation);
        }
    }
    conversation
}

fn tls(handshake: &Value, to: &mut Conversation) {
    let facts = [
        ("SNI", text(&handshake["server_name"])),
        ("version", text(&handshake["version"])),
        ("cipher suite", text(&handshake["cipher_suite"])),
        ("ALPN", text(&handshake["alpn"])),
        (
            "alerts",
            handshake["alerts"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|alert| text(&alert["description"]))
                .collect::<Vec<_>>()
                .join(" "),
        ),
    ];
    to.is_tls = true;
    to.tls
        .extend(facts.into_iter().filter(|(_, value)| !value.is_empty()));
}

fn segment(
    line: &Value,
    ports: &HashMap<String, (Option<u64>, Option<u64>)>,
) -> Result<(u64, Segment)> {
    let number = |name: &str| line[name].as_u64();
    let options = &line["options"];
    let option = |name: &str| options[name].as_u64();
    let flags = flags(&line["flags"]);
    let stream = text(&line["connection"]);
    let (client, server) = ports.get(&stream).copied().unwrap_or_default();
    let source_port = if line["from"] == "client" {
        client
    } else {
        server
    };
    let analysis: Vec<&str> = strings(&line["analysis"]).collect();
    let segment = Segment {
        stream,
        source_port: source_port.unwrap_or_default(),
        flags,
        seq: number("seq").unwrap_or_default(),
        ack: number("ack").filter(|_| flags & 0x10 != 0),
        len: number("len"),
        window: number("window"),
        options: Options {
            mss: option("mss"),
            window_scale: option("window_scale"),
            sack_permitted: options["sack_permitted"] == true,
            timestamps: option("tsval").zip(option("tsecr")),
            sack: blocks(&options["sack"]),
        },
        analysis: analysis_names()
            .filter(|name| analysis.contains(name))
            .collect(),
    };
    let frame = number("frame").context("a segment without a frame")?;
    Ok((frame, segment))
}

fn flags(names: &Value) -> u64 {
    const NAMES: [&str; 9] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"];
    strings(names)
        .filter_map(|name| NAMES.iter().position(|known| *known == name))
        .fold(0, |flags, bit| flags | 1 << bit)
}

fn blocks(list: &Value) -> Vec<(u64, u64)> {
    let blocks = list.as_array().into_iter().flatten();
    blocks
        .filter_map(|block| block[0].as_u64().zip(block[1].as_u64()))
        .collect()
}

fn unread(summary: Option<&Value>) -> Vec<(String, u64)> {
    let totals = summary.and_then(|summary| summary["capture"].as_object());
    let counts = totals.into_iter().flatten();
    counts
        .filter(|(name, _)| !matches!(name.as_str(), "frames" | "segments"))
        .filter_map(|(name, count)| {
            Some((name.clone(), count.as_u64().filter(|count| *count > 0)?))
        })
        .collect()
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
