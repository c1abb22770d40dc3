//! One JSON object a line. `schema.json` beside `Cargo.toml` describes them.

use std::io::{self, BufWriter, Write};

use super::Sink;
use crate::output::Output;

/// See the module.
pub struct Ndjson {
    destination: BufWriter<Box<dyn Write + Send>>,
}

impl Ndjson {
    /// Writes to `destination`.
    #[must_use]
    pub fn new(destination: Box<dyn Write + Send>) -> Self {
        Self {
            destination: super::buffered(destination),
        }
    }
}

impl Sink for Ndjson {
    /// A connection is told once, when it has ended: its progress is for who watches.
    fn write(&mut self, output: &Output) -> io::Result<()> {
        if matches!(output, Output::Progress(_)) {
            return Ok(());
        }
        serde_json::to_writer(&mut self.destination, output)?;
        self.destination.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.destination.flush()
    }
}
