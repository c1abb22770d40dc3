//! Writes inputs as a recording, for `tracer replay`.

use std::io::{self, Write};

use crate::core::{
    input::Input,
    recording::{self, Header},
    scope::Scope,
};

pub struct Recorder<W: Write> {
    destination: W,
}

impl<W: Write> Recorder<W> {
    /// Begins a recording.
    pub fn new(mut destination: W, scope: Scope) -> io::Result<Self> {
        destination.write_all(&Header::new(scope).to_bytes())?;
        Ok(Self { destination })
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

    /// Where it writes to.
    pub fn destination(&mut self) -> &mut W {
        &mut self.destination
    }
}
