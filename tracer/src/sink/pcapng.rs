//! Segments in a file that Wireshark opens: one interface per end, nanosecond times, as many bytes of
//! each packet as were captured, and in its comment whose it is.

use std::{
    borrow::Cow,
    collections::HashMap,
    io::{self, BufWriter, Write},
    time::{Duration, Instant},
};

use pcap_file::{
    DataLink, PcapError,
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
            section_header::SectionHeaderBlock,
        },
    },
};

use rustix::thread::CapabilitySet;

use super::Sink;
use crate::{
    end::End,
    output::{Output, SegmentLine},
    output_file::Destination,
    privileges,
};

/// See the module.
pub struct Pcapng {
    writer: PcapNgWriter<BufWriter<Box<dyn Destination>>>,
    /// When the destination was last asked whether it begins anew.
    asked: Instant,
    /// What is known of each open connection's owners and uploads.
    known: HashMap<String, Known>,
}

#[derive(Default)]
struct Known {
    client: Option<String>,
    server: Option<String>,
    uploads: Vec<String>,
}

/// `if_tsresol`: ten to the minus ninth of a second.
const NANOSECONDS: u8 = 9;
/// How often the destination is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

impl Pcapng {
    /// Writes the file's header, and one interface per end.
    ///
    /// # Errors
    /// When the destination refuses it.
    pub fn new(destination: Box<dyn Destination>) -> io::Result<Self> {
        let writer = PcapNgWriter::new(super::buffered(destination)).map_err(into_io)?;
        let mut pcapng = Self {
            writer,
            asked: Instant::now(),
            known: HashMap::new(),
        };
        pcapng.interfaces()?;
        Ok(pcapng)
    }

    fn interfaces(&mut self) -> io::Result<()> {
        for end in [End::Client, End::Server] {
            let interface = InterfaceDescriptionBlock {
                linktype: DataLink::RAW,
                snaplen: 0,
                options: vec![
                    InterfaceDescriptionOption::IfName(Cow::Borrowed(end.name())),
                    InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
                ],
            };
            self.writer.write_pcapng_block(interface).map_err(into_io)?;
        }
        Ok(())
    }

    /// A file that begins anew is a file of its own.
    fn follow_rotation(&mut self) -> io::Result<()> {
        if self.asked.elapsed() < ASK_EVERY {
            return Ok(());
        }
        self.asked = Instant::now();
        if self.writer.get_mut().get_mut().renew()? {
            self.writer
                .write_pcapng_block(SectionHeaderBlock::default())
                .map_err(into_io)?;
            self.interfaces()?;
            self.writer.get_mut().flush()?;
        }
        Ok(())
    }

    fn segment(&mut self, segment: &SegmentLine) -> io::Result<()> {
        let seen_at = if segment.told.seen_leaving {
            segment.told.from
        } else {
            segment.told.from.other()
        };
        let packet = EnhancedPacketBlock {
            interface_id: match seen_at {
                End::Client => 0,
                End::Server => 1,
            },
            timestamp: Duration::from_nanos(u64::try_from(segment.at.unix_ns).unwrap_or(0)),
            original_len: segment.told.packet_len,
            data: Cow::Borrowed(&segment.told.packet),
            options: vec![EnhancedPacketOption::Comment(Cow::Owned(
                self.comment(segment),
            ))],
        };
        self.writer
            .write_pcapng_block(packet)
            .map(drop)
            .map_err(into_io)
    }

    fn comment(&self, segment: &SegmentLine) -> String {
        let mut comment = format!("connection {}", segment.connection);
        let Some(known) = self.known.get(&segment.connection) else {
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

    fn known(&mut self, connection: &str) -> &mut Known {
        self.known.entry(connection.to_owned()).or_default()
    }
}

impl Sink for Pcapng {
    fn write(&mut self, output: &Output) -> io::Result<()> {
        match output {
            Output::Segment(segment) => return self.segment(segment),
            Output::State(state) => {
                let owner = state.comm.as_ref().zip(state.pid);
                if let Some((comm, pid)) = owner {
                    let known = self.known(&state.connection);
                    let owner = Some(format!("{comm}[{pid}]"));
                    match state.end {
                        End::Client => known.client = owner,
                        End::Server => known.server = owner,
                    }
                }
            }
            Output::Upload(upload) => {
                if let Some(connection) = &upload.connection {
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

    fn flush(&mut self) -> io::Result<()> {
        self.writer.get_mut().flush()?;
        self.follow_rotation()
    }

    fn keeps(&self) -> CapabilitySet {
        privileges::FOR_FILES
    }
}

fn into_io(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}
