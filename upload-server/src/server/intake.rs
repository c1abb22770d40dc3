//! From a body to a stored file: the one path that every upload takes, however its bytes were
//! wrapped.

use std::time::Duration;

use axum::body::Bytes;
use tokio::time::timeout;
use tokio_stream::{Stream, StreamExt};

use super::{
    error::Error,
    name::Name,
    store::{Store, Stored},
    transfer::Transfer,
    writer::Writer,
};

/// Takes files in, within its limits.
#[derive(Clone)]
pub(crate) struct Intake {
    pub(crate) store: Store,
    /// The most bytes that a file may have.
    pub(crate) max_size: Option<u64>,
    /// How long a client may send nothing.
    pub(crate) idle: Duration,
}

impl Intake {
    /// Whether a file of this length is too large, to be asked before its first byte is read.
    pub(crate) fn check_size(&self, bytes: u64) -> Result<(), Error> {
        match self.max_size {
            Some(max) if bytes > max => Err(Error::TooLarge(max)),
            _ => Ok(()),
        }
    }

    /// Stores a body under a name. Where it breaks off, nothing is left of it.
    pub(crate) async fn store<E>(
        &self,
        body: impl Stream<Item = Result<Bytes, E>> + Unpin,
        name: &Name,
        transfer: &mut Transfer<'_>,
    ) -> Result<Stored, Error>
    where
        Error: From<E>,
    {
        let mut writer = self.store.create().await?;
        match self.receive(body, &mut writer, transfer).await {
            Ok(()) => Ok(self.store.publish(writer.finish().await?, name).await?),
            Err(error) => {
                writer.discard().await;
                Err(error)
            }
        }
    }

    /// The next item of a body, if it comes in time.
    pub(crate) async fn in_time<T>(&self, next: impl Future<Output = T>) -> Result<T, Error> {
        timeout(self.idle, next)
            .await
            .map_err(|_| Error::TimedOut(self.idle))
    }

    async fn receive<E>(
        &self,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
        writer: &mut Writer,
        transfer: &mut Transfer<'_>,
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
