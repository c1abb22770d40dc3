//! Reads a capture, or several, and shows it as if its connections had been traced.

mod files;
mod merged;
mod progress;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use upload_protocol::line::CaptureTotals;

use self::{files::Files, progress::Progress};
use super::{outputs::Outputs, stopped::stopped_by_signal};
use crate::{
    caller::Caller,
    cli::ReadArgs,
    core::{
        input::{Flow, Input, Tick},
        packet::Packet,
        pipeline::Selection,
        scope::Scope,
    },
    ending::Ending,
    message,
    sink::{Interfaces, WhenBehind},
    source::capture::{BadCapture, Capture},
    system::survive_file_size_limit,
};

/// How much time of a capture passes between two ticks at least …
const TICK_NS: u64 = 20_000_000;
/// … unless there were so many packets.
const TICK_PACKETS: u32 = 1024;
/// How long to wait for a packet of a stream before time goes on without.
const WAIT: Duration = Duration::from_millis(20);
/// Packets that wait to be taken: with more, the stream waits.
const WAITING_PACKETS: usize = 256;

/// What is read: one capture, or several together.
enum Source {
    One(Capture),
    Several(Box<Files>),
}

/// Reads the captures that the arguments name.
pub fn read(arguments: &ReadArgs) -> Result<()> {
    survive_file_size_limit()?;
    let caller = Caller::find()?;
    let name = names(&arguments.files);
    let is_stopped = stopped_by_signal()?;
    let (source, progress) = match &arguments.files[..] {
        [file] => {
            let unreadable = || format!("{name} cannot be read");
            let (source, progress) = open(file, &caller)?;
            let capture = Capture::open(source).with_context(unreadable)?;
            (Source::One(capture), progress)
        }
        files => {
            let progress = Progress::start(Some(Files::length(files, &caller)?));
            let files = Files::survey(files, &caller, progress.counter(), &is_stopped)?;
            (Source::Several(Box::new(files)), progress)
        }
    };
    let scope = Scope {
        uploads_only: false,
        segments: arguments.segments,
        every_segment: arguments.segments || arguments.pcapng.is_some(),
    };
    let interfaces = match &source {
        Source::Several(files) => files.interfaces(),
        Source::One(_) => Interfaces::Ends,
    };
    let mut outputs = Outputs::open(
        &arguments.output,
        scope,
        arguments.pcapng.as_deref().map(|path| (path, interfaces)),
        &caller,
        WhenBehind::Wait,
        &Ending::default(),
    )?
    .with_selection(Selection {
        ports: arguments.port.clone(),
        addresses: arguments.address.clone(),
    });
    let _ = outputs.take(Input::Room(arguments.max_connections.try_into()?));
    let is_stream = progress.is_of_stream();
    let mut feeder = Feeder::new(progress, Arc::clone(&is_stopped));
    let unread = || format!("{name} was not read to its end");
    let ended = match source {
        Source::One(capture) if is_stream => follow(capture, &is_stopped, |packet| match packet {
            Some((packet, first_ns)) => feeder.feed(packet, first_ns, &mut outputs),
            None => feeder.wait(&mut outputs),
        })?
        .with_context(unread),
        Source::One(mut capture) => capture
            .read(|packet, first_ns| feeder.feed(packet, first_ns, &mut outputs))
            .with_context(unread),
        Source::Several(files) => {
            if let Some(points) = files.points() {
                outputs = outputs.with_points(points.clone());
            }
            files.read(&caller, |packet, first_ns| {
                feeder.feed(packet, first_ns, &mut outputs)
            })?
        }
    };
    feeder.finish(&mut outputs);
    let totals = outputs.capture_totals();
    let traced_nothing = outputs.traced_nothing();
    outputs.finish()?;
    ended?;
    let has = if arguments.files.len() == 1 {
        "has"
    } else {
        "have"
    };
    match totals.filter(|totals| totals.segments > 0) {
        None => bail!("{name} {has} {}", without_tcp(totals)),
        Some(_) if traced_nothing => message("no connection of the capture matches the filters"),
        Some(_) => {}
    }
    Ok(())
}

/// The files, as they were given.
fn names(files: &[PathBuf]) -> String {
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    match &names[..] {
        [names @ .., last] if !names.is_empty() => format!("{} and {last}", names.join(", ")),
        _ => names.concat(),
    }
}

/// Opens the file with the caller's rights; `-` is stdin.
fn open(file: &Path, caller: &Caller) -> Result<(Box<dyn Read + Send>, Progress)> {
    if is_stdin(file) {
        let progress = Progress::start(None);
        return Ok((Box::new(progress.of(io::stdin())), progress));
    }
    let opened = open_file(file, caller)?;
    let progress = Progress::start(progress::length(&opened));
    Ok((Box::new(progress.of(opened)), progress))
}

fn open_file(file: &Path, caller: &Caller) -> Result<File> {
    let named = file.to_owned();
    caller
        .act(move || File::open(named))
        .with_context(|| caller.cannot(&file.display().to_string(), "opened"))
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// What a capture has instead of TCP segments.
fn without_tcp(totals: Option<CaptureTotals>) -> String {
    let Some(totals) = totals else {
        return "no packets".to_owned();
    };
    let reasons = totals
        .unread()
        .map(|(count, what)| format!("{count} {what}"));
    format!(
        "no TCP segment that can be read: of {} frame{}, {}",
        totals.frames,
        if totals.frames == 1 { "" } else { "s" },
        reasons.collect::<Vec<_>>().join(", ")
    )
}

/// Reads packets as they come, on a thread of its own, and passes each on; `None` while there is none.
fn follow(
    mut capture: Capture,
    is_stopped: &AtomicBool,
    mut take: impl FnMut(Option<(Packet<'static>, u64)>) -> Flow,
) -> Result<Result<(), BadCapture>> {
    let (sender, packets) = mpsc::sync_channel(WAITING_PACKETS);
    let reader = thread::Builder::new()
        .name("capture".to_owned())
        .spawn(move || {
            capture.read(
                |packet, first_ns| match sender.send((packet.into_owned(), first_ns)) {
                    Ok(()) => Flow::GoOn,
                    Err(_) => Flow::Enough,
                },
            )
        })?;
    while !is_stopped.load(Ordering::Relaxed) {
        let flow = match packets.recv_timeout(WAIT) {
            Ok(packet) => take(Some(packet)),
            Err(RecvTimeoutError::Timeout) => take(None),
            Err(RecvTimeoutError::Disconnected) => {
                let ended = reader.join();
                return Ok(ended.unwrap_or(Ok(())));
            }
        };
        if flow == Flow::Enough {
            break;
        }
    }
    Ok(Ok(()))
}

/// Hands packets over, and lets time pass between them.
struct Feeder {
    /// `None` at the end.
    progress: Option<Progress>,
    is_stopped: Arc<AtomicBool>,
    tick: Tick,
    is_begun: bool,
    /// The time of the latest packet.
    now_ns: u64,
    /// Since when no packet came, if none does.
    idle: Option<Instant>,
    /// Since the last tick.
    packets: u32,
    packets_before: u64,
}

impl Feeder {
    fn new(progress: Progress, is_stopped: Arc<AtomicBool>) -> Self {
        Self {
            progress: Some(progress),
            is_stopped,
            tick: Tick::default(),
            is_begun: false,
            now_ns: 0,
            idle: None,
            packets: 0,
            packets_before: 0,
        }
    }

    fn feed(&mut self, packet: Packet<'_>, first_ns: u64, outputs: &mut Outputs) -> Flow {
        if self.is_stopped.load(Ordering::Relaxed) {
            return Flow::Enough;
        }
        self.now_ns = self.now_ns.max(packet.mono_ns);
        self.packets += 1;
        self.idle = None;
        let since_ns = self.now_ns.saturating_sub(self.tick.mono_ns);
        let is_due = !self.is_begun || since_ns >= TICK_NS || self.packets >= TICK_PACKETS;
        let mut flow = Flow::GoOn;
        if is_due {
            self.is_begun = true;
            self.packets_before += u64::from(std::mem::take(&mut self.packets));
            if let Some(progress) = &self.progress {
                progress.packets(self.packets_before);
            }
            self.tick = at(self.now_ns.max(self.tick.mono_ns), first_ns);
            flow = outputs.take(Input::Tick(self.tick));
        }
        if flow != Flow::Enough {
            let _ = outputs.take(Input::Packet(packet));
        }
        flow
    }

    /// No packet came for a while: time goes on without.
    fn wait(&mut self, outputs: &mut Outputs) -> Flow {
        if !self.is_begun {
            return Flow::GoOn;
        }
        let idle = *self.idle.get_or_insert_with(Instant::now);
        let waited = WAIT + idle.elapsed();
        let waited_ns = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        self.advance(self.now_ns.saturating_add(waited_ns), outputs)
    }

    fn advance(&mut self, mono_ns: u64, outputs: &mut Outputs) -> Flow {
        let passed_ns = mono_ns.saturating_sub(self.tick.mono_ns);
        self.tick = Tick {
            mono_ns: self.tick.mono_ns + passed_ns,
            counted_ns: self.tick.mono_ns + passed_ns,
            realtime_ns: self.tick.realtime_ns.saturating_add(signed(passed_ns)),
            ..self.tick
        };
        outputs.take(Input::Tick(self.tick))
    }

    fn finish(&mut self, outputs: &mut Outputs) {
        self.progress = None;
        let _ = self.advance(self.now_ns, outputs);
        let _ = outputs.take(Input::Shutdown);
    }
}

fn at(mono_ns: u64, first_ns: u64) -> Tick {
    Tick {
        mono_ns,
        realtime_ns: signed(first_ns.saturating_add(mono_ns)),
        counted_ns: mono_ns,
        ..Tick::default()
    }
}

fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}
