//! The tracers that watch, and the timelines that they give.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use upload_protocol::Timeline;

use super::{
    Seen, SeenFrom,
    capture::{self, Capture},
    programs::{Programs, ports_of_clients, upload_to},
    stage::Stage,
};
use crate::bench::{process::Process, stop::Stop};

/// How long a tracer may take to end.
const ENDS: Duration = Duration::from_secs(60);

/// Timelines by the number of the upload.
#[derive(Debug, Default)]
pub(crate) struct Timelines(HashMap<u16, Vec<Timeline>>);

/// A tracer or a capture for each view.
pub(crate) struct Watch {
    tracers: Vec<(SeenFrom, Tracer)>,
    captures: Vec<(SeenFrom, Capture)>,
}

struct Tracer {
    process: Process,
    reader: JoinHandle<Result<Timelines>>,
}

impl Timelines {
    /// Of the lines of `-o ndjson`.
    fn read(from: impl Read) -> Result<Self> {
        let mut timelines = Self::default();
        for line in BufReader::new(from).lines() {
            let line = line?;
            if !line.starts_with(r#"{"type":"timeline""#) {
                continue;
            }
            let timeline: Timeline = serde_json::from_str(&line)?;
            if let Some(number) = upload_to(timeline.server.port) {
                timelines.0.entry(number).or_default().push(timeline);
            }
        }
        Ok(timelines)
    }

    /// Of the connections of an upload.
    pub(crate) fn of(&self, number: u16) -> Vec<&Timeline> {
        self.0.get(&number).into_iter().flatten().collect()
    }
}

impl Watch {
    /// Starts the tracers, and waits until they are attached.
    pub(crate) fn start(
        programs: &Programs,
        stage: &Stage,
        (views, uploads): (&[SeenFrom], u16),
        record: Option<&Path>,
        stop: &Stop,
    ) -> Result<Self> {
        if let Some(folder) = record {
            fs::create_dir_all(folder)?;
        }
        let mut tracers = Vec::new();
        let mut captures = Vec::new();
        for from in views {
            if from.is_capture() {
                let place = match from {
                    SeenFrom::ClientCapture => stage.clients(),
                    _ => stage.servers(),
                };
                let folder = record.unwrap_or(programs.folder());
                captures.push((*from, Capture::start(place, folder, *from)?));
                continue;
            }
            let mut command = Command::new(programs.binary("tracer"));
            if let Some(folder) = record {
                command.arg("record").arg(recording(folder, *from));
            }
            command
                .args(["-o", "ndjson", "--ring-size", "33554432"])
                .stdout(Stdio::piped());
            match from {
                SeenFrom::Server => command.arg("--cgroup").arg(stage.servers().cgroup()),
                SeenFrom::Client => {
                    let ports = ports_of_clients(uploads);
                    command.args(ports.flat_map(|port| ["--port".to_owned(), port.to_string()]))
                }
                _ => command.arg("--cgroup").arg(stage.cgroup()),
            };
            let notify = programs.folder().join(format!("notify-{}", from.name()));
            let mut process = Process::start_notifying("tracer", &mut command, &notify, stop)?;
            let stdout = process.stdout()?;
            let reader = std::thread::spawn(move || Timelines::read(stdout));
            tracers.push((*from, Tracer { process, reader }));
        }
        Ok(Self { tracers, captures })
    }

    /// Ends the tracers; gives what they told.
    pub(crate) fn end(self, programs: &Programs, stop: &Stop) -> Result<Seen> {
        let ended = self.tracers.into_iter().map(|(from, tracer)| {
            tracer.process.interrupt()?;
            tracer.process.finish(ENDS, stop)?;
            match tracer.reader.join() {
                Ok(timelines) => Ok((from, timelines?)),
                Err(_) => bail!("the thread that reads a tracer failed"),
            }
        });
        let mut seen: Seen = ended.collect::<Result<_>>()?;
        for (from, capture) in self.captures {
            let file = capture.end(stop)?;
            seen.push((
                from,
                timelines_of(&programs.binary("tracer"), "read", &file, stop)?,
            ));
        }
        Ok(seen)
    }
}

/// What the recordings and the captures in a folder say now.
pub(crate) fn replay(
    binaries: &Path,
    folder: &Path,
    views: &[SeenFrom],
    stop: &Stop,
) -> Result<Seen> {
    let tracer = binaries.join("tracer");
    let replayed = views.iter().map(|from| {
        let timelines = match from.is_capture() {
            true => timelines_of(&tracer, "read", &capture::file(folder, *from), stop),
            false => timelines_of(&tracer, "replay", &recording(folder, *from), stop),
        };
        Ok((*from, timelines?))
    });
    replayed.collect()
}

/// What the tracer says of a file.
fn timelines_of(tracer: &Path, verb: &str, file: &Path, stop: &Stop) -> Result<Timelines> {
    let mut command = Command::new(tracer);
    command.arg(verb).arg(file).args(["-o", "ndjson"]);
    let mut process = Process::start("tracer", command.stdout(Stdio::piped()))?;
    let timelines = Timelines::read(process.stdout()?)?;
    process
        .finish(ENDS, stop)
        .with_context(|| file.display().to_string())?;
    Ok(timelines)
}

fn recording(folder: &Path, from: SeenFrom) -> std::path::PathBuf {
    folder.join(format!("{}.trace", from.name()))
}
