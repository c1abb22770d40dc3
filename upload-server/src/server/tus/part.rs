//! A request that carries a part of a file. It is carried to its end also when its connection is
//! gone: what has arrived is worth having, and the record is to say which connection brought it.

use std::{io, sync::Arc};

use axum::body::Body;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{Tus, error::TusError, fields, partial::Partial};
use crate::{
    record::PartOfUpload,
    server::{
        blocking::off_the_runtime,
        digest::{self, Digest, RequestedDigests},
        error::Error,
        intake::ReceivedFile,
        transfer::{Receipt, Transfer},
        writer::Writer,
    },
};

/// See the module.
pub(super) struct PartRequest {
    pub(super) partial: Partial,
    pub(super) transfer: Transfer,
    /// Absent where no bytes come.
    pub(super) body: Option<Body>,
    pub(super) checksum: Option<Digest>,
}

/// How far an upload is, and what its client is told of the file once that is stored.
pub(super) struct PartReceived {
    pub(super) offset: u64,
    pub(super) receipt: Option<Receipt>,
}

impl Tus {
    /// Takes the part in; once the upload has all its bytes, the file is stored.
    pub(super) async fn receive(&self, part: PartRequest) -> Result<PartReceived, Error> {
        let tus = self.clone();
        let receiving = async move { tus.receive_to_the_end(part).await };
        let receiving = self.intake.finishing.track_future(receiving);
        tokio::spawn(receiving).await.map_err(io::Error::from)?
    }

    async fn receive_to_the_end(&self, part: PartRequest) -> Result<PartReceived, Error> {
        let PartRequest {
            mut partial,
            mut transfer,
            body,
            checksum,
        } = part;
        transfer.outlives_request();
        let name = fields::name(&partial.description.metadata)?;
        transfer.named(&name);
        let (offset, checked) = (partial.offset()?, checksum.is_some());
        if checked {
            partial.description.unchecked_from = Some(offset);
            partial = off_the_runtime(move || partial.save().map(|()| partial)).await?;
        }
        let requested = RequestedDigests::expecting(checksum);
        let rest = partial.description.length.saturating_sub(offset);
        let received = match body {
            Some(body) => {
                let writer = Writer::new(
                    partial.file()?,
                    requested.digester(None),
                    self.intake.in_flight.clone(),
                );
                let superseded = &partial.session.superseded;
                self.write(body, rest, writer, &requested, superseded, &mut transfer)
                    .await
            }
            None => Ok(()),
        };
        let take_back = checked && received.is_err();
        let journal = Arc::clone(&self.journal);
        let settle = move || {
            if take_back {
                partial.cut(offset)?;
            }
            let reached = partial.offset()?;
            let description = &mut partial.description;
            description.unchecked_from = None;
            let arrived = transfer.is_part(&description.upload, offset, reached);
            let record = transfer.record();
            if let Some(part) = arrived {
                // As long as the transfer holds it, the connection's end is not published.
                journal.uploads.publish_part(PartOfUpload {
                    resumable: partial.session.id.short().to_owned(),
                    name: record.name.clone(),
                    length: description.length,
                    method: record.method.clone(),
                    target: record.target.clone(),
                    version: record.version.clone(),
                    content_length: record.content_length,
                    part,
                });
            }
            description.upload = record.clone();
            let complete = reached == description.length;
            if !complete {
                partial.save()?;
            }
            Ok::<_, Error>((partial, transfer, reached, complete))
        };
        let (partial, transfer, offset, complete) = off_the_runtime(settle).await?;
        received?;
        let receipt = match complete {
            true => Some(self.finish(partial, transfer).await?),
            false => None,
        };
        Ok(PartReceived { offset, receipt })
    }

    /// What arrives is written also where the rest does not.
    async fn write(
        &self,
        body: Body,
        rest: u64,
        mut writer: Writer,
        requested: &RequestedDigests,
        superseded: &CancellationToken,
        transfer: &mut Transfer,
    ) -> Result<(), Error> {
        let mut body = body.into_data_stream();
        let broken = loop {
            let next = tokio::select! {
                next = self.intake.in_time(body.next()) => next,
                () = superseded.cancelled() => Err(TusError::TakenOver.into()),
            };
            let chunk = match next {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(error))) => break Some(Error::from(error)),
                Ok(None) => break None,
                Err(error) => break Some(error),
            };
            if chunk.is_empty() {
                continue;
            }
            if transfer.bytes() + chunk.len() as u64 > rest {
                let more = "there are more bytes than the upload's length leaves";
                break Some(Error::Malformed(more.to_owned()));
            }
            transfer.arrived(chunk.len());
            if let Err(error) = writer.push(chunk).await {
                // Nothing may be written behind a gap.
                writer.stop().await;
                return Err(error.into());
            }
        };
        let (_, digests) = writer.finish().await?;
        if let Some(error) = broken {
            return Err(error);
        }
        requested
            .check(&digests)
            .map_err(|_| TusError::Checksum.into())
    }

    /// Gives a file that is whole its name. Where it cannot have one, the upload is over.
    async fn finish(&self, partial: Partial, transfer: Transfer) -> Result<Receipt, Error> {
        let digests = match self.intake.digest {
            Some(algorithm) => vec![digest::of_file(&partial.content()?, algorithm).await?],
            None => Vec::new(),
        };
        let received = ReceivedFile {
            file: partial.file()?,
            name: fields::name(&partial.description.metadata)?,
            digests,
        };
        match self.intake.finish(received, transfer).await {
            Ok((_, receipt)) => Ok(receipt),
            Err(error) => {
                off_the_runtime(move || Ok::<_, Error>(partial.remove())).await?;
                Err(error)
            }
        }
    }
}
