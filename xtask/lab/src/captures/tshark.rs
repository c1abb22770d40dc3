//! The segments and conversations of a capture, by tshark.

mod messages;
mod pdml;
mod volume;

use std::{collections::HashMap, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use super::{Options, Segment, Segments, conversation::Conversations};
use xtask::tshark::ANALYSIS;

/// What tshark shows of a capture.
pub(super) struct Expected {
    pub(super) segments: Segments,
    /// When each frame passed, in nanoseconds.
    times: HashMap<u64, u64>,
    /// Who sent it.
    senders: HashMap<u64, String>,
    remarks: HashMap<u64, Remark>,
    /// Whether a frame is older than the one before it.
    goes_back: bool,
    /// Whether it shows HTTP or TLS.
    has_messages: bool,
}

/// What else tshark shows of a segment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Remark {
    /// When it passed, in nanoseconds.
    pub(super) time_ns: u64,
    /// Length of its header in bytes.
    pub(super) header: u64,
    /// Whether it is a SYN or a SYN-ACK with other numbers than the one before, on the same ports.
    pub(super) is_reused: bool,
    /// Whether its acknowledgment number is not 0, whatever its flags are.
    pub(super) has_ack_number: bool,
    /// Whether its sequence number is 0, not relative.
    pub(super) is_zero: bool,
    /// Whether its last bytes are taken for a checksum of `FabricPath`, so that its IP packet lacks them.
    pub(super) lacks_end: bool,
}

const FIELDS: [&str; 22] = [
    "frame.number",
    "frame.time_epoch",
    "ip.src",
    "ipv6.src",
    "tcp.stream",
    "tcp.srcport",
    "tcp.flags",
    "tcp.seq",
    "tcp.ack",
    "tcp.len",
    "tcp.window_size",
    "tcp.window_size_value",
    "tcp.window_size_scalefactor",
    "tcp.options.mss_val",
    "tcp.options.wscale.shift",
    "tcp.options.sack_perm",
    "tcp.options.timestamp.tsval",
    "tcp.options.timestamp.tsecr",
    "tcp.options.sack_le",
    "tcp.options.sack_re",
    "tcp.hdr_len",
    "tcp.analysis.reused_ports",
];

/// What tshark is asked for besides: of each frame.
const OF_FRAME: [&str; 6] = [
    "frame.time_delta",
    "frame.protocols",
    "cfp.fcs",
    "ip.bogus_ip_length",
    "tcp.seq_raw",
    "tcp.ack_raw",
];

/// Segments, without those that ICMP messages quote; and frames that are older than the one before.
const FRAMES: &str = "(tcp && !icmp && !icmpv6) || frame.time_delta < 0";

/// They give numbers (`tcp.stream`) to what is within a segment: a conversation behind a proxy, samples of others' packets; or
/// to a conversation once more.
const NUMBERING: [&str; 3] = ["socks", "sflow", "vnc"];

/// The tracer's names of what tshark finds.
pub(super) fn analysis_names() -> impl Iterator<Item = &'static str> {
    ANALYSIS.iter().map(|(_, name)| *name)
}

/// What tshark is asked for of each segment.
pub(crate) fn fields() -> impl Iterator<Item = &'static str> {
    FIELDS.into_iter().chain(ANALYSIS.map(|(flag, _)| flag))
}

/// tshark, without what gives conversations numbers of its own.
fn tshark() -> Command {
    let mut command = Command::new("tshark");
    command.arg("-n");
    for protocol in NUMBERING {
        command.args(["--disable-protocol", protocol]);
    }
    command
}

/// An error if tshark reads no packet of the file.
pub(super) fn read(file: &Path) -> Result<Expected> {
    let mut command = tshark();
    command.args(["-Y", FRAMES, "-T", "fields"]);
    command.args(["-E", "separator=|", "-E", "occurrence=a", "-r"]);
    command.arg(file);
    for field in fields().chain(OF_FRAME) {
        command.args(["-e", field]);
    }
    let output = command.output().context("tshark cannot be started")?;
    // A capture that is cut at its end is read up to there.
    if !output.status.success() && output.stdout.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().next_back().unwrap_or("no reason").to_owned();
        bail!("tshark: {last}");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut expected = Expected {
        segments: Segments::new(),
        times: HashMap::new(),
        senders: HashMap::new(),
        remarks: HashMap::new(),
        goes_back: false,
        has_messages: false,
    };
    for line in text.lines() {
        let values: Vec<&str> = line.split('|').collect();
        let time_ns = values.get(1).and_then(|time| nanoseconds(time));
        let of_frame = values.get(FIELDS.len() + ANALYSIS.len()..);
        let &[delta, protocols, checksum, bogus_length, seq, ack] = of_frame.unwrap_or_default()
        else {
            bail!("tshark's line has another number of fields: {line}");
        };
        let protocols: Vec<&str> = protocols.split(':').collect();
        let has = |names: &[&str]| protocols.iter().any(|one| names.contains(one));
        expected.goes_back |= delta.starts_with('-');
        if !has(&["tcp"]) || has(&["icmp", "icmpv6"]) {
            continue;
        }
        expected.has_messages |= has(&["http", "http2", "tls"]);
        let (frame, segment) = segment(line)?;
        // Of a tunnel, the innermost address.
        let innermost = protocols.iter().rfind(|one| matches!(**one, "ip" | "ipv6"));
        let place = if innermost == Some(&"ipv6") { 3 } else { 2 };
        let senders = values.get(place).copied().unwrap_or_default();
        let sender = senders.rsplit(',').find(|one| !one.is_empty());
        let sender = sender.unwrap_or_default();
        let value = |field: &str| value(&values, field);
        let remark = Remark {
            time_ns: time_ns.unwrap_or_default(),
            header: number(value("tcp.hdr_len")).unwrap_or_default(),
            is_reused: !value("tcp.analysis.reused_ports").is_empty(),
            has_ack_number: !matches!(ack, "" | "0"),
            is_zero: seq == "0",
            lacks_end: !checksum.is_empty() && !bogus_length.is_empty(),
        };
        expected.remarks.insert(frame, remark);
        expected.senders.insert(frame, sender.to_owned());
        expected.segments.insert(frame, segment);
        expected
            .times
            .extend(time_ns.map(|time_ns| (frame, time_ns)));
    }
    Ok(expected)
}

impl Expected {
    /// What else tshark shows of the segment in a frame.
    pub(super) fn remark(&self, frame: u64) -> Remark {
        self.remarks.get(&frame).copied().unwrap_or_default()
    }

    /// Whether a frame is older than the one before it.
    pub(super) const fn goes_back(&self) -> bool {
        self.goes_back
    }

    /// The conversations. The client of each is the end with this address and port.
    pub(super) fn conversations(
        &self,
        file: &Path,
        clients: &HashMap<String, (String, u64)>,
        found: &Segments,
    ) -> Result<Conversations> {
        let segments = self.segments.iter();
        let streams = segments
            .map(|(frame, segment)| {
                let sender = self.senders.get(frame).map_or("", String::as_str);
                let is_client = clients.get(&segment.stream).is_some_and(|(address, port)| {
                    *port == segment.source_port && address == sender
                });
                (*frame, (segment.stream.clone(), is_client))
            })
            .collect();
        // Those whose header cannot be one, or is not whole, belong to none.
        let whole = self
            .segments
            .iter()
            .filter(|(frame, segment)| segment.len.is_some() || found.contains_key(frame));
        let mut conversations = volume::conversations(whole, &self.times, &streams);
        for (frame, segment) in &self.segments {
            if self.remark(*frame).is_reused
                && let Some(conversation) = conversations.get_mut(&segment.stream)
            {
                conversation.is_numbered_anew = true;
            }
        }
        if self.has_messages {
            messages::dissect(file, &streams, &mut conversations)?;
        }
        Ok(conversations)
    }
}

/// The value of a field; empty if it has none.
fn value<'a>(values: &[&'a str], field: &str) -> &'a str {
    let at = FIELDS.iter().position(|name| *name == field);
    at.and_then(|at| values.get(at))
        .copied()
        .unwrap_or_default()
}

fn segment(line: &str) -> Result<(u64, Segment)> {
    let values: Vec<&str> = line.split('|').collect();
    let (fields, analysis) = values
        .split_at_checked(FIELDS.len())
        .with_context(|| format!("tshark's line has few fields: {line}"))?;
    let text = |field: &str| value(fields, field);
    let all = |field: &str| -> Vec<u64> { text(field).split(',').filter_map(number).collect() };
    // Of a tunnel within TCP, the innermost segment.
    let last = |field: &str| all(field).last().copied();
    // Without the three reserved bits, which have no name.
    let flags = last("tcp.flags").unwrap_or_default() & 0x1ff;
    let has_ack = flags & 0x10 != 0;
    let scale = text("tcp.window_size_scalefactor");
    let is_scale_known = !scale.is_empty() && scale != "-1";
    let names = ANALYSIS.iter().zip(analysis);
    let names = names.filter(|(_, found)| !found.is_empty());
    let segment = Segment {
        stream: last("tcp.stream")
            .map(|stream| stream.to_string())
            .unwrap_or_default(),
        source_port: last("tcp.srcport").unwrap_or_default(),
        flags,
        seq: last("tcp.seq").unwrap_or_default(),
        ack: last("tcp.ack").filter(|_| has_ack),
        len: last("tcp.len"),
        window: last("tcp.window_size").filter(|_| is_scale_known),
        options: Options {
            mss: last("tcp.options.mss_val"),
            window_scale: last("tcp.options.wscale.shift"),
            sack_permitted: !text("tcp.options.sack_perm").is_empty(),
            timestamps: last("tcp.options.timestamp.tsval")
                .zip(last("tcp.options.timestamp.tsecr")),
            sack: all("tcp.options.sack_le")
                .into_iter()
                .zip(all("tcp.options.sack_re"))
                .collect(),
        },
        analysis: without_general(names.map(|((_, name), _)| *name).collect()),
    };
    let frame = number(text("frame.number")).context("a frame without a number")?;
    Ok((frame, segment))
}

/// Seconds with nine digits after the point.
fn nanoseconds(seconds: &str) -> Option<u64> {
    let (whole, fraction) = seconds.split_once('.')?;
    let fraction: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(fraction)
}

/// A number in decimal, or in hexadecimal after `0x`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// tshark marks a fast or a spurious retransmission as a retransmission, too.
fn without_general(mut names: Vec<&'static str>) -> Vec<&'static str> {
    if names.iter().any(|name| name.ends_with("-retransmission")) {
        names.retain(|name| *name != "retransmission");
    }
    names
}
