//! A request that carries a part of a file. It is processed to the end even when its connection breaks:
//! the bytes that have arrived are kept, and the record names the connection that carried them.

use std::{io, sync::Arc, time::Instant};

use axum::body::{Body, HttpBody};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{
    Tus,
    error::TusError,
    unfinished::{Unfinished, file_name},
};
use crate::{
    record::PartOfUpload,
    server::{
        blocking::off_the_runtime,
        digest::{Digest, RequestedDigests},
        error::Error,
        intake::ReceivedFile,
        journal::Journal,
        limits::ToCome,
        transfer::{Receipt, Transfer},
        writer::{ReceivedBytes, Writer},
    },
};

pub(super) struct PartRequest {
    pub(super) upload: Unfinished,
    pub(super) transfer: Transfer,
    /// Absent where the request carries no bytes.
    pub(super) body: Option<Body>,
    pub(super) checksum: Option<Digest>,
}

/// How far an upload is, and the receipt once its file is stored.
pub(super) struct PartReceived {
    pub(super) offset: u64,
    pub(super) receipt: Option<Receipt>,
}

impl Tus {
    /// Receives the part. Once the upload has all its bytes, stores the file.
    pub(super) async fn receive(&self, part: PartRequest) -> Result<PartReceived, Error> {
        let tus = self.clone();
        let receiving = async move { tus.receive_to_the_end(part).await };
        let receiving = self.intake.finishing.track_future(receiving);
        tokio::spawn(receiving).await.map_err(io::Error::from)?
    }

    async fn receive_to_the_end(&self, part: PartRequest) -> Result<PartReceived, Error> {
        let PartRequest {
            mut upload,
            mut transfer,
            body,
            checksum,
        } = part;
        transfer.outlives_request();
        if let Some(name) = upload.name()? {
            transfer.set_name(&name);
        }
        let (offset, checked) = (upload.offset()?, checksum.is_some());
        if checked {
            upload.description.unchecked_from = Some(offset);
            upload = off_the_runtime(move || upload.save().map(|()| upload)).await?;
        }
        let requested = RequestedDigests::expecting(checksum);
        let rest = self.rest(&upload, offset);
        let to_come = self.announce(&upload, offset, body.as_ref(), &transfer);
        let received = match body {
            Some(body) => {
                let digester = requested.digester(None);
                let writer = Writer::new(digester, self.intake.in_flight.clone());
                let writer = writer.to(upload.file()?);
                let superseded = &upload.session.superseded;
                self.write(body, rest, writer, &requested, superseded, &mut transfer)
                    .await
            }
            None => Ok(()),
        };
        let written = Written {
            upload,
            transfer,
            began: offset,
            discard: checked && received.is_err(),
        };
        drop(to_come);
        let journal = Arc::clone(&self.journal);
        let (upload, transfer, offset) = off_the_runtime(move || written.save(&journal)).await?;
        match received {
            Err(error @ Error::TooLarge(_)) => {
                off_the_runtime(move || Ok::<_, Error>(upload.remove())).await?;
                transfer.failed(&error);
                return Err(error);
            }
            received => received?,
        }
        let receipt = if upload.becomes_a_file_at(offset) {
            Some(self.finish(upload, transfer).await?)
        } else {
            None
        };
        Ok(PartReceived { offset, receipt })
    }

    /// How many bytes the upload lacks, and the error for more. One of unknown length that becomes too
    /// large ends.
    fn rest(&self, upload: &Unfinished, offset: u64) -> Rest {
        let max = self.intake.max_size.unwrap_or(u64::MAX);
        let known = upload.description.length;
        let beyond = known.map_or(Error::TooLarge(max), |length| {
            TusError::Excess { length }.into()
        });
        Rest {
            bytes: known.unwrap_or(max).saturating_sub(offset),
            beyond,
        }
    }

    /// What follows in later requests: the bytes of this one have been admitted. It counts as announced while
    /// this request lasts. Nothing is reserved: an interrupted upload would hold it until it expires.
    fn announce(
        &self,
        upload: &Unfinished,
        offset: u64,
        body: Option<&Body>,
        transfer: &Transfer,
    ) -> ToCome {
        let carried = body.map_or(Some(0), |body| body.size_hint().exact());
        let later = match (upload.description.length, carried) {
            (Some(length), Some(carried)) => length.saturating_sub(offset).saturating_sub(carried),
            _ => 0,
        };
        self.intake.space.announce(transfer.client(), later)
    }

    /// Writes the bytes that arrive, even if the rest does not.
    async fn write(
        &self,
        body: Body,
        rest: Rest,
        mut writer: Writer,
        requested: &RequestedDigests,
        superseded: &CancellationToken,
        transfer: &mut Transfer,
    ) -> Result<(), Error> {
        if body.size_hint().lower() > rest.bytes {
            return Err(rest.beyond);
        }
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
            if transfer.bytes() + chunk.len() as u64 > rest.bytes {
                break Some(rest.beyond);
            }
            transfer.arrived(chunk.len());
            if let Err(error) = writer.push(chunk).await {
                // No later byte may be written behind the gap.
                transfer.waited_for_disk(writer.waited());
                writer.stop().await;
                return Err(error.into());
            }
        };
        let bytes = writer.finish().await?;
        let no_file = || Err(io::ErrorKind::NotFound.into());
        let (begun, waited) = (Instant::now(), bytes.waited());
        let written = off_the_runtime(move || bytes.write(no_file)).await;
        transfer.waited_for_disk(waited + begun.elapsed());
        let (_, digests) = written?;
        if let Some(error) = broken {
            return Err(error);
        }
        requested
            .check(&digests)
            .map_err(|_| TusError::Checksum.into())
    }

    /// Gives the whole file its name. If it cannot have one, the upload ends and its bytes are
    /// removed; where the disk fails, it waits for the client's next request. If the server ends before it
    /// knows the digest, the file gets its name in a later request, too.
    pub(super) async fn finish(
        &self,
        upload: Unfinished,
        transfer: Transfer,
    ) -> Result<Receipt, Error> {
        let digests = match self.intake.digest {
            Some(algorithm) => {
                let digest = self.intake.upload_digests.of(upload.content()?, algorithm);
                tokio::select! {
                    digest = digest => vec![digest?],
                    () = self.intake.abandon.cancelled() => return Err(Error::Abandoned),
                }
            }
            None => Vec::new(),
        };
        let received = ReceivedFile {
            bytes: ReceivedBytes::written(upload.file()?, digests),
            name: file_name(&upload.session.id, &upload.description.metadata)?,
            requested: RequestedDigests::default(),
        };
        match self.intake.finish(received, transfer).await {
            Ok((_, receipt)) => {
                upload.stored();
                Ok(receipt)
            }
            Err(error) => {
                if !error.may_be_retried() {
                    off_the_runtime(move || Ok::<_, Error>(upload.remove())).await?;
                }
                Err(error)
            }
        }
    }
}

/// How many bytes an upload lacks.
struct Rest {
    /// The most, where the number is not known.
    bytes: u64,
    /// The error for more.
    beyond: Error,
}

/// A part whose bytes are on the disk, as far as they arrived.
struct Written {
    upload: Unfinished,
    transfer: Transfer,
    /// The offset at which the part began.
    began: u64,
    /// The part's bytes do not match their checksum, or are too few to check it.
    discard: bool,
}

impl Written {
    /// Publishes the part, and saves the description of an upload that is not complete yet. Also
    /// returns the offset that the upload has reached. Blocks.
    fn save(self, journal: &Journal) -> io::Result<(Unfinished, Transfer, u64)> {
        let Self {
            mut upload,
            mut transfer,
            began,
            discard,
        } = self;
        if discard {
            upload.truncate(began)?;
        }
        let reached = upload.offset()?;
        let description = &mut upload.description;
        description.unchecked_from = None;
        let part = transfer.become_part_of(&description.upload, began, reached);
        let record = transfer.record();
        if let Some(part) = part {
            // The transfer holds the connection, so that this line precedes the connection's end.
            journal.uploads.publish_part(PartOfUpload {
                resumable: upload.session.id.short().to_owned(),
                name: record.name.clone(),
                length: description.length,
                method: record.method.clone(),
                target: record.target.clone(),
                target_bytes: record.target_bytes,
                version: record.version.clone(),
                content_length: record.content_length,
                part,
            });
        }
        description.upload = record.clone();
        if !upload.becomes_a_file_at(reached) {
            upload.save()?;
        }
        Ok((upload, transfer, reached))
    }
}
