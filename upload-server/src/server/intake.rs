//! From a body to a stored file: the path that a PUT and each file of a form take, and the last step of
//! a resumable upload.

use std::{future::poll_fn, io, pin::Pin, sync::Arc, task::Poll, time::Duration};

use axum::body::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::timeout;
use tokio_stream::{Stream, StreamExt};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    blocking::off_the_runtime,
    digest::{Algorithm, DownloadDigests, RequestedDigests, UploadDigests},
    error::Error,
    finisher::{Finish, Finisher},
    limits::{ClientSlots, FreeSpace},
    name::Name,
    preconditions::Preconditions,
    store::{Store, Stored},
    transfer::{Receipt, Transfer},
    writer::{ReceivedBytes, Writer},
};

/// A body of more bytes gets its file before its first byte, so that a name that is taken is found early.
const MAX_WITHOUT_FILE: u64 = 256 * 1024;

#[derive(Clone)]
pub(crate) struct Intake {
    pub(crate) store: Store,
    pub(crate) space: FreeSpace,
    pub(crate) max_size: Option<u64>,
    /// How long a client may pause.
    pub(crate) idle: Duration,
    /// Computed of every file, whether the client asks for it or not.
    pub(crate) digest: Option<Algorithm>,
    /// How many uploads are in flight.
    pub(crate) in_flight: Gauge,
    pub(crate) finisher: Finisher,
    /// For downloads: each holds a file open.
    pub(crate) downloads: Arc<ClientSlots>,
    pub(crate) digests: DownloadDigests,
    /// Of resumable uploads.
    pub(crate) upload_digests: UploadDigests,
    /// Cancelled when the server ends at once, whatever is in flight.
    pub(crate) abandon: CancellationToken,
    /// Tasks that must finish before the server ends: files on the way to their names.
    pub(crate) finishing: TaskTracker,
}

/// A file that is about to arrive.
pub(crate) struct IncomingFile {
    pub(crate) name: Name,
    /// Absent for a body of unknown length.
    pub(crate) length: Option<u64>,
    pub(crate) requested: RequestedDigests,
}

/// A file that has arrived whole, and has no name yet.
pub(crate) struct ReceivedFile {
    pub(crate) bytes: ReceivedBytes,
    pub(crate) name: Name,
    /// Still to be checked.
    pub(crate) requested: RequestedDigests,
}

impl Intake {
    /// An error for a file that is too large. Check it before the first byte is read.
    pub(crate) fn check_size(&self, bytes: u64) -> Result<(), Error> {
        match self.max_size {
            Some(max) if bytes > max => Err(Error::TooLarge(max)),
            _ => Ok(()),
        }
    }

    /// Receives a body. Where it breaks off, its file is removed.
    pub(crate) async fn receive<E>(
        &self,
        body: impl Stream<Item = Result<Bytes, E>> + Unpin,
        incoming: IncomingFile,
        transfer: &mut Transfer,
    ) -> Result<ReceivedFile, Error>
    where
        Error: From<E>,
    {
        let digester = incoming.requested.digester(self.digest);
        let mut writer = Writer::new(digester, self.in_flight.clone());
        if let Some(length) = incoming.length {
            writer = writer.reserving(&self.space, length);
        }
        if let Err(error) = self.write(body, &incoming, &mut writer, transfer).await {
            transfer.waited_for_disk(writer.waited());
            writer.discard().await;
            return Err(error);
        }
        Ok(ReceivedFile {
            bytes: writer.finish().await?,
            name: incoming.name,
            requested: incoming.requested,
        })
    }

    /// Writes the last bytes of a received file, gives it its name, and concludes the transfer. All of
    /// this happens together and off the runtime: should the request be dropped meanwhile, the record
    /// still agrees with the file. A file with the wrong digest is removed.
    pub(crate) async fn finish(
        &self,
        received: ReceivedFile,
        transfer: Transfer,
    ) -> Result<(Stored, Receipt), Error> {
        let unconditional = Preconditions::default();
        self.finish_if(unconditional, received, transfer).await
    }

    /// The same where the preconditions hold at this moment.
    pub(crate) async fn finish_if(
        &self,
        preconditions: Preconditions,
        received: ReceivedFile,
        transfer: Transfer,
    ) -> Result<(Stored, Receipt), Error> {
        let finish = Finish {
            received,
            preconditions,
            transfer,
            working: self.finishing.token(),
        };
        // Waiting for the disk is best done at the same time.
        if self.store.syncs() || !finish.received.bytes.are_in_memory() {
            let store = self.store.clone();
            return off_the_runtime(move || finish.run(&store)).await;
        }
        let finished = self.finisher.submit(finish);
        finished.await.map_err(io::Error::other)?
    }

    /// The next item of a body, or an error when the client pauses for too long.
    pub(crate) async fn in_time<T>(&self, next: impl Future<Output = T>) -> Result<T, Error> {
        timeout(self.idle, next)
            .await
            .map_err(|_| Error::TimedOut(self.idle))
    }

    /// A small body that is there already is left to be written with the rest.
    async fn write<E>(
        &self,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
        incoming: &IncomingFile,
        writer: &mut Writer,
        transfer: &mut Transfer,
    ) -> Result<(), Error>
    where
        Error: From<E>,
    {
        let IncomingFile { name, length, .. } = incoming;
        let create = || self.store.create(name);
        let may_be_small = length.is_none_or(|length| length <= MAX_WITHOUT_FILE);
        // To ask for the body of a client that waits is to accept its upload.
        if !may_be_small || transfer.expects_continue() {
            writer.set_file(create().await?);
        }
        loop {
            let chunk = if writer.has_file() {
                self.in_time(body.next()).await?
            } else {
                let now = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_next(cx)));
                match now.await {
                    Poll::Ready(chunk) => chunk,
                    Poll::Pending => {
                        writer.set_file(create().await?);
                        continue;
                    }
                }
            };
            let Some(chunk) = chunk else {
                return Ok(());
            };
            let chunk = chunk?;
            if chunk.is_empty() {
                continue;
            }
            transfer.arrived(chunk.len());
            self.check_size(transfer.bytes())?;
            writer.push(chunk).await?;
            if writer.is_full() && !writer.has_file() {
                writer.set_file(create().await?);
            }
        }
    }
}
