//! Reads what `tracer record` wrote. Kernel records of an older layout are converted.

mod version_2;

use std::{borrow::Cow, io::Read};

use anyhow::{Context as _, Result, bail};
use tracer_ebpf::record;

use crate::core::{
    input::Input,
    recording::{self, DAMAGED, HEADER_BYTES, Header, MAX_FRAME_BYTES},
    scope::Scope,
};

pub struct Recording<R: Read> {
    source: R,
    header: Header,
}

impl<R: Read> Recording<R> {
    /// Opens a recording.
    pub fn open(mut source: R) -> Result<Self> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        source
            .by_ref()
            .take(HEADER_BYTES as u64)
            .read_to_end(&mut header)?;
        Ok(Self {
            source,
            header: Header::from_bytes(&header)?,
        })
    }

    /// How much of the traffic was asked for.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        self.header.scope
    }

    /// The next input; `None` at the end.
    pub fn read(&mut self) -> Result<Option<Input<'static>>> {
        let mut length = [0; 4];
        match self.source.read(&mut length[..1])? {
            0 => return Ok(None),
            _ => self.fill(&mut length[1..])?,
        }
        let length = usize::try_from(u32::from_le_bytes(length))?;
        if length > MAX_FRAME_BYTES {
            bail!("{DAMAGED}: a frame of {length} bytes");
        }
        let mut kind = [0];
        self.fill(&mut kind)?;
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(Some(match recording::decode(kind[0], bytes)? {
            Input::Kernel(record) => Input::Kernel(self.current(record)?),
            input => input,
        }))
    }

    /// A record in the layout of today.
    fn current<'a>(&self, record: Cow<'a, [u8]>) -> Result<Cow<'a, [u8]>> {
        match self.header.record_version {
            // Versions 4 to 6 have one more kind each.
            3..=record::VERSION => Ok(record),
            _ => version_2::convert(&record)
                .map(Cow::Owned)
                .with_context(|| format!("{DAMAGED}: a kernel record of {} bytes", record.len())),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.source
            .read_exact(bytes)
            .context("the recording ends in the middle of a frame")
    }
}

#[cfg(test)]
mod tests;
