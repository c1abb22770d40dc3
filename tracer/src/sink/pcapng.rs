//! Segments as pcapng, for Wireshark: one interface per end, or for each of two captures, times in nanoseconds, the
//! captured bytes of each packet, and its connection, owners and uploads in a comment.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    io, mem,
    time::Duration,
};

use pcap_file::{
    DataLink, PcapError,
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
        },
    },
};
use upload_protocol::{ConnectionId, End, plain::plain};

use super::Render;
use crate::core::output::{Output, TracedSegment};

pub struct Pcapng {
    /// Holds bytes only while an output is rendered.
    writer: PcapNgWriter<Vec<u8>>,
    interfaces: Interfaces,
    /// Owners and uploads of each open connection.
    known: HashMap<ConnectionId, Known>,
}

/// Where packets were seen.
#[derive(Clone, Debug, Default)]
pub enum Interfaces {
    /// At the client and at the server.
    #[default]
    Ends,
    /// In two captures with these names.
    Captures([String; 2]),
}

#[derive(Default)]
struct Known {
    client: Option<String>,
    server: Option<String>,
    /// The latest uploads.
    uploads: VecDeque<String>,
    /// How many there were before.
    earlier: u64,
}

/// Uploads that a comment names: it is beside each packet, and a connection may carry thousands.
const MAX_UPLOADS: usize = 8;
/// `if_tsresol`: ten to the minus ninth of a second.
const NANOSECONDS: u8 = 9;

impl Interfaces {
    fn names(&self) -> [Cow<'_, str>; 2] {
        match self {
            Self::Ends => [End::Client, End::Server].map(|end| Cow::Borrowed(end.name())),
            Self::Captures(names) => names.each_ref().map(|name| plain(name)),
        }
    }

    /// The number of the interface that a segment passed.
    fn of(&self, segment: &TracedSegment) -> u32 {
        let line = &segment.line;
        match self {
            Self::Ends if line.seen_leaving == (line.from == End::Client) => 0,
            Self::Ends => 1,
            Self::Captures(_) => {
                let capture = line.capture.or_else(|| line.connection.capture());
                u32::from(capture.unwrap_or(1).saturating_sub(1)).min(1)
            }
        }
    }
}

impl Pcapng {
    /// The sink, and the start of each file: its header, and the interfaces.
    pub fn new(interfaces: Interfaces) -> io::Result<(Self, Vec<u8>)> {
        let mut writer = PcapNgWriter::new(Vec::new()).map_err(into_io)?;
        for name in interfaces.names() {
            let interface = InterfaceDescriptionBlock {
                linktype: DataLink::RAW,
                snaplen: 0,
                options: vec![
                    InterfaceDescriptionOption::IfName(name),
                    InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
                ],
            };
            writer.write_pcapng_block(interface).map_err(into_io)?;
        }
        let header = mem::take(writer.get_mut());
        let sink = Self {
            writer,
            interfaces,
            known: HashMap::new(),
        };
        Ok((sink, header))
    }

    fn segment(&mut self, segment: &TracedSegment) -> io::Result<()> {
        let comment = self.comment(segment);
        let packet = EnhancedPacketBlock {
            interface_id: self.interfaces.of(segment),
            timestamp: Duration::from_nanos(u64::try_from(segment.line.at.unix_ns).unwrap_or(0)),
            original_len: segment.packet_len,
            data: Cow::Borrowed(&segment.packet),
            options: vec![EnhancedPacketOption::Comment(plain(&comment))],
        };
        self.writer
            .write_pcapng_block(packet)
            .map(drop)
            .map_err(into_io)
    }

    fn comment(&self, segment: &TracedSegment) -> String {
        let mut comment = format!("connection {}", segment.line.connection);
        let Some(known) = self.known.get(&segment.line.connection) else {
            return comment;
        };
        for (end, owner) in [("client", &known.client), ("server", &known.server)] {
            if let Some(owner) = owner {
                comment.push_str(&format!(", {end} {owner}"));
            }
        }
        if known.earlier > 0 {
            comment.push_str(&format!(", {} earlier uploads", known.earlier));
        }
        for upload in &known.uploads {
            comment.push_str(&format!(", upload {upload}"));
        }
        comment
    }

    fn known(&mut self, connection: ConnectionId) -> &mut Known {
        self.known.entry(connection).or_default()
    }
}

impl Render for Pcapng {
    fn shows(&self, output: &Output) -> bool {
        matches!(output, Output::Segment(_))
    }

    fn render(&mut self, output: &Output, to: &mut Vec<u8>) -> io::Result<()> {
        match output {
            Output::Segment(segment) => {
                mem::swap(self.writer.get_mut(), to);
                let rendered = self.segment(segment);
                mem::swap(self.writer.get_mut(), to);
                return rendered;
            }
            Output::State(state) => {
                if let Some(comm) = &state.comm {
                    let known = self.known(state.connection);
                    let owner = match state.pid {
                        Some(pid) => format!("{comm}[{pid}]"),
                        None => comm.to_string(),
                    };
                    let owner = Some(owner);
                    match state.end {
                        End::Client => known.client = owner,
                        End::Server => known.server = owner,
                    }
                }
            }
            Output::Upload(upload) => {
                if let Some(connection) = upload.connection {
                    let known = self.known(connection);
                    known.uploads.push_back(upload.id.clone());
                    if known.uploads.len() > MAX_UPLOADS {
                        known.uploads.pop_front();
                        known.earlier += 1;
                    }
                }
            }
            Output::Timeline(timeline) => {
                self.known.remove(&timeline.connection);
            }
            Output::Progress(_) | Output::Snapshot(_) | Output::Lost(_) | Output::Summary(_) => {}
        }
        Ok(())
    }
}

fn into_io(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use upload_protocol::{Moment, line::UploadLine, timeline::Certainty};

    use super::{ConnectionId, Interfaces, Output, Pcapng, Render as _};

    fn upload(number: u64, connection: ConnectionId) -> Output {
        Output::Upload(Box::new(UploadLine {
            at: Moment::default(),
            connection: Some(connection),
            id: number.to_string(),
            name: None,
            bytes: None,
            status: None,
            outcome: None,
            certainty: Certainty::Observed,
            error: None,
            parts: Vec::new(),
            earlier: Vec::new(),
        }))
    }

    #[test]
    fn a_comment_names_the_latest_uploads() {
        let (mut pcapng, _) = Pcapng::new(Interfaces::Ends).unwrap();
        let connection = ConnectionId::new(1, None);
        for number in 1..=20_000 {
            let output = upload(number, connection);
            pcapng.render(&output, &mut Vec::new()).unwrap();
        }
        let known = &pcapng.known[&connection];
        assert_eq!((known.earlier, known.uploads.len()), (19_992, 8));
        assert_eq!(known.uploads.back().unwrap(), "20000");
    }
}
