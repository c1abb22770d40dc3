//! A file that starts with a header, again after each rotation.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use super::output_file::Destination;

/// How often to check for rotation.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Writes to the destination, and the header first, again after each rotation.
pub struct HeadedFile {
    destination: Box<dyn Destination>,
    header: Vec<u8>,
    /// When rotation was last checked.
    asked: Instant,
}

impl HeadedFile {
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

impl Write for HeadedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.destination.write(bytes)
    }

    /// All of the bytes, or none of them.
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
