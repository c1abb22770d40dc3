//! The captures that are read together: what they are to one another, and their packets in the order of one
//! clock.

use std::{
    fs::{self, Metadata},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context as _, Result, bail};

use super::{
    is_stdin,
    merged::{Merged, Timed},
    open_file,
    progress::Counter,
};
use crate::{
    caller::Caller,
    core::{
        input::Flow,
        packet::Packet,
        points::{Found, Point, Points, Survey},
    },
    message,
    sink::Interfaces,
    source::capture::Capture,
};

/// Several captures, surveyed.
pub(super) struct Files {
    files: Vec<CaptureFile>,
    /// What two captures of the same conversations have in common.
    points: Option<Points>,
    /// Counts what is read.
    counter: Counter,
}

pub(super) struct CaptureFile {
    pub(super) path: PathBuf,
    pub(super) name: String,
    /// The time of its first packet, in nanoseconds since the Unix epoch; `None` without packets.
    first_ns: Option<u64>,
    /// The capture that it is, or is a piece of.
    point: Point,
}

impl Files {
    /// How many bytes will be read: all captures twice.
    pub(super) fn length(paths: &[PathBuf], caller: &Caller) -> Result<u64> {
        let mut all = 0_u64;
        for path in paths {
            if is_stdin(path) {
                bail!("stdin (-) can only be read alone: other captures are read twice");
            }
            let about = about(path, caller)?;
            if !about.is_file() {
                let name = path.display();
                bail!("{name} is not a regular file: several captures are read twice");
            }
            all = all.saturating_add(about.len());
        }
        Ok(all.saturating_mul(2))
    }

    /// Reads all captures once, to find out what they are, and says what is amiss.
    pub(super) fn survey(
        paths: &[PathBuf],
        caller: &Caller,
        counter: Counter,
        is_stopped: &AtomicBool,
    ) -> Result<Self> {
        let files = paths.iter().enumerate().map(|(point, path)| CaptureFile {
            path: path.clone(),
            name: path.display().to_string(),
            first_ns: None,
            point,
        });
        let mut files = Self {
            files: files.collect(),
            points: None,
            counter,
        };
        let mut names = files.names(paths.len());
        let mut found = files.look(&names, caller, is_stopped)?;
        if let Found::Pieces(points) = found {
            files.put_together(&points);
            names = files.names(2);
            found = files.look(&names, caller, is_stopped)?;
        }
        files.take(found, &names)?;
        Ok(files)
    }

    /// Reads all captures once; these are their names.
    fn look(
        &mut self,
        names: &[String],
        caller: &Caller,
        is_stopped: &AtomicBool,
    ) -> Result<Found> {
        let mut survey = Survey::new(names.len());
        for file in &mut self.files {
            let unreadable = || format!("{} cannot be read", file.name);
            let source = self.counter.of(open_file(&file.path, caller)?);
            let mut capture = Capture::open(source).with_context(unreadable)?;
            // Where it is cut is said when it is read for the last time.
            let _ = capture.read(|packet, begin_ns| {
                file.first_ns.get_or_insert(begin_ns);
                let time_ns = begin_ns.saturating_add(packet.mono_ns);
                survey.packet(file.point, time_ns, &packet);
                if is_stopped.load(Ordering::Relaxed) {
                    Flow::Enough
                } else {
                    Flow::GoOn
                }
            });
        }
        Ok(survey.finish(names))
    }

    /// Takes the files for pieces of captures, in the order in which they begin.
    fn put_together(&mut self, points: &[Point]) {
        for (file, point) in self.files.iter_mut().zip(points) {
            file.point = *point;
        }
        let begin = |file: &CaptureFile| (file.point, file.first_ns);
        self.files.sort_by_key(begin);
    }

    /// The names of so many captures: those of their pieces.
    fn names(&self, captures: usize) -> Vec<String> {
        let name = |point| {
            let pieces = self.files.iter().filter(|file| file.point == point);
            let names: Vec<&str> = pieces.map(|file| &*file.name).collect();
            names.join(" + ")
        };
        (0..captures).map(name).collect()
    }

    fn take(&mut self, found: Found, names: &[String]) -> Result<()> {
        let both = |one: usize, other: usize| format!("{} and {}", names[one], names[other]);
        match found {
            Found::Points(points) => self.points = Some(*points),
            Found::Pieces(_) => bail!("the captures cannot be put together"),
            Found::TooMany(one, other) => bail!(
                "{} are captures of the same connections at two places: of such captures, only two can be read at once",
                both(one, other)
            ),
            Found::Same(one, other) => {
                message(&format!(
                    "{} hold the same packets: the second is left out",
                    both(one, other)
                ));
                self.files.retain(|file| file.point != other);
            }
            Found::Misaligned(reason) => {
                message(&format!(
                    "{} have connections in common, but their clocks cannot be aligned: {reason}. Each is shown by itself",
                    both(0, 1)
                ));
                self.points = Some(Points::apart([names[0].clone(), names[1].clone()]));
            }
            Found::Apart {
                overlap,
                continues,
                rewritten,
            } => {
                if rewritten > 0 {
                    let them = if rewritten == 1 {
                        "a connection with the same addresses".to_owned()
                    } else {
                        format!("{rewritten} connections with the same addresses")
                    };
                    message(&format!(
                        "the captures have {them} and other sequence numbers: a proxy, or a firewall that changes the numbers, lies between. Each is shown by itself"
                    ));
                } else if !continues {
                    message("the captures have no connection in common: each is shown by itself");
                }
                if overlap && (rewritten > 0 || !continues) && names.len() == 2 {
                    self.points = Some(Points::apart([names[0].clone(), names[1].clone()]));
                }
            }
        }
        Ok(())
    }

    pub(super) fn points(&self) -> Option<&Points> {
        self.points.as_ref()
    }

    /// The interfaces that packets are written with: one for each of two captures.
    pub(super) fn interfaces(&self) -> Interfaces {
        match &self.points {
            Some(points) => Interfaces::Captures(points.names.clone()),
            None => Interfaces::Ends,
        }
    }

    /// Passes all packets on, in the order of time. The inner error names the capture that was not read to
    /// its end.
    pub(super) fn read(
        &self,
        caller: &Caller,
        mut take: impl FnMut(Packet<'static>, u64) -> Flow,
    ) -> Result<Result<()>> {
        let in_first = |number: usize, time_ns: u64| match &self.points {
            Some(points) => points.clocks.in_first(self.files[number].point, time_ns),
            None => time_ns,
        };
        let with_packets = self.files.iter().enumerate();
        let mut files: Vec<(u64, usize)> = with_packets
            .filter_map(|(number, file)| Some((in_first(number, file.first_ns?), number)))
            .collect();
        files.sort_unstable();
        let begin_ns = files.first().map_or(0, |(first_ns, _)| *first_ns);
        let open = |number: usize| {
            let file = &self.files[number];
            let unreadable = || format!("{} cannot be read", file.name);
            let source = self.counter.of(open_file(&file.path, caller)?);
            Capture::open(source).with_context(unreadable)
        };
        let mut merged = Merged::new(files, open, in_first);
        while let Some(Timed {
            time_ns,
            file,
            mut packet,
        }) = merged.next()?
        {
            packet.mono_ns = time_ns.saturating_sub(begin_ns);
            packet.capture = if self.points.is_some() {
                self.files[file].point
            } else {
                0
            };
            if take(packet, begin_ns) == Flow::Enough {
                return Ok(Ok(()));
            }
        }
        Ok(match merged.failed() {
            Some((file, error)) => {
                let name = &self.files[file].name;
                Err(error).with_context(|| format!("{name} was not read to its end"))
            }
            None => Ok(()),
        })
    }
}

fn about(path: &Path, caller: &Caller) -> Result<Metadata> {
    let named = path.to_owned();
    caller
        .act(move || fs::metadata(named))
        .with_context(|| caller.cannot(&path.display().to_string(), "opened"))
}
