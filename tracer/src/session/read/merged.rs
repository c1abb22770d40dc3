//! Merges the packets of several captures by time, each capture on a thread of its own. A capture is opened
//! when the time of its first packet has come: of a long row of pieces, few are open at once.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    sync::mpsc::{self, Receiver},
    thread::{self, JoinHandle},
    vec,
};

use anyhow::Result;

use crate::{
    core::{input::Flow, packet::Packet},
    source::capture::{BadCapture, Capture},
};

/// Packets that a thread hands over at once …
const BATCH: usize = 128;
/// … and how many times so many wait.
const WAITING_BATCHES: usize = 4;

/// A packet, its time in nanoseconds since the Unix epoch, and the number of its file.
pub(super) struct Timed {
    pub(super) time_ns: u64,
    pub(super) file: usize,
    pub(super) packet: Packet<'static>,
}

pub(super) struct Merged<Open, Time> {
    /// Files that are not open yet, and when they begin.
    later: VecDeque<(u64, usize)>,
    open: Open,
    time: Time,
    /// The next packet of each file that is open, the earliest first; of those of one time, that of the
    /// first file.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    files: Vec<OpenFile>,
    failed: Option<(usize, BadCapture)>,
}

struct OpenFile {
    file: usize,
    batches: Receiver<Vec<(u64, Packet<'static>)>>,
    batch: vec::IntoIter<(u64, Packet<'static>)>,
    next: Option<Packet<'static>>,
    reader: JoinHandle<Result<(), BadCapture>>,
}

impl<Open, Time> Merged<Open, Time>
where
    Open: Fn(usize) -> Result<Capture>,
    Time: Fn(usize, u64) -> u64,
{
    /// `files`: their numbers in the order of their first packets' times; `time` makes one clock of theirs.
    pub(super) fn new(files: Vec<(u64, usize)>, open: Open, time: Time) -> Self {
        Self {
            later: files.into(),
            open,
            time,
            next: BinaryHeap::new(),
            files: Vec::new(),
            failed: None,
        }
    }

    /// The next packet of all files.
    pub(super) fn next(&mut self) -> Result<Option<Timed>> {
        while let Some((first_ns, file)) = self.later.front().copied()
            && self
                .next
                .peek()
                .is_none_or(|Reverse((time_ns, _))| *time_ns >= first_ns)
        {
            self.later.pop_front();
            let opened = OpenFile::read((self.open)(file)?, file)?;
            self.files.push(opened);
            self.advance(file);
        }
        let Some(Reverse((time_ns, file))) = self.next.pop() else {
            return Ok(None);
        };
        let mut files = self.files.iter_mut();
        let packet = files
            .find(|open| open.file == file)
            .and_then(|open| open.next.take());
        self.advance(file);
        Ok(packet.map(|packet| Timed {
            time_ns,
            file,
            packet,
        }))
    }

    /// The first file that was not read to its end, and why.
    pub(super) fn failed(self) -> Option<(usize, BadCapture)> {
        self.failed
    }

    /// Takes the next packet of a file; closes the file after its last.
    fn advance(&mut self, file: usize) {
        let Some(at) = self.files.iter().position(|open| open.file == file) else {
            return;
        };
        if let Some((time_ns, packet)) = self.files[at].take() {
            self.files[at].next = Some(packet);
            let time_ns = (self.time)(file, time_ns);
            self.next.push(Reverse((time_ns, file)));
            return;
        }
        let ended = self.files.swap_remove(at).reader.join();
        if let Ok(Err(error)) = ended {
            self.failed.get_or_insert((file, error));
        }
    }
}

impl OpenFile {
    fn read(mut capture: Capture, file: usize) -> Result<Self> {
        let (sender, batches) = mpsc::sync_channel(WAITING_BATCHES);
        let reader = thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || {
                let mut batch = Vec::with_capacity(BATCH);
                let ended = capture.read(|packet, first_ns| {
                    let time_ns = first_ns.saturating_add(packet.mono_ns);
                    batch.push((time_ns, packet.into_owned()));
                    if batch.len() < BATCH {
                        return Flow::GoOn;
                    }
                    let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                    match sender.send(full) {
                        Ok(()) => Flow::GoOn,
                        Err(_) => Flow::Enough,
                    }
                });
                // Nobody takes it if nothing more is wanted.
                let _ = sender.send(batch);
                ended
            })?;
        Ok(Self {
            file,
            batches,
            batch: Vec::new().into_iter(),
            next: None,
            reader,
        })
    }

    fn take(&mut self) -> Option<(u64, Packet<'static>)> {
        loop {
            if let Some(next) = self.batch.next() {
                return Some(next);
            }
            self.batch = self.batches.recv().ok()?.into_iter();
        }
    }
}
