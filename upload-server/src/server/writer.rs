//! Writes a body to the disk: hyper's own buffers are gathered in a batch, and one vectored write off
//! the runtime writes them while the next ones arrive. No byte is copied, and at most two batches are in
//! memory. The digests are computed on the thread that writes.

use std::{
    fs::File,
    io::{self, IoSlice, Write},
    mem,
    sync::Arc,
};

use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    digest::{Digest, Digester},
    store::Temporary,
};

/// A batch is written once it holds this many bytes. Each batch wakes a thread: compared with 512 KiB, an
/// upload of 1 GiB is a tenth faster.
const BATCH_BYTES: usize = 1024 * 1024;

/// The same when many files arrive at once, because their batches take memory together.
const SMALL_BATCH_BYTES: usize = 512 * 1024;

/// More concurrent uploads than these are many.
const FEW: i64 = 8;

/// A batch is written once it has this many chunks: the most that one `writev` takes (IOV_MAX).
const BATCH_CHUNKS: usize = 1_024;

/// A file that is being received. Its [`Temporary`] is removed if this is dropped unfinished.
pub(crate) struct Writer {
    file: Arc<Temporary>,
    batch: Vec<Bytes>,
    batch_bytes: usize,
    /// Empty while a batch is being written: the thread has it then.
    digester: Digester,
    writing: Option<JoinHandle<io::Result<Digester>>>,
    /// How many uploads are in flight.
    in_flight: Gauge,
}

impl Writer {
    pub(crate) fn new(file: Temporary, digester: Digester, in_flight: Gauge) -> Self {
        Self {
            file: Arc::new(file),
            batch: Vec::new(),
            batch_bytes: 0,
            digester,
            writing: None,
            in_flight,
        }
    }

    /// Adds the next bytes. Waits only if the disk is more than a batch behind.
    pub(crate) async fn push(&mut self, chunk: Bytes) -> io::Result<()> {
        self.batch_bytes += chunk.len();
        self.batch.push(chunk);
        if self.batch_bytes >= full_at(self.in_flight.get()) || self.batch.len() == BATCH_CHUNKS {
            self.write_batch().await?;
        }
        Ok(())
    }

    /// Writes the rest, and returns the file and its digests.
    pub(crate) async fn finish(mut self) -> io::Result<(Temporary, Vec<Digest>)> {
        self.write_batch().await?;
        self.settle().await?;
        let file = Arc::into_inner(self.file);
        let file = file.ok_or_else(|| io::Error::other("the file is still in use"))?;
        Ok((file, self.digester.finish()))
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
        let batch = mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let file = Arc::clone(&self.file);
        let mut digester = mem::take(&mut self.digester);
        self.writing = Some(spawn_blocking(move || {
            write_all(file.file(), &batch)?;
            for chunk in &batch {
                digester.update(chunk);
            }
            Ok(digester)
        }));
        Ok(())
    }

    async fn settle(&mut self) -> io::Result<()> {
        if let Some(writing) = self.writing.take() {
            self.digester = writing.await??;
        }
        Ok(())
    }
}

/// How many bytes fill a batch while this many uploads are in flight.
const fn full_at(in_flight: i64) -> usize {
    if in_flight <= FEW {
        BATCH_BYTES
    } else {
        SMALL_BATCH_BYTES
    }
}

fn write_all(mut file: &File, batch: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<_> = batch.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut rest = &mut slices[..];
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
