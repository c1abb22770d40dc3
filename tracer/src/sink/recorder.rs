//! Writes inputs into a recording, for `tracer replay`.

use std::io::{self, BufWriter, Write};

use super::output_file::Destination;
use crate::core::{
    input::Input,
    recording::{self, Header},
    scope::Scope,
};

pub struct Recorder<W: Write> {
    destination: W,
    header: Header,
}

impl<W: Write> Recorder<W> {
    /// Begins a recording.
    pub fn new(mut destination: W, scope: Scope) -> io::Result<Self> {
        let header = Header::new(scope);
        destination.write_all(&header.to_bytes())?;
        Ok(Self {
            destination,
            header,
        })
    }

    /// Appends an input; writes out what is buffered at the last.
    pub fn write(&mut self, input: &Input<'_>) -> io::Result<()> {
        let frame = recording::encode(input).map_err(io::Error::other)?;
        let Some((kind, bytes)) = frame else {
            return self.destination.flush();
        };
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.destination.write_all(&length.to_le_bytes())?;
        self.destination.write_all(&[kind])?;
        self.destination.write_all(&bytes)
    }
}

impl<W: Destination> Recorder<BufWriter<W>> {
    /// Writes out what is buffered; where the destination begins anew, so does the recording.
    pub fn renew(&mut self) -> io::Result<()> {
        self.destination.flush()?;
        if self.destination.get_mut().renew()? {
            self.destination.write_all(&self.header.to_bytes())?;
        }
        Ok(())
    }
}
