//! Writes a body to the disk: chunks are gathered in a batch, and one vectored write off the runtime
//! writes them while the next ones arrive. At most two batches are in memory. The digests are computed
//! on the thread that writes. The last batch is left to the caller, who writes it together with what
//! follows: each time that work leaves the runtime, threads wake each other, and for a small file that
//! takes longer than the work.

mod batch;
mod reservation;

use std::{
    io, mem,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use tokio::task::{JoinHandle, spawn_blocking};

use self::{
    batch::{Batch, write_all},
    reservation::Reservation,
};
use super::{
    digest::{Digest, Digester},
    limits::FreeSpace,
    store::Temporary,
};

/// A batch is written once it holds this many bytes. Each batch wakes a thread: compared with 512 KiB, an
/// upload of 1 GiB is a tenth faster.
const BATCH_BYTES: usize = 1024 * 1024;

/// The same when many files arrive at once, because their batches take memory together.
const SMALL_BATCH_BYTES: usize = 512 * 1024;

/// More concurrent uploads than these are many.
const FEW: i64 = 8;

/// A file that is being received. Its [`Temporary`] is removed if this is dropped unfinished.
pub(crate) struct Writer {
    /// Absent as long as all bytes are in the batch.
    file: Option<Arc<Temporary>>,
    batch: Batch,
    /// Absent where the length is not known.
    reservation: Option<Reservation>,
    /// Empty while a batch is being written: the thread has it then.
    digester: Digester,
    /// Returns the batch to be filled again.
    writing: Option<JoinHandle<io::Result<(Digester, Batch)>>>,
    /// The batch that was written last.
    spare: Batch,
    /// How many uploads are in flight.
    in_flight: Gauge,
    /// For how long the next bytes waited until those before were written.
    waited: Duration,
}

/// The bytes of a whole file: the last ones are in memory, those before them in the file.
pub(crate) struct ReceivedBytes {
    file: Option<Temporary>,
    rest: Vec<Bytes>,
    digester: Digester,
    digests: Vec<Digest>,
    /// For how long they have waited for the disk.
    waited: Duration,
}

impl Writer {
    /// Gathers bytes until it has a file to write them to.
    pub(crate) fn new(digester: Digester, in_flight: Gauge) -> Self {
        Self {
            file: None,
            batch: Batch::default(),
            reservation: None,
            digester,
            writing: None,
            spare: Batch::default(),
            in_flight,
            waited: Duration::ZERO,
        }
    }

    /// For how long bytes have waited for the disk.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    /// Sets the file.
    #[must_use]
    pub(crate) fn to(mut self, file: Temporary) -> Self {
        self.set_file(file);
        self
    }

    /// Reserves space for a file of this length while it is written.
    #[must_use]
    pub(crate) fn reserving(mut self, space: &FreeSpace, length: u64) -> Self {
        self.reservation = Some(Reservation::new(space.clone(), length));
        self
    }

    pub(crate) fn set_file(&mut self, file: Temporary) {
        self.file = Some(Arc::new(file));
    }

    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Whether the batch is to be written.
    pub(crate) fn is_full(&self) -> bool {
        self.batch.bytes() >= self.batch_bytes() || self.batch.is_full()
    }

    /// Adds the next bytes. Waits only if the disk is more than a batch behind.
    pub(crate) async fn push(&mut self, chunk: Bytes) -> io::Result<()> {
        self.batch.push(chunk, self.batch_bytes());
        if self.is_full() && self.has_file() {
            self.write_batch().await?;
        }
        Ok(())
    }

    /// Returns the whole file, of which the last batch is still to be written.
    pub(crate) async fn finish(mut self) -> io::Result<ReceivedBytes> {
        self.settle().await?;
        let file = self.file.map(Arc::into_inner);
        if let Some(None) = file {
            return Err(io::Error::other("the file is still in use"));
        }
        Ok(ReceivedBytes {
            file: file.flatten(),
            rest: self.batch.into_chunks(),
            digester: self.digester,
            digests: Vec::new(),
            waited: self.waited,
        })
    }

    /// Waits for the write in progress. The bytes of the next batch are lost.
    pub(crate) async fn stop(mut self) {
        let _ = self.settle().await;
    }

    /// Removes the file, and returns when it is removed.
    pub(crate) async fn discard(mut self) {
        // The result of the last write no longer matters.
        let _ = self.settle().await;
        let _ = spawn_blocking(move || drop(self)).await;
    }

    async fn write_batch(&mut self) -> io::Result<()> {
        self.settle().await?;
        let Some(file) = self.file.clone() else {
            return Ok(());
        };
        let spare = mem::take(&mut self.spare);
        let mut batch = mem::replace(&mut self.batch, spare);
        let mut digester = mem::take(&mut self.digester);
        let bytes = batch.bytes() as u64;
        let reservation = self.reservation.as_mut();
        let ahead = reservation.and_then(|reservation| reservation.before(bytes));
        self.writing = Some(spawn_blocking(move || {
            if let Some(ahead) = ahead {
                ahead.reserve(&file)?;
            }
            batch.write(file.file(), &mut digester)?;
            Ok((digester, batch))
        }));
        Ok(())
    }

    /// How many bytes fill a batch.
    fn batch_bytes(&self) -> usize {
        if self.in_flight.get() <= FEW {
            BATCH_BYTES
        } else {
            SMALL_BATCH_BYTES
        }
    }

    async fn settle(&mut self) -> io::Result<()> {
        if let Some(writing) = self.writing.take() {
            let begun = Instant::now();
            let written = writing.await;
            self.waited += begun.elapsed();
            (self.digester, self.spare) = written??;
        }
        Ok(())
    }
}

impl ReceivedBytes {
    /// Of a file that has all its bytes.
    pub(crate) fn written(file: Temporary, digests: Vec<Digest>) -> Self {
        Self {
            file: Some(file),
            rest: Vec::new(),
            digester: Digester::default(),
            digests,
            waited: Duration::ZERO,
        }
    }

    /// For how long they have waited for the disk.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    /// Whether no byte is in a file yet.
    pub(crate) fn are_in_memory(&self) -> bool {
        self.file.is_none()
    }

    /// Writes the rest: to the file of the bytes before it, or else to the one that `create` makes.
    /// Returns the file and its digests. Blocks.
    pub(crate) fn write(
        mut self,
        create: impl FnOnce() -> io::Result<Temporary>,
    ) -> io::Result<(Temporary, Vec<Digest>)> {
        let file = self.file.map_or_else(create, Ok)?;
        write_all(file.file(), &self.rest, &[], &mut self.digester)?;
        self.digests.extend(self.digester.finish());
        Ok((file, self.digests))
    }
}
