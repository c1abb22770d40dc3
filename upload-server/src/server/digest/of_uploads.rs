//! Digests of resumable uploads, whose bytes come in no order and are read once all are there. Few are computed at a
//! time: the others wait, and so do the answers to their clients. Downloads do not hold them up.

use std::{fs::File, io, sync::Arc, thread};

use tokio::sync::Semaphore;

use super::{Algorithm, Digest, of_file};

/// Clones share the limit.
#[derive(Clone)]
pub(crate) struct UploadDigests {
    working: Arc<Semaphore>,
}

impl UploadDigests {
    pub(crate) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            working: Arc::new(Semaphore::new(cores.div_ceil(2))),
        }
    }

    /// Ends when this future is dropped.
    pub(crate) async fn of(&self, file: File, algorithm: Algorithm) -> io::Result<Digest> {
        let working = self.working.acquire().await;
        let _working = working.map_err(io::Error::other)?;
        of_file(&Arc::new(file), algorithm).await
    }
}
