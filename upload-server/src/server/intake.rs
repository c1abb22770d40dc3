//! From a body to a stored file: the path that a PUT and each file of a form take, and the last step of
//! a resumable upload.

use std::time::Duration;

use axum::body::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::timeout;
use tokio_stream::{Stream, StreamExt};
use tokio_util::task::TaskTracker;

use super::{
    blocking::off_the_runtime,
    digest::{Algorithm, Digest, RequestedDigests},
    error::Error,
    name::Name,
    preconditions::Preconditions,
    store::{Store, Stored, Temporary},
    transfer::{Receipt, Transfer},
    writer::Writer,
};

#[derive(Clone)]
pub(crate) struct Intake {
    pub(crate) store: Store,
    pub(crate) max_size: Option<u64>,
    /// How long a client may pause.
    pub(crate) idle: Duration,
    /// Computed of every file, whether the client asks for it or not.
    pub(crate) digest: Option<Algorithm>,
    /// How many uploads are in flight.
    pub(crate) in_flight: Gauge,
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
    pub(crate) file: Temporary,
    pub(crate) name: Name,
    pub(crate) digests: Vec<Digest>,
}

impl Intake {
    /// An error for a file that is too large. Check it before the first byte is read.
    pub(crate) fn check_size(&self, bytes: u64) -> Result<(), Error> {
        match self.max_size {
            Some(max) if bytes > max => Err(Error::TooLarge(max)),
            _ => Ok(()),
        }
    }

    /// Receives a body. Where it breaks off or has the wrong digest, its file is removed.
    pub(crate) async fn receive<E>(
        &self,
        body: impl Stream<Item = Result<Bytes, E>> + Unpin,
        incoming: IncomingFile,
        transfer: &mut Transfer,
    ) -> Result<ReceivedFile, Error>
    where
        Error: From<E>,
    {
        let IncomingFile {
            name,
            length,
            requested,
        } = incoming;
        let file = self.store.create(&name, length).await?;
        let mut writer = Writer::new(
            file,
            requested.digester(self.digest),
            self.in_flight.clone(),
        );
        if let Err(error) = self.write(body, &mut writer, transfer).await {
            writer.discard().await;
            return Err(error);
        }
        let (file, digests) = writer.finish().await?;
        if let Err(error) = requested.check(&digests) {
            off_the_runtime(move || {
                drop(file);
                Ok::<_, Error>(())
            })
            .await?;
            return Err(error);
        }
        Ok(ReceivedFile {
            file,
            name,
            digests,
        })
    }

    /// Gives a received file its name, and concludes the transfer. Both happen together and off the
    /// runtime: should the request be dropped meanwhile, the record still agrees with the file.
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
        let (store, working) = (self.store.clone(), self.finishing.token());
        let finish = move || {
            let _working = working;
            match store.publish(received.file, &received.name, &preconditions) {
                Ok(stored) => {
                    let receipt = transfer.complete(&stored, received.digests);
                    Ok((stored, receipt))
                }
                Err(error) => {
                    transfer.failed(&error);
                    Err(error)
                }
            }
        };
        off_the_runtime(finish).await
    }

    /// The next item of a body, or an error when the client pauses for too long.
    pub(crate) async fn in_time<T>(&self, next: impl Future<Output = T>) -> Result<T, Error> {
        timeout(self.idle, next)
            .await
            .map_err(|_| Error::TimedOut(self.idle))
    }

    async fn write<E>(
        &self,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
        writer: &mut Writer,
        transfer: &mut Transfer,
    ) -> Result<(), Error>
    where
        Error: From<E>,
    {
        while let Some(chunk) = self.in_time(body.next()).await? {
            let chunk = chunk?;
            if chunk.is_empty() {
                continue;
            }
            transfer.arrived(chunk.len());
            self.check_size(transfer.bytes())?;
            writer.push(chunk).await?;
        }
        Ok(())
    }
}
