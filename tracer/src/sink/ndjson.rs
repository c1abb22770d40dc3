//! One JSON object per line. `schema.json` of the protocol describes them.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use upload_protocol::{explain::explained_line, line::Line};

use super::{Render, way_out};
use crate::core::output::Output;

pub struct Ndjson {
    segments: bool,
    explain: bool,
    samples: bool,
}

impl Ndjson {
    #[must_use]
    pub const fn new(segments: bool, explain: bool) -> Self {
        Self {
            segments,
            explain,
            samples: false,
        }
    }

    /// Whether timelines have samples, which make a line long.
    #[must_use]
    pub const fn with_samples(mut self, samples: bool) -> Self {
        self.samples = samples;
        self
    }
}

impl Render for Ndjson {
    /// A connection has one line, when it has ended; its progress is for the terminal and the page.
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
        let Some(mut line) = line(output) else {
            return Ok(());
        };
        if let Line::Timeline(timeline) = &mut line
            && !(self.samples || timeline.samples.is_empty())
        {
            timeline.to_mut().samples.clear();
        }
        let from = to.len();
        match (&line, self.explain) {
            (Line::Timeline(timeline), true) => {
                serde_json::to_writer(Pieces(to), &explained_line(timeline))?;
            }
            _ => serde_json::to_writer(Pieces(to), &line)?,
        }
        way_out::make_json_plain(to, from);
        to.push(b'\n');
        Ok(())
    }
}

/// An output as a line; `None` for timelines that are not final.
fn line(output: &Output) -> Option<Line<'_>> {
    Some(match output {
        Output::State(line) => Line::State(Cow::Borrowed(line)),
        Output::Segment(segment) => Line::Segment(Cow::Borrowed(&segment.line)),
        Output::Upload(line) => Line::Upload(Cow::Borrowed(line)),
        Output::Timeline(timeline) => Line::Timeline(Cow::Borrowed(timeline)),
        Output::Lost(line) => Line::Lost(Cow::Borrowed(line)),
        Output::Summary(line) => Line::Summary(Cow::Borrowed(line)),
        Output::Progress(_) | Output::Snapshot(_) => return None,
    })
}

/// serde_json writes very small pieces, most of them one byte; pushing a byte is cheaper than a copy.
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
