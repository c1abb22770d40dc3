//! A recording in a file: whole frames, written together once a second or when there are many, by a
//! [`Writer`]: a file system that does not answer holds no record up. If the file cannot be written any more,
//! that is reported at once; what is then left out is counted, and the run goes on for the other outputs.

use std::{io, path::Path};

use anyhow::{Context as _, Result, bail};

use super::{
    HeadedFile, Recorder,
    output_file::OutputFile,
    writer::{CHUNK, Chunk, MAX_BYTES, Writer},
};
use crate::{
    core::{
        input::{Input, Tick},
        scope::Scope,
    },
    ending::Ending,
    message,
};

/// How often frames are written out.
const WRITE_EVERY_NS: u64 = 1_000_000_000;

pub struct RecordingFile {
    /// For a person.
    name: String,
    writer: Writer,
    /// Makes the frames of the next chunk.
    recorder: Recorder<Vec<u8>>,
    /// The kernel's records among them.
    records: u64,
    /// The kernel's records that are in no chunk.
    left_out: u64,
    handed_over_ns: u64,
}

impl RecordingFile {
    /// Begins the recording in a file that was opened. It begins with the ports that were chosen, as each file does
    /// that follows where it is moved.
    ///
    /// # Errors
    /// When its header cannot be written, or its thread cannot be started.
    pub fn begin(
        path: &Path,
        file: OutputFile,
        scope: Scope,
        chosen_ports: Option<Vec<u16>>,
        ending: &Ending,
    ) -> Result<Self> {
        let mut recorder = Recorder::new(Vec::new(), scope)?;
        if let Some(ports) = chosen_ports {
            recorder.write(&Input::ChosenPorts(ports))?;
        }
        let header = std::mem::take(recorder.destination());
        let file = HeadedFile::begin(Box::new(file), header)?;
        let name = format!("the recording {}", path.display());
        Ok(Self {
            writer: Writer::start(name.clone(), Box::new(file), ending.clone())
                .context("starting the recording")?,
            name,
            recorder,
            records: 0,
            left_out: 0,
            handed_over_ns: 0,
        })
    }

    /// Records an input, or counts it as left out.
    pub fn take(&mut self, input: &Input<'_>) {
        if matches!(input, Input::ChosenPorts(_)) {
            return;
        }
        self.writer.take_back();
        let records = u64::from(matches!(input, Input::Kernel(_)));
        let waiting = self.writer.waiting().bytes + self.recorder.destination().len();
        if self.writer.is_broken() || waiting >= MAX_BYTES {
            self.left_out += records;
            return;
        }
        self.records += records;
        if let Err(error) = self.encode(input) {
            message(&format!("an input is left out of {}: {error}", self.name));
            self.records -= records;
            self.left_out += records;
        }
        let is_due = matches!(input, Input::Tick(tick)
            if tick.mono_ns.saturating_sub(self.handed_over_ns) >= WRITE_EVERY_NS);
        if let Input::Tick(tick) = input
            && is_due
        {
            self.handed_over_ns = tick.mono_ns;
        }
        if is_due || self.recorder.destination().len() >= CHUNK {
            self.hand_over();
        }
    }

    /// Whether the file cannot be written any more.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.writer.is_broken()
    }

    /// Writes the rest, and reports how much is recorded; an error if something is left out.
    pub fn finish(mut self) -> Result<()> {
        self.hand_over();
        let Self { name, left_out, .. } = self;
        let Some(written) = self.writer.finish(left_out, "records")? else {
            bail!("nobody reads {name} to its end");
        };
        if left_out > 0 {
            bail!("{left_out} records were left out of {name}, which has {written}");
        }
        message(&format!("recorded {written} records into {name}"));
        Ok(())
    }

    /// In the replay, records that are left out are records that were lost before the tracer read them.
    fn encode(&mut self, input: &Input<'_>) -> io::Result<()> {
        match input {
            Input::Tick(tick) if self.left_out > 0 => self.recorder.write(&Input::Tick(Tick {
                lost_ring: tick.lost_ring.saturating_add(self.left_out),
                ..*tick
            })),
            input => self.recorder.write(input),
        }
    }

    fn hand_over(&mut self) {
        let mut chunk = Chunk {
            bytes: std::mem::take(self.recorder.destination()),
            lines: std::mem::take(&mut self.records),
        };
        if !self.writer.is_broken() {
            self.writer.hand_over(&mut chunk);
            *self.recorder.destination() = chunk.bytes;
        } else {
            self.left_out += chunk.lines;
        }
    }
}
