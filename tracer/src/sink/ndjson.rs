//! One JSON object a line. `schema.json` beside `Cargo.toml` describes them.

use std::io::{self, Write};

use super::{Render, explain::explained};
use crate::core::output::Output;

/// See the module.
pub struct Ndjson {
    /// Whether segments are shown.
    segments: bool,
    /// Whether each step is explained.
    explain: bool,
}

impl Ndjson {
    /// With or without segments. With `explain`, each step is explained.
    #[must_use]
    pub const fn new(segments: bool, explain: bool) -> Self {
        Self { segments, explain }
    }
}

impl Render for Ndjson {
    /// A connection is told once, when it has ended: its progress is for who watches.
    fn shows(&self, output: &Output) -> bool {
        match output {
            Output::Progress(_) | Output::Snapshot(_) => false,
            Output::Segment(_) => self.segments,
            Output::State(_)
            | Output::Upload(_)
            | Output::Timeline(_)
            | Output::Lost(_)
            | Output::Summary(_) => true,
        }
    }

    fn render(&mut self, output: &Output, to: &mut Vec<u8>) -> io::Result<()> {
        if !self.shows(output) {
            return Ok(());
        }
        match output {
            Output::Timeline(timeline) if self.explain => {
                let told = Output::Timeline(Box::new(explained(timeline)));
                serde_json::to_writer(Pieces(to), &told)?;
            }
            _ => serde_json::to_writer(Pieces(to), output)?,
        }
        to.push(b'\n');
        Ok(())
    }
}

/// JSON is written in very small pieces, most of them one byte, which is cheaply told.
struct Pieces<'a>(&'a mut Vec<u8>);

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match bytes {
            [byte] => self.0.push(*byte),
            _ => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
