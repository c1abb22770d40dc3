//! Segments as pcapng, for Wireshark: one interface per end, times in nanoseconds, the captured bytes
//! of each packet, and its connection, owners and uploads in a comment.

use std::{
    borrow::Cow,
    collections::HashMap,
    io::{self, Write},
    mem,
    time::{Duration, Instant},
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
use upload_protocol::{ConnectionId, End};

use super::Render;
use crate::{
    core::output::{Output, TracedSegment},
    sink::output_file::Destination,
};

pub struct Pcapng {
    /// Holds bytes only while an output is rendered.
    writer: PcapNgWriter<Vec<u8>>,
    /// Owners and uploads of each open connection.
    known: HashMap<ConnectionId, Known>,
}

#[derive(Default)]
struct Known {
    client: Option<String>,
    server: Option<String>,
    uploads: Vec<String>,
}

/// `if_tsresol`: ten to the minus ninth of a second.
const NANOSECONDS: u8 = 9;
/// How often to check for rotation.
const ASK_EVERY: Duration = Duration::from_secs(1);

impl Pcapng {
    /// The sink, and the start of each file: its header, and one interface per end.
    pub fn new() -> io::Result<(Self, Vec<u8>)> {
        let mut writer = PcapNgWriter::new(Vec::new()).map_err(into_io)?;
        for end in [End::Client, End::Server] {
            let interface = InterfaceDescriptionBlock {
                linktype: DataLink::RAW,
                snaplen: 0,
                options: vec![
                    InterfaceDescriptionOption::IfName(Cow::Borrowed(end.name())),
                    InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
                ],
            };
            writer.write_pcapng_block(interface).map_err(into_io)?;
        }
        let header = mem::take(writer.get_mut());
        let known = HashMap::new();
        Ok((Self { writer, known }, header))
    }

    fn segment(&mut self, segment: &TracedSegment) -> io::Result<()> {
        let seen_at = if segment.line.seen_leaving {
            segment.line.from
        } else {
            segment.line.from.other()
        };
        let packet = EnhancedPacketBlock {
            interface_id: match seen_at {
                End::Client => 0,
                End::Server => 1,
            },
            timestamp: Duration::from_nanos(u64::try_from(segment.line.at.unix_ns).unwrap_or(0)),
            original_len: segment.packet_len,
            data: Cow::Borrowed(&segment.packet),
            options: vec![EnhancedPacketOption::Comment(Cow::Owned(
                self.comment(segment),
            ))],
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
                    self.known(connection).uploads.push(upload.id.clone());
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

/// Writes to the destination, and the header first, again after each rotation.
pub struct Capture {
    destination: Box<dyn Destination>,
    header: Vec<u8>,
    /// When rotation was last checked.
    asked: Instant,
}

impl Capture {
    /// Writes the header.
    pub fn begin(mut destination: Box<dyn Destination>, header: Vec<u8>) -> io::Result<Self> {
        destination.write_all(&header)?;
        Ok(Self {
            destination,
            header,
            asked: Instant::now(),
        })
    }
}

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.destination.write(bytes)
    }

    /// Whole blocks, all or none of them.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.destination.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.destination.flush()?;
        if self.asked.elapsed() >= ASK_EVERY {
            self.asked = Instant::now();
            if self.destination.renew()? {
                self.destination.write_all(&self.header)?;
                self.destination.flush()?;
            }
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
