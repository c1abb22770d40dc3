//! Inputs in a file: what `tracer record` writes and `tracer replay` reads.
//!
//! The file is the magic `tcptrace`, the versions of the format and of the record layout, a byte for
//! what was asked for ([`Scope`]), then frames: a little-endian length, a kind, and that many bytes.
//! Kernel records are written as they came, and converted on reading where their layout is older.

mod version_2;

use std::io::{self, BufWriter, Read, Write};

use anyhow::{Context as _, Result, bail};
use tracer_ebpf::record;

use crate::{
    core::{
        input::{CgroupName, Feed, Input, Missing, OpenSocket, Present, ProgramCost, Tick},
        scope::Scope,
    },
    sink::output_file::Destination,
};

const MAGIC: &[u8; 8] = b"tcptrace";
const FORMAT: u16 = 1;
/// The oldest layout of records that is still read.
const OLDEST_VERSION: u16 = 2;
/// The largest frame names the sockets of a whole machine.
const MOST_BYTES: usize = 16 << 20;

const KERNEL: u8 = 0;
const FEED: u8 = 1;
const TICK: u8 = 2;
const SOCKET: u8 = 3;
const CGROUP: u8 = 4;
const COST: u8 = 5;
const MISSING: u8 = 6;
const ROOM: u8 = 7;
const PRESENT: u8 = 8;

/// Writes inputs.
pub struct Recorder<W: Write> {
    destination: W,
    scope: Scope,
}

impl<W: Write> Recorder<W> {
    /// Begins a recording.
    pub fn new(mut destination: W, scope: Scope) -> io::Result<Self> {
        header(&mut destination, scope)?;
        Ok(Self { destination, scope })
    }

    /// Appends an input.
    pub fn write(&mut self, input: &Input<'_>) -> io::Result<()> {
        match input {
            Input::Kernel(bytes) => self.frame(KERNEL, bytes),
            Input::Feed(feed) => self.frame(FEED, &serde_json::to_vec(feed)?),
            Input::Tick(tick) => self.frame(TICK, &serde_json::to_vec(tick)?),
            Input::Socket(socket) => self.frame(SOCKET, &serde_json::to_vec(socket)?),
            Input::Cgroup(name) => self.frame(CGROUP, &serde_json::to_vec(name)?),
            Input::Cost(cost) => self.frame(COST, &serde_json::to_vec(cost)?),
            Input::Missing(missing) => self.frame(MISSING, &serde_json::to_vec(missing)?),
            Input::Room(most) => self.frame(ROOM, &serde_json::to_vec(most)?),
            Input::Present(present) => self.frame(PRESENT, &serde_json::to_vec(present)?),
            Input::Shutdown => self.destination.flush(),
        }
    }

    fn frame(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.destination.write_all(&length.to_le_bytes())?;
        self.destination.write_all(&[kind])?;
        self.destination.write_all(bytes)
    }
}

impl<W: Destination> Recorder<BufWriter<W>> {
    /// Writes out what is buffered; where the destination begins anew, so does the recording.
    pub fn renew(&mut self) -> io::Result<()> {
        self.destination.flush()?;
        if self.destination.get_mut().renew()? {
            header(&mut self.destination, self.scope)?;
        }
        Ok(())
    }
}

fn header(destination: &mut impl Write, scope: Scope) -> io::Result<()> {
    destination.write_all(MAGIC)?;
    destination.write_all(&FORMAT.to_le_bytes())?;
    destination.write_all(&record::VERSION.to_le_bytes())?;
    destination.write_all(&[scope.to_byte()])
}

/// One frame of a recording.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// A kernel record.
    Kernel(Vec<u8>),
    /// News of the upload server.
    Feed(Feed),
    /// Time went on.
    Tick(Tick),
    /// A socket that was there before.
    Socket(Box<OpenSocket>),
    /// A cgroup's name.
    Cgroup(CgroupName),
    Cost(Vec<ProgramCost>),
    /// What the kernel lacked.
    Missing(Vec<Missing>),
    /// How many connections were kept at once.
    Room(usize),
    /// The sockets that there were.
    Present(Box<Present>),
}

impl Frame {
    /// The frame as the pipeline takes it.
    #[must_use]
    pub fn into_input(self, kernel: &mut Vec<u8>) -> Input<'_> {
        match self {
            Self::Kernel(bytes) => {
                *kernel = bytes;
                Input::Kernel(kernel)
            }
            Self::Feed(feed) => Input::Feed(feed),
            Self::Tick(tick) => Input::Tick(tick),
            Self::Socket(socket) => Input::Socket(socket),
            Self::Cgroup(name) => Input::Cgroup(name),
            Self::Cost(cost) => Input::Cost(cost),
            Self::Missing(missing) => Input::Missing(missing),
            Self::Room(most) => Input::Room(most),
            Self::Present(present) => Input::Present(present),
        }
    }
}

/// Reads a recording.
pub struct Recording<R: Read> {
    source: R,
    scope: Scope,
    /// The layout of its records.
    version: u16,
}

impl<R: Read> Recording<R> {
    /// Opens a recording.
    pub fn open(mut source: R) -> Result<Self> {
        let mut header = [0; 13];
        let complete = source.read_exact(&mut header).is_ok();
        if !complete || header[..8] != *MAGIC {
            bail!("this is not a recording: `tracer record FILE` writes one");
        }
        let format = u16::from_le_bytes([header[8], header[9]]);
        let version = u16::from_le_bytes([header[10], header[11]]);
        if format != FORMAT || !(OLDEST_VERSION..=record::VERSION).contains(&version) {
            bail!(
                "the recording has format {format}.{version}, this tracer reads {FORMAT}.{OLDEST_VERSION} to {FORMAT}.{}: replay it with the tracer that recorded it",
                record::VERSION
            );
        }
        Ok(Self {
            source,
            scope: Scope::from_byte(header[12]),
            version,
        })
    }

    /// What was asked for.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// The next frame; `None` at the end.
    pub fn read_frame(&mut self) -> Result<Option<Frame>> {
        let mut length = [0; 4];
        match self.source.read(&mut length[..1])? {
            0 => return Ok(None),
            _ => self.read(&mut length[1..])?,
        }
        let length = usize::try_from(u32::from_le_bytes(length))?;
        if length > MOST_BYTES {
            bail!("the recording is damaged: a frame of {length} bytes");
        }
        let mut kind = [0];
        self.read(&mut kind)?;
        let mut bytes = vec![0; length];
        self.read(&mut bytes)?;
        Ok(Some(match kind[0] {
            KERNEL => Frame::Kernel(self.current(bytes)?),
            FEED => Frame::Feed(serde_json::from_slice(&bytes).context(DAMAGED)?),
            TICK => Frame::Tick(serde_json::from_slice(&bytes).context(DAMAGED)?),
            SOCKET => Frame::Socket(serde_json::from_slice(&bytes).context(DAMAGED)?),
            CGROUP => Frame::Cgroup(serde_json::from_slice(&bytes).context(DAMAGED)?),
            COST => Frame::Cost(serde_json::from_slice(&bytes).context(DAMAGED)?),
            PRESENT => Frame::Present(serde_json::from_slice(&bytes).context(DAMAGED)?),
            ROOM => Frame::Room(serde_json::from_slice(&bytes).context(DAMAGED)?),
            MISSING => Frame::Missing(serde_json::from_slice(&bytes).context(DAMAGED)?),
            kind => bail!("{DAMAGED}: a frame of kind {kind}"),
        }))
    }

    /// A record in the layout of today.
    fn current(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        match self.version {
            record::VERSION => Ok(bytes),
            _ => version_2::convert(&bytes)
                .with_context(|| format!("{DAMAGED}: a kernel record of {} bytes", bytes.len())),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.source
            .read_exact(bytes)
            .context("the recording ends in the middle of a frame")
    }
}

const DAMAGED: &str = "the recording is damaged";

#[cfg(test)]
mod tests;
