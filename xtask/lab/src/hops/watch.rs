//! The tracer that watches, and what it reports of each upload: its NDJSON as any script would read it.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::SERVER;
use crate::bench::{process::Process, stop::Stop};

/// How long it may take to end.
const ENDS: Duration = Duration::from_secs(60);
/// How long after the uploads it may report them.
const REPORTS: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(100);

/// What the tracer reported.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// By the name of the upload.
    pub(crate) uploads: HashMap<String, Upload>,
    /// Records lost.
    pub(crate) lost: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Upload {
    pub(crate) name: Option<String>,
    pub(crate) hops: Vec<Hop>,
    /// How many connections may have carried it, where the tracer does not know which did.
    pub(crate) ambiguous_hops: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Hop {
    pub(crate) client: Endpoint,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) port: u16,
}

/// A line of NDJSON, as far as it matters.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Timeline {
        server: Endpoint,
        uploads: Vec<Upload>,
    },
    /// An upload ended.
    Upload {},
    Summary {
        lost: u64,
    },
    #[serde(other)]
    Other,
}

/// What is to be traced.
pub(crate) struct Plan<'a> {
    pub(crate) tracer: PathBuf,
    /// For the socket on which it reports that it is ready.
    pub(crate) scratch: &'a Path,
    /// The server's control socket.
    pub(crate) control: &'a Path,
    pub(crate) ports: &'a [u16],
    /// In the name of each upload, and in no other line.
    pub(crate) prefix: String,
    /// Where its NDJSON is kept; its recording has the same name with `.trace`.
    pub(crate) keep: Option<PathBuf>,
}

/// A tracer that is attached. Dropped, it is ended.
pub(crate) struct Watch {
    process: Process,
    /// One for each upload that it reports.
    reported: Receiver<()>,
    reader: JoinHandle<Result<Seen>>,
}

impl Watch {
    pub(crate) fn start(plan: Plan<'_>, stop: &Stop) -> Result<Self> {
        let mut command = Command::new(&plan.tracer);
        if let Some(keep) = &plan.keep {
            command.arg("record").arg(keep.with_extension("trace"));
        }
        command
            .args(["-o", "ndjson", "--server"])
            .arg(plan.control)
            .args(
                plan.ports
                    .iter()
                    .flat_map(|port| ["--port".to_owned(), port.to_string()]),
            )
            .stdout(Stdio::piped());
        let notify = plan.scratch.join("tracer.notify");
        let mut process = Process::start_notifying("tracer", &mut command, &notify, stop)?;
        let stdout = process.stdout()?;
        let keep = plan.keep.map(File::create).transpose()?;
        let (sender, reported) = mpsc::channel();
        let prefix = plan.prefix;
        let read = move || Seen::read(stdout, &prefix, keep, &sender);
        Ok(Self {
            process,
            reported,
            reader: std::thread::spawn(read),
        })
    }

    /// Waits until it has reported so many uploads, or for some time: one that it lost never comes.
    pub(crate) fn wait_for(&self, uploads: usize, stop: &Stop) -> Result<()> {
        let end = std::time::Instant::now() + REPORTS;
        let mut reported = 0;
        while reported < uploads && std::time::Instant::now() < end {
            stop.check()?;
            self.process.check()?;
            reported += usize::from(self.reported.recv_timeout(EVERY).is_ok());
        }
        Ok(())
    }

    /// Ends it; gives what it reported.
    pub(crate) fn end(self, stop: &Stop) -> Result<Seen> {
        self.process.interrupt()?;
        self.process.finish(ENDS, stop)?;
        match self.reader.join() {
            Ok(seen) => seen,
            Err(_) => bail!("the thread that reads the tracer's output failed"),
        }
    }
}

impl Seen {
    fn read(
        stdout: ChildStdout,
        prefix: &str,
        keep: Option<File>,
        reported: &Sender<()>,
    ) -> Result<Self> {
        let mut seen = Self::default();
        let mut keep = keep.map(BufWriter::new);
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            if let Some(keep) = &mut keep {
                writeln!(keep, "{line}")?;
            }
            // Most are of other traffic.
            if line.contains(prefix) || line.starts_with(r#"{"type":"summary""#) {
                seen.take(&line, prefix, reported)?;
            }
        }
        if let Some(mut keep) = keep {
            keep.flush()?;
        }
        Ok(seen)
    }

    fn take(&mut self, line: &str, prefix: &str, reported: &Sender<()>) -> Result<()> {
        match serde_json::from_str(line).with_context(|| line.to_owned())? {
            // Nobody waits for those that come late.
            Line::Upload {} => reported.send(()).unwrap_or_default(),
            Line::Summary { lost } => self.lost = lost,
            // Connections between proxies have uploads, too: inferred ones.
            Line::Timeline { server, uploads } if server.port == SERVER => {
                for upload in uploads {
                    if let Some(name) = upload.name.clone().filter(|name| name.starts_with(prefix))
                    {
                        self.uploads.insert(name, upload);
                    }
                }
            }
            Line::Timeline { .. } | Line::Other => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_found_by_name() {
        let (sender, reported) = mpsc::channel();
        let mut seen = Seen::default();
        for line in [
            r#"{"type":"upload","name":"a-1","connection":"1"}"#,
            r#"{"type":"timeline","server":{"port":5000},"uploads":[{"name":"a-1","hops":[{"client":{"port":7}}]},{"name":"b"}]}"#,
            r#"{"type":"timeline","server":{"port":5000},"uploads":[{"name":"a-2","ambiguous_hops":2}]}"#,
            r#"{"type":"timeline","server":{"port":443},"uploads":[{"name":"a-3"}]}"#,
            r#"{"type":"state","name":"a-"}"#,
            r#"{"type":"summary","lost":3}"#,
        ] {
            seen.take(line, "a-", &sender).unwrap();
        }
        drop(sender);
        assert_eq!(reported.iter().count(), 1);
        assert_eq!((seen.uploads.len(), seen.lost), (2, 3));
        assert_eq!(seen.uploads["a-1"].hops[0].client.port, 7);
        assert_eq!(seen.uploads["a-2"].ambiguous_hops, 2);
    }
}
