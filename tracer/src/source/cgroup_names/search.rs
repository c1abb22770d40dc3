//! The thread that finds the names of cgroups: by a process in it, or else by a walk through all cgroups,
//! which takes only a small part of the time.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender},
    time::{Duration, Instant},
};

use foldhash::HashSet;

use crate::{core::input::CgroupName, kernel::cgroups::CgroupNames, privileges};

/// After a walk, this many times as long passes until the next one.
const REST: u32 = 20;
/// Cgroups that may wait for the next walk. Others stay without a name.
const MAX_MISSING: usize = 4096;

/// A cgroup whose name is sought.
pub(super) struct Wanted {
    pub(super) id: u64,
    /// A process that is in it, or was; or 0.
    pub(super) pid: u32,
}

/// The answer to a question; each has one of the first two.
pub(super) enum Answer {
    Found(CgroupName),
    /// It was not found, or the next walk will show it.
    NotYet,
    /// A walk has shown it.
    FoundLater(CgroupName),
}

/// Answers until nobody asks, or nobody listens, any more.
pub(super) fn search(names: CgroupNames, wanted: &Receiver<Wanted>, answers: &SyncSender<Answer>) {
    privileges::drop_all();
    let mut search = Search {
        names,
        missing: HashSet::default(),
        next_walk: Instant::now(),
    };
    loop {
        let next = if search.missing.is_empty() {
            wanted.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            wanted.recv_timeout(search.until_next_walk())
        };
        let answered = match next {
            Ok(one) => answers.send(search.find(&one)),
            Err(RecvTimeoutError::Timeout) => {
                let found = search.walk().into_iter();
                found
                    .map(Answer::FoundLater)
                    .try_for_each(|answer| answers.send(answer))
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if answered.is_err() {
            return;
        }
    }
}

struct Search {
    names: CgroupNames,
    /// Those that the next walk looks for.
    missing: HashSet<u64>,
    next_walk: Instant,
}

impl Search {
    fn find(&mut self, wanted: &Wanted) -> Answer {
        let id = wanted.id;
        if let Some(path) = self.names.path_by_process(id, wanted.pid) {
            return Answer::Found(CgroupName { id, path });
        }
        if self.missing.len() < MAX_MISSING {
            self.missing.insert(id);
        }
        if !self.until_next_walk().is_zero() {
            return Answer::NotYet;
        }
        let found = self.walk().into_iter().find(|name| name.id == id);
        found.map_or(Answer::NotYet, Answer::Found)
    }

    /// Looks for all that are missing. What is not found then is not looked for again.
    fn walk(&mut self) -> Vec<CgroupName> {
        let began = Instant::now();
        let missing = std::mem::take(&mut self.missing);
        let found = self.names.find(&missing);
        self.next_walk = Instant::now() + began.elapsed() * REST;
        let names = found.into_iter();
        names.map(|(id, path)| CgroupName { id, path }).collect()
    }

    fn until_next_walk(&self) -> Duration {
        self.next_walk.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests;
