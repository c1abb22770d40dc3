//! Reads a capture: pcap or pcapng, as it is or compressed, from a file or as a stream.

mod compression;
mod opening;

use std::{borrow::Cow, io::Read};

use pcap_parser::{
    Block, PcapBlockOwned, PcapError, PcapHeader, create_reader,
    pcapng::{EnhancedPacketBlock, InterfaceDescriptionBlock, UnknownBlock},
    traits::PcapReaderIterator,
};

use crate::core::{input::Flow, packet::Packet};

/// A capture that is open.
pub struct Capture {
    blocks: Box<dyn PcapReaderIterator + Send>,
    interfaces: Vec<Interface>,
    /// The time of the latest packet, in nanoseconds since the Unix epoch.
    latest_ns: u64,
    /// The same of the first.
    first_ns: Option<u64>,
    packets: u64,
}

/// Where packets were captured.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link_type: u16,
    /// Units of its timestamps in a second.
    units: u64,
    /// What its timestamps count from, in seconds since the Unix epoch.
    offset: i64,
    /// `None` for no limit.
    snap_length: Option<u32>,
}

/// Why a capture cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum BadCapture {
    #[error("it is empty")]
    Empty,
    #[error("it is not a capture: it begins neither like pcap nor like pcapng")]
    NotACapture,
    #[error("it ends in the middle of a packet, after {}", counted(*.packets))]
    Cut { packets: u64 },
    #[error("after {}, a block of more than {MAX_BLOCK_BYTES} bytes is announced", counted(*.packets))]
    TooLong { packets: u64 },
    #[error("after {}, it goes on with bytes that are no packet", counted(*.packets))]
    Damaged { packets: u64 },
    #[error("more than {MAX_INTERFACES} interfaces are described in one section")]
    TooManyInterfaces,
    #[error("after {}, it cannot be read on", counted(*.packets))]
    Unreadable { packets: u64 },
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
}

/// Read at once.
const BUFFER_BYTES: usize = 1 << 18;
/// libpcap refuses packets of more than 128 MiB; those of more than 256 KiB come from USB alone.
const MAX_BLOCK_BYTES: usize = 16 << 20;
const MAX_INTERFACES: usize = 1 << 16;
const NANOSECONDS: u64 = 1_000_000_000;

impl Capture {
    /// Opens a capture.
    pub fn open(source: impl Read + Send + 'static) -> Result<Self, BadCapture> {
        let source = opening::whole_header(compression::decompress(Box::new(source))?)?;
        let blocks = create_reader(BUFFER_BYTES, source).map_err(|error| match error {
            PcapError::Eof => BadCapture::Empty,
            PcapError::ReadError => BadCapture::Unreadable { packets: 0 },
            PcapError::Incomplete(_) => BadCapture::Cut { packets: 0 },
            _ => BadCapture::NotACapture,
        })?;
        Ok(Self {
            blocks,
            interfaces: Vec::new(),
            latest_ns: 0,
            first_ns: None,
            packets: 0,
        })
    }

    /// Passes each packet on, until the capture ends or `take` has enough; beside it the time of the first,
    /// in nanoseconds since the Unix epoch.
    pub fn read(
        &mut self,
        mut take: impl FnMut(Packet<'_>, u64) -> Flow,
    ) -> Result<(), BadCapture> {
        loop {
            let packets = self.packets;
            let (length, flow) = match self.blocks.next() {
                Ok((length, block)) => {
                    let state = &mut State {
                        interfaces: &mut self.interfaces,
                        latest_ns: &mut self.latest_ns,
                        first_ns: &mut self.first_ns,
                    };
                    let flow = match state.packet(&block)? {
                        Some((packet, first_ns)) => {
                            self.packets += 1;
                            take(packet, first_ns)
                        }
                        None => Flow::GoOn,
                    };
                    (length, flow)
                }
                Err(PcapError::Eof) => return Ok(()),
                Err(PcapError::Incomplete(_)) => {
                    let refilled = self.blocks.refill().is_ok();
                    if !refilled {
                        return Err(BadCapture::Unreadable { packets });
                    }
                    continue;
                }
                Err(PcapError::UnexpectedEof) => return Err(BadCapture::Cut { packets }),
                Err(PcapError::BufferTooSmall) => {
                    self.make_room()?;
                    continue;
                }
                Err(PcapError::ReadError) => return Err(BadCapture::Unreadable { packets }),
                Err(_) => return Err(BadCapture::Damaged { packets }),
            };
            self.blocks.consume(length);
            if flow == Flow::Enough {
                return Ok(());
            }
        }
    }

    /// Makes room for a block that is larger than the buffer.
    fn make_room(&mut self) -> Result<(), BadCapture> {
        let packets = self.packets;
        let size = self.blocks.data().len().max(BUFFER_BYTES) * 2;
        // A buffer that is not full may already suffice.
        if self.blocks.refill().is_err() {
            return Err(BadCapture::Unreadable { packets });
        }
        if self.blocks.reader_exhausted() {
            return Ok(());
        }
        if size > 2 * MAX_BLOCK_BYTES {
            return Err(BadCapture::TooLong { packets });
        }
        self.blocks.grow(size);
        Ok(())
    }
}

/// What is known before a block, without the reader that lends the block.
struct State<'a> {
    interfaces: &'a mut Vec<Interface>,
    latest_ns: &'a mut u64,
    first_ns: &'a mut Option<u64>,
}

impl State<'_> {
    /// The packet in a block, if it has one, and when the first of all was captured.
    fn packet<'a>(
        &mut self,
        block: &PcapBlockOwned<'a>,
    ) -> Result<Option<(Packet<'a>, u64)>, BadCapture> {
        let (interface, time, length, bytes) = match block {
            PcapBlockOwned::LegacyHeader(header) => {
                *self.interfaces = vec![Interface::of_file(header)];
                return Ok(None);
            }
            PcapBlockOwned::Legacy(packet) => {
                let Some(interface) = self.interfaces.first().copied() else {
                    return Ok(None);
                };
                let time = u64::from(packet.ts_sec) * interface.units + u64::from(packet.ts_usec);
                (interface, Some(time), packet.origlen, packet.data)
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                self.interfaces.clear();
                return Ok(None);
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(described)) => {
                if self.interfaces.len() == MAX_INTERFACES {
                    return Err(BadCapture::TooManyInterfaces);
                }
                self.interfaces.push(Interface::described(described));
                return Ok(None);
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let Some(interface) = self.interface(packet.if_id) else {
                    return Ok(None);
                };
                let time = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                (interface, Some(time), packet.origlen, captured(packet))
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                let Some(interface) = self.interface(0) else {
                    return Ok(None);
                };
                let most = interface
                    .snap_length
                    .unwrap_or(u32::MAX)
                    .min(packet.origlen);
                (interface, None, packet.origlen, cut(packet.data, most))
            }
            PcapBlockOwned::NG(Block::Unknown(block)) => {
                let Some((number, time, length, bytes)) = obsolete_packet(block) else {
                    return Ok(None);
                };
                let Some(interface) = self.interface(number) else {
                    return Ok(None);
                };
                (interface, Some(time), length, bytes)
            }
            PcapBlockOwned::NG(_) => return Ok(None),
        };
        // A simple packet block has no time: not before the packet that precedes it.
        let time_ns = time.map_or(*self.latest_ns, |time| interface.nanoseconds(time));
        *self.latest_ns = time_ns;
        let first_ns = *self.first_ns.get_or_insert(time_ns);
        let packet = Packet {
            mono_ns: time_ns.saturating_sub(first_ns),
            link_type: interface.link_type,
            length,
            capture: 0,
            bytes: Cow::Borrowed(bytes),
        };
        Ok(Some((packet, first_ns)))
    }

    fn interface(&self, number: u32) -> Option<Interface> {
        let number = usize::try_from(number).ok()?;
        self.interfaces.get(number).copied()
    }
}

impl Interface {
    fn of_file(header: &PcapHeader) -> Self {
        let is_precise = header.is_nanosecond_precision();
        Self {
            link_type: link_type(header.network.0),
            units: if is_precise { NANOSECONDS } else { 1_000_000 },
            offset: i64::from(header.thiszone),
            snap_length: None,
        }
    }

    fn described(block: &InterfaceDescriptionBlock<'_>) -> Self {
        Self {
            link_type: link_type(block.linktype.0),
            units: block
                .ts_resolution()
                .filter(|units| *units > 0)
                .unwrap_or(1_000_000),
            offset: block.ts_offset(),
            snap_length: Some(block.snaplen).filter(|length| *length > 0),
        }
    }

    /// A timestamp in nanoseconds since the Unix epoch.
    fn nanoseconds(self, time: u64) -> u64 {
        let since = i128::from(time) * i128::from(NANOSECONDS) / i128::from(self.units);
        let offset = i128::from(self.offset) * i128::from(NANOSECONDS);
        // Beyond 2262, no other clock of the tracer goes on.
        let last = i128::from(i64::MAX);
        u64::try_from((since + offset).clamp(0, last)).unwrap_or_default()
    }
}

/// The lower bits of a link type; the upper ones tell about the frame check sequence.
fn link_type(number: i32) -> u16 {
    u16::try_from(number & 0xffff).unwrap_or(u16::MAX)
}

/// The bytes of a packet without the padding behind them.
fn captured<'a>(packet: &EnhancedPacketBlock<'a>) -> &'a [u8] {
    cut(packet.data, packet.caplen)
}

fn cut(bytes: &[u8], most: u32) -> &[u8] {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    &bytes[..most.min(bytes.len())]
}

/// The Packet Block of the first drafts of pcapng: interface, time, length and bytes.
fn obsolete_packet<'a>(block: &UnknownBlock<'a>) -> Option<(u32, u64, u32, &'a [u8])> {
    const PACKET_BLOCK: u32 = 2;
    let is_big_endian = block.block_type == PACKET_BLOCK.swap_bytes();
    if !is_big_endian && block.block_type != PACKET_BLOCK {
        return None;
    }
    let (fields, bytes) = block.data.split_first_chunk::<20>()?;
    let word = |at: usize| {
        let word = [fields[at], fields[at + 1], fields[at + 2], fields[at + 3]];
        if is_big_endian {
            u32::from_be_bytes(word)
        } else {
            u32::from_le_bytes(word)
        }
    };
    let interface = [fields[0], fields[1]];
    let interface = if is_big_endian {
        u16::from_be_bytes(interface)
    } else {
        u16::from_le_bytes(interface)
    };
    let time = u64::from(word(4)) << 32 | u64::from(word(8));
    Some((interface.into(), time, word(16), cut(bytes, word(12))))
}

fn counted(packets: u64) -> String {
    match packets {
        1 => "1 packet".to_owned(),
        packets => format!("{packets} packets"),
    }
}

#[cfg(test)]
mod tests;
