//! Looks up a cgroup's name when a record first has its id: later the cgroup may be gone. Everybody can
//! make cgroups, so many that a search takes long: it runs on a thread of its own.

mod search;

use std::{
    mem::offset_of,
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
    time::{Duration, Instant},
};

use foldhash::HashSet;
use tracer_ebpf::record::{self, SocketEvent, StateChange, Task};
use tracing::debug;

use self::search::{Answer, Wanted, search};
use crate::{
    core::input::{CgroupName, Input},
    kernel::cgroups::CgroupRoot,
};

/// Cgroups that may wait to be looked up. A record that finds no room leaves it to the next one.
const MAX_WAITING: usize = 1024;
/// How long a drain waits for names: most are there at once, and a connection may end with its first
/// records. It waits once in each period at most.
const PATIENCE: Duration = Duration::from_millis(5);
const PERIOD: Duration = Duration::from_millis(50);

pub(super) struct CgroupLookup {
    /// `None` without a cgroup v2 hierarchy.
    ask: Option<SyncSender<Wanted>>,
    answers: Receiver<Answer>,
    /// What was asked for, found or not.
    asked: HashSet<u64>,
    /// How many have no answer yet.
    waiting: usize,
    waited: Option<Instant>,
}

impl CgroupLookup {
    pub(super) fn new() -> Self {
        let (ask, wanted) = mpsc::sync_channel(MAX_WAITING);
        // An answer for each that waits, and one for each that is found later.
        let (found, answers) = mpsc::sync_channel(2 * MAX_WAITING);
        let root = CgroupRoot::find().ok().flatten();
        let started = root.map(|root| {
            thread::Builder::new()
                .name("cgroups".to_owned())
                .spawn(move || search(root.into_names(), &wanted, &found))
                .inspect_err(|error| debug!(%error, "no names of cgroups"))
                .is_ok()
        });
        Self {
            ask: Some(ask).filter(|_| started == Some(true)),
            answers,
            asked: HashSet::default(),
            waiting: 0,
            waited: None,
        }
    }

    /// Asks for the name of the cgroup in a kernel record, if the cgroup is new.
    pub(super) fn ask_of_record(&mut self, record: &[u8]) {
        if let Some((id, pid)) = cgroup(record) {
            self.ask(id, pid);
        }
    }

    /// Asks for the name of a cgroup, if it is new. `pid`: a process in it, or 0.
    pub(super) fn ask(&mut self, id: u64, pid: u32) {
        let Some(ask) = &self.ask else { return };
        if id == 0 || self.asked.contains(&id) || ask.try_send(Wanted { id, pid }).is_err() {
            return;
        }
        self.waiting += 1;
        if self.asked.len() >= CgroupName::MAX {
            self.asked.clear();
        }
        self.asked.insert(id);
    }

    /// Passes on the names that were found, and waits a little for those that are sought.
    pub(super) fn pass_on(&mut self, mut each: impl FnMut(Input<'static>)) {
        let may_wait = self.waited.is_none_or(|at| at.elapsed() >= PERIOD);
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = if self.waiting > 0 && may_wait {
                self.waited = Some(Instant::now());
                let left = until.saturating_duration_since(Instant::now());
                self.answers.recv_timeout(left).ok()
            } else {
                self.answers.try_recv().ok()
            };
            match answer {
                Some(Answer::Found(name)) => {
                    self.waiting = self.waiting.saturating_sub(1);
                    each(Input::Cgroup(name));
                }
                Some(Answer::FoundLater(name)) => each(Input::Cgroup(name)),
                Some(Answer::NotYet) => self.waiting = self.waiting.saturating_sub(1),
                None => return,
            }
        }
    }
}

/// The cgroup in a record, and the process.
fn cgroup(record: &[u8]) -> Option<(u64, u32)> {
    let kind = u16::from_ne_bytes(*record.first_chunk()?);
    let task = match kind {
        record::STATE_CHANGE => offset_of!(StateChange, task),
        record::READ | record::SEND | record::RELEASE => offset_of!(SocketEvent, task),
        _ => return None,
    };
    let id = record.get(task + offset_of!(Task, cgroup)..)?;
    let pid = record.get(task + offset_of!(Task, pid)..)?;
    Some((
        id.first_chunk().copied().map(u64::from_ne_bytes)?,
        pid.first_chunk().copied().map(u32::from_ne_bytes)?,
    ))
}
