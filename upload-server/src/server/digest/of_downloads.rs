//! The digests of stored files that clients want (`Want-Repr-Digest`). A short request can ask for the digest of a
//! very large file. So few are computed at a time, requests for the same one share it, and it is known afterwards.
//! A digest that nobody waits for any more is given up. A client only states a wish (RFC 9530, 4): where too many
//! wait, it gets the file without the digest.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io,
    net::IpAddr,
    sync::{Arc, Weak},
    thread,
};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::{Algorithm, Digest, of_file};
use crate::server::{
    limits::{ClientSlot, ClientSlots},
    store::FileStat,
};

/// How many digests are computed, or wait for that; and how many of those that one client asked for first.
const AT_A_TIME: usize = 16;
const OF_ONE_CLIENT: usize = 4;

/// How many digests are known, in some 200 bytes each.
const KNOWN: usize = 1_024;

/// Computes digests, and knows the latest ones. Clones share them.
#[derive(Clone)]
pub(crate) struct DownloadDigests {
    slots: Arc<ClientSlots>,
    /// For those that are computed at this moment.
    working: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The latest last.
    known: VecDeque<(Wanted, Digest)>,
    /// Those that requests wait for.
    begun: HashMap<Wanted, Weak<Computation>>,
}

/// A digest by the entity tag of its file, which differs for every content.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Wanted {
    tag: String,
    algorithm: Algorithm,
}

/// A digest that is computed. Dropped by the last request that waits for it, it ends.
struct Computation {
    result: watch::Receiver<Option<Result<Digest, io::ErrorKind>>>,
    _task: AbortOnDropHandle<()>,
}

impl DownloadDigests {
    pub(crate) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            slots: Arc::new(ClientSlots::new("digests", AT_A_TIME, OF_ONE_CLIENT)),
            // Uploads need the others.
            working: Arc::new(Semaphore::new(cores.div_ceil(2))),
            state: Arc::default(),
        }
    }

    /// The digest of a file. None where too many others are computed.
    pub(crate) async fn of(
        &self,
        file: &Arc<File>,
        stat: &FileStat,
        algorithm: Algorithm,
        client: IpAddr,
    ) -> io::Result<Option<Digest>> {
        let wanted = Wanted {
            tag: stat.tag(),
            algorithm,
        };
        let computation = {
            let mut state = self.state.lock();
            if let Some(digest) = state.known(&wanted) {
                return Ok(Some(digest));
            }
            match state.begun(&wanted) {
                Some(computation) => computation,
                None => match self.slots.take(client) {
                    Ok(slot) => self.begin(&mut state, wanted, Arc::clone(file), slot),
                    Err(error) => {
                        debug!(%error, "a download goes without the digest that its client wants");
                        return Ok(None);
                    }
                },
            }
        };
        let mut result = computation.result.clone();
        let result = result.wait_for(Option::is_some).await;
        // Without a result, the task panicked.
        let digest = result.ok().and_then(|result| result.clone());
        let digest = digest.unwrap_or(Err(io::ErrorKind::Other))?;
        Ok(Some(digest))
    }

    fn begin(
        &self,
        state: &mut State,
        wanted: Wanted,
        file: Arc<File>,
        slot: ClientSlot,
    ) -> Arc<Computation> {
        let (done, result) = watch::channel(None);
        let (this, key) = (self.clone(), wanted.clone());
        let task = tokio::spawn(async move {
            let _held = slot;
            let digest = this.compute(&file, wanted).await;
            done.send_replace(Some(digest.map_err(|error| error.kind())));
        });
        let computation = Arc::new(Computation {
            result,
            _task: AbortOnDropHandle::new(task),
        });
        state.begun.insert(key, Arc::downgrade(&computation));
        computation
    }

    async fn compute(&self, file: &Arc<File>, wanted: Wanted) -> io::Result<Digest> {
        let working = Arc::clone(&self.working).acquire_owned().await;
        let _working = working.map_err(io::Error::other)?;
        let digest = of_file(file, wanted.algorithm).await?;
        // A file that changed meanwhile has another tag.
        if FileStat::of(file)?.tag() == wanted.tag {
            self.state.lock().learn(wanted, digest.clone());
        }
        Ok(digest)
    }
}

impl State {
    fn known(&self, wanted: &Wanted) -> Option<Digest> {
        let mut known = self.known.iter();
        let (_, digest) = known.find(|(known, _)| known == wanted)?;
        Some(digest.clone())
    }

    /// Also forgets those that have ended.
    fn begun(&mut self, wanted: &Wanted) -> Option<Arc<Computation>> {
        self.begun.retain(|_, begun| begun.strong_count() > 0);
        self.begun.get(wanted)?.upgrade()
    }

    fn learn(&mut self, wanted: Wanted, digest: Digest) {
        if self.known.len() == KNOWN {
            self.known.pop_front();
        }
        self.known.push_back((wanted, digest));
    }
}
