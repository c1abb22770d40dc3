//! Inputs as the frames of a recording: bytes in, bytes out.
//!
//! A recording is the magic `tcptrace`, the versions of the format and of the record layout, a byte
//! for the [`Scope`], then frames: a little-endian length, a kind, and that many bytes. Kernel records
//! are written as they came.

use std::borrow::Cow;

use anyhow::{Context as _, Result, bail};
use tracer_ebpf::record;

use crate::core::{input::Input, packet::Packet, scope::Scope};

const MAGIC: &[u8; 8] = b"tcptrace";
const FORMAT: u16 = 1;
/// The oldest layout of records that is still read.
const OLDEST_VERSION: u16 = 2;
/// The largest frame names the sockets of a whole machine.
pub const MAX_FRAME_BYTES: usize = 16 << 20;
pub const HEADER_BYTES: usize = 13;
pub const DAMAGED: &str = "the recording is damaged";

const KERNEL: u8 = 0;
const FEED: u8 = 1;
const TICK: u8 = 2;
const SOCKET: u8 = 3;
const CGROUP: u8 = 4;
const COST: u8 = 5;
const MISSING: u8 = 6;
const ROOM: u8 = 7;
const PRESENT: u8 = 8;
const PACKET: u8 = 9;
const CHOSEN_PORTS: u8 = 10;

/// The beginning of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub scope: Scope,
    /// The layout of its kernel records.
    pub record_version: u16,
}

impl Header {
    /// The header of a recording that begins now.
    #[must_use]
    pub const fn new(scope: Scope) -> Self {
        Self {
            scope,
            record_version: record::VERSION,
        }
    }

    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.record_version.to_le_bytes());
        bytes[12] = self.scope.to_byte();
        bytes
    }

    /// The header in a file's first bytes, fewer where the file is shorter.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let header: Option<&[u8; HEADER_BYTES]> = bytes.first_chunk();
        let Some(header) = header.filter(|header| header[..8] == *MAGIC) else {
            bail!("this is not a recording: `tracer record FILE` writes one");
        };
        let format = u16::from_le_bytes([header[8], header[9]]);
        let record_version = u16::from_le_bytes([header[10], header[11]]);
        if format != FORMAT || !(OLDEST_VERSION..=record::VERSION).contains(&record_version) {
            bail!(
                "the recording has format {format}.{record_version}, this tracer reads {FORMAT}.{OLDEST_VERSION} to {FORMAT}.{}: replay it with the tracer that recorded it",
                record::VERSION
            );
        }
        Ok(Self {
            scope: Scope::from_byte(header[12]),
            record_version,
        })
    }
}

/// The kind and the bytes of an input's frame; `None` for the end and for readings, which have none.
pub fn encode<'a>(input: &'a Input<'_>) -> Result<Option<(u8, Cow<'a, [u8]>)>> {
    let (kind, json) = match input {
        Input::Kernel(bytes) => return Ok(Some((KERNEL, Cow::Borrowed(bytes)))),
        Input::Feed(feed) => (FEED, serde_json::to_vec(feed)?),
        Input::Tick(tick) => (TICK, serde_json::to_vec(tick)?),
        Input::Socket(socket) => (SOCKET, serde_json::to_vec(socket)?),
        Input::Cgroup(name) => (CGROUP, serde_json::to_vec(name)?),
        Input::Cost(cost) => (COST, serde_json::to_vec(cost)?),
        Input::Missing(missing) => (MISSING, serde_json::to_vec(missing)?),
        Input::Room(most) => (ROOM, serde_json::to_vec(most)?),
        Input::ChosenPorts(ports) => (CHOSEN_PORTS, serde_json::to_vec(ports)?),
        Input::Present(present) => (PRESENT, serde_json::to_vec(present)?),
        Input::Packet(packet) => return Ok(Some((PACKET, Cow::Owned(packet.to_bytes())))),
        Input::Readings(_) | Input::Shutdown => return Ok(None),
    };
    Ok(Some((kind, Cow::Owned(json))))
}

/// The input of a frame.
pub fn decode(kind: u8, bytes: Vec<u8>) -> Result<Input<'static>> {
    Ok(match kind {
        KERNEL => Input::Kernel(Cow::Owned(bytes)),
        FEED => Input::Feed(serde_json::from_slice(&bytes).context(DAMAGED)?),
        TICK => Input::Tick(serde_json::from_slice(&bytes).context(DAMAGED)?),
        SOCKET => Input::Socket(serde_json::from_slice(&bytes).context(DAMAGED)?),
        CGROUP => Input::Cgroup(serde_json::from_slice(&bytes).context(DAMAGED)?),
        COST => Input::Cost(serde_json::from_slice(&bytes).context(DAMAGED)?),
        MISSING => Input::Missing(serde_json::from_slice(&bytes).context(DAMAGED)?),
        ROOM => Input::Room(serde_json::from_slice(&bytes).context(DAMAGED)?),
        CHOSEN_PORTS => Input::ChosenPorts(serde_json::from_slice(&bytes).context(DAMAGED)?),
        PRESENT => Input::Present(serde_json::from_slice(&bytes).context(DAMAGED)?),
        PACKET => Input::Packet(Packet::from_bytes(&bytes).context(DAMAGED)?.into_owned()),
        kind => bail!("{DAMAGED}: a frame of kind {kind}"),
    })
}
