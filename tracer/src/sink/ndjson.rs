//! One JSON object a line. `schema.json` beside `Cargo.toml` describes them.

use std::io::{self, BufWriter, Write};

use super::{Sink, explain::explained};
use crate::output::Output;

/// See the module.
pub struct Ndjson {
    destination: BufWriter<Box<dyn Write + Send>>,
    /// Whether segments are shown.
    segments: bool,
    /// Whether each step is explained.
    explain: bool,
}

impl Ndjson {
    /// Writes to `destination`, with or without segments. With `explain`, each step is explained.
    #[must_use]
    pub fn new(destination: Box<dyn Write + Send>, segments: bool, explain: bool) -> Self {
        Self {
            destination: super::buffered(destination),
            segments,
            explain,
        }
    }
}

impl Sink for Ndjson {
    /// A connection is told once, when it has ended: its progress is for who watches.
    fn write(&mut self, output: &Output) -> io::Result<()> {
        match output {
            Output::Progress(_) | Output::Snapshot(_) => return Ok(()),
            Output::Segment(_) if !self.segments => return Ok(()),
            Output::Timeline(timeline) if self.explain => {
                let told = Output::Timeline(Box::new(explained(timeline)));
                serde_json::to_writer(&mut self.destination, &told)?;
            }
            _ => serde_json::to_writer(&mut self.destination, output)?,
        }
        self.destination.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.destination.flush()
    }
}
