//! What tcpdump captures at an end.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{ChildStderr, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use xtask::command::log;

use super::{SeenFrom, stage::Place};
use crate::bench::{process::Process, stop::Stop};

/// How long tcpdump may take to write what it has.
const ENDS: Duration = Duration::from_secs(20);

/// tcpdump on all devices of a place, those that are not there yet included.
pub(super) struct Capture {
    process: Process,
    messages: BufReader<ChildStderr>,
    file: PathBuf,
}

impl Capture {
    /// Starts it, and waits until it captures.
    pub(super) fn start(place: &Place, folder: &Path, from: SeenFrom) -> Result<Self> {
        let file = file(folder, from);
        let mut command = place.watcher("tcpdump");
        command
            .args(["-i", "any", "-n", "-s", "0", "-B", "65536", "-Z", "root"])
            .args(["--time-stamp-precision", "nano", "-w"])
            .arg(&file)
            .arg("tcp")
            .stderr(Stdio::piped());
        let mut process = Process::start("tcpdump", &mut command)?;
        let mut messages = BufReader::new(process.stderr()?);
        let mut message = String::new();
        while !message.contains("listening on") {
            message.clear();
            if messages.read_line(&mut message)? == 0 {
                process.check().context("tcpdump captures nothing")?;
            }
        }
        Ok(Self {
            process,
            messages,
            file,
        })
    }

    /// Ends it; gives its file.
    pub(super) fn end(mut self, stop: &Stop) -> Result<PathBuf> {
        self.process.interrupt()?;
        self.process.wait(ENDS, stop)?;
        let mut messages = String::new();
        self.messages.read_to_string(&mut messages)?;
        let dropped = messages.lines().find(|line| line.contains("dropped by"));
        if let Some(dropped) = dropped.filter(|line| !line.starts_with("0 ")) {
            log(&format!("{}: {dropped}", self.file.display()));
        }
        Ok(self.file)
    }
}

/// The capture of this view in a folder.
pub(super) fn file(folder: &Path, from: SeenFrom) -> PathBuf {
    folder.join(format!("{}.pcap", from.name().replace(' ', "-")))
}
