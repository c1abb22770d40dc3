//! A recording in a file: whole frames, written together once a second or when there are many. If the file
//! cannot be written any more, that is reported at once; what is then left out is counted, and the run
//! goes on for the other outputs.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use super::{
    Recorder,
    output_file::{Destination as _, OutputFile},
};
use crate::{
    core::{input::Input, scope::Scope},
    message,
};

/// How often frames are written out, and the file checked for rotation.
const RENEW_EVERY_NS: u64 = 1_000_000_000;
/// Bytes of frames that are written at once.
const CHUNK: usize = 64 * 1024;

pub struct RecordingFile {
    path: PathBuf,
    file: OutputFile,
    /// Holds the frames that are not written yet.
    recorder: Recorder<Vec<u8>>,
    /// The kernel's records among them.
    waiting: u64,
    written: u64,
    left_out: u64,
    renewed_ns: u64,
    failed: bool,
}

impl RecordingFile {
    /// Begins the recording in a file that was opened.
    pub fn begin(path: &Path, mut file: OutputFile, scope: Scope) -> io::Result<Self> {
        let mut recorder = Recorder::new(Vec::new(), scope)?;
        file.write_all(recorder.header())?;
        recorder.destination().clear();
        Ok(Self {
            path: path.to_owned(),
            file,
            recorder,
            waiting: 0,
            written: 0,
            left_out: 0,
            renewed_ns: 0,
            failed: false,
        })
    }

    /// Records an input, or counts it as left out.
    pub fn take(&mut self, input: &Input<'_>) {
        let records = u64::from(matches!(input, Input::Kernel(_)));
        if self.failed {
            self.left_out += records;
            return;
        }
        self.waiting += records;
        if let Err(error) = self.write(input) {
            self.fail(&error);
        }
    }

    /// Whether the file cannot be written any more.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.failed
    }

    /// Writes the rest, and reports how much is recorded; an error if something is left out.
    pub fn finish(mut self) -> Result<()> {
        if !self.failed
            && let Err(error) = self.write_out()
        {
            self.fail(&error);
        }
        let (written, left_out, name) = (self.written, self.left_out, self.path.display());
        if self.failed {
            bail!("{left_out} records were left out of the recording {name}, which has {written}");
        }
        message(&format!("recorded {written} records into {name}"));
        Ok(())
    }

    fn write(&mut self, input: &Input<'_>) -> io::Result<()> {
        self.recorder.write(input)?;
        if self.recorder.destination().len() >= CHUNK {
            self.write_out()?;
        }
        if let Input::Tick(tick) = input
            && tick.mono_ns.saturating_sub(self.renewed_ns) >= RENEW_EVERY_NS
        {
            self.renewed_ns = tick.mono_ns;
            self.write_out()?;
            if self.file.renew()? {
                self.file.write_all(self.recorder.header())?;
            }
        }
        Ok(())
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.file.write_all(self.recorder.destination())?;
        self.recorder.destination().clear();
        self.written += std::mem::take(&mut self.waiting);
        Ok(())
    }

    fn fail(&mut self, error: &io::Error) {
        self.failed = true;
        self.left_out += std::mem::take(&mut self.waiting);
        *self.recorder.destination() = Vec::new();
        message(&super::cannot_be_written(
            &format!("the recording {}", self.path.display()),
            error,
        ));
    }
}
