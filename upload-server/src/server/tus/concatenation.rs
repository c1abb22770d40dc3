//! The final upload: a file that is put together from partial uploads. A client that missed the answer
//! asks again, and gets the answer for the same file.

use std::io;

use axum::http::HeaderMap;

use super::{
    Tus,
    concat::PartialUploads,
    description::{Description, FinalUpload, Kind, PartOfFile},
    error::TusError,
    fields::{self, UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH},
    id::Id,
    metadata,
    part::PartReceived,
    session::Session,
    unfinished::{OpenedUpload, Unfinished, file_name},
};
use crate::{
    record::{Part, Upload},
    server::{
        blocking::off_the_runtime,
        error::Error,
        name::Name,
        transfer::{MAX_PARTS, Transfer},
    },
};

/// What a client wants put together.
pub(super) struct FinalRequest {
    id: Id,
    name: Name,
    metadata: String,
    list: PartialUploads,
    /// The length of the file, where the client sends it all the same.
    length: Option<u64>,
}

impl FinalRequest {
    pub(super) fn read(headers: &HeaderMap, list: PartialUploads) -> Result<Self, Error> {
        if fields::is_deferred(headers)? {
            let problem = "is not for a final upload: its length is that of its partial uploads";
            return Err(TusError::field(&UPLOAD_DEFER_LENGTH, problem).into());
        }
        let id = Id::of_all(list.ids.iter());
        let metadata = metadata::read(headers)?;
        Ok(Self {
            name: file_name(&id, &metadata)?,
            id,
            metadata,
            list,
            length: fields::length(headers)?,
        })
    }
}

impl Tus {
    /// Puts the parts together, and stores the file. Goes on to the end even if the client leaves.
    pub(super) async fn concatenate(
        &self,
        request: FinalRequest,
        transfer: Transfer,
    ) -> Result<(Id, PartReceived), Error> {
        let tus = self.clone();
        let working = async move { tus.concatenate_to_the_end(request, transfer).await };
        let working = self.intake.finishing.track_future(working);
        tokio::spawn(working).await.map_err(io::Error::from)?
    }

    async fn concatenate_to_the_end(
        &self,
        request: FinalRequest,
        mut transfer: Transfer,
    ) -> Result<(Id, PartReceived), Error> {
        transfer.set_name(&request.name);
        let (id, record) = (request.id.clone(), transfer.record().clone());
        let opened = async {
            // No other request works on the parts meanwhile.
            let (session, parts) = self.take_all(&id, &request.list.ids).await?;
            let tus = self.clone();
            let open = move || tus.open_final(session, &request, record);
            Ok::<_, Error>((off_the_runtime(open).await?, parts))
        };
        let (opened, parts) = match opened.await {
            Ok(opened) => opened,
            Err(error) => {
                transfer.failed(&error);
                return Err(error);
            }
        };
        let upload = match opened {
            OpenedUpload::Unfinished(upload) => *upload,
            OpenedUpload::Complete(description) => {
                transfer.withdraw();
                let offset = description.length.unwrap_or_default();
                let receipt = None;
                return Ok((id, PartReceived { offset, receipt }));
            }
        };
        let receipt = self.assemble(upload, transfer).await;
        drop(parts);
        receipt.map(|received| (id, received))
    }

    /// The turn of the final upload, and those of its parts.
    async fn take_all(&self, id: &Id, parts: &[Id]) -> Result<(Session, Vec<Session>), Error> {
        let mut ids: Vec<&Id> = parts.iter().chain([id]).collect();
        // In one order, so that no two requests wait for each other.
        ids.sort();
        let mut sessions = Vec::with_capacity(ids.len());
        for id in ids {
            sessions.push(self.sessions.take(id).await?);
        }
        let own = sessions.iter().position(|session| session.id == *id);
        let own = own.map(|own| sessions.swap_remove(own));
        Ok((own.ok_or(TusError::Locked)?, sessions))
    }

    /// Blocks.
    fn open_final(
        &self,
        session: Session,
        request: &FinalRequest,
        record: Upload,
    ) -> Result<OpenedUpload, Error> {
        let store = &self.intake.store;
        let describe = |parts: Vec<Description>| {
            let (description, largest) = request.describe(parts, record)?;
            self.intake
                .check_size(description.length.unwrap_or_default())?;
            store.check(&request.name)?;
            self.intake.space.check(largest)?;
            Ok(description)
        };
        let opened = self
            .uploads
            .open_final(session, &request.list.ids, describe)?;
        let known = match &opened {
            OpenedUpload::Unfinished(upload) => &upload.description,
            OpenedUpload::Complete(description) => description,
        };
        if known.metadata == request.metadata {
            Ok(opened)
        } else {
            Err(TusError::OtherMetadata.into())
        }
    }

    async fn assemble(
        &self,
        upload: Unfinished,
        mut transfer: Transfer,
    ) -> Result<PartReceived, Error> {
        // Even where this fails, the upload goes on in another request.
        transfer.outlives_request();
        let uploads = self.uploads.clone();
        let assemble = move || Ok((uploads.assemble(&upload)?, upload));
        let (assembled, upload) = off_the_runtime::<_, Error>(assemble).await?;
        let offset = upload.offset()?;
        transfer.become_part_of(&upload.description.upload, offset, offset);
        if assembled {
            let receipt = Some(self.finish(upload, transfer).await?);
            return Ok(PartReceived { offset, receipt });
        }
        let error = Error::from(TusError::Lost);
        off_the_runtime(move || Ok::<_, Error>(upload.remove())).await?;
        transfer.failed(&error);
        Err(error)
    }
}

impl FinalRequest {
    /// The description of the file that these parts make, and the length of the largest of the parts
    /// that have to be copied.
    fn describe(
        &self,
        parts: Vec<Description>,
        record: Upload,
    ) -> Result<(Description, u64), Error> {
        let mut length = 0_u64;
        let mut largest = 0;
        let mut connections = Vec::new();
        let mut described = Vec::with_capacity(parts.len());
        for (id, part) in self.list.ids.iter().zip(parts) {
            let bytes = part.length.unwrap_or_default();
            connections.extend(part.upload.connections.into_iter().map(|part| Part {
                offset: length + part.offset,
                ..part
            }));
            if length > 0 {
                largest = bytes.max(largest);
            }
            length = length.checked_add(bytes).ok_or_else(|| {
                TusError::field(&UPLOAD_CONCAT, "names more bytes than a file has")
            })?;
            described.push(PartOfFile {
                id: id.clone(),
                length: bytes,
            });
        }
        if self.length.is_some_and(|sent| sent != length) {
            let problem = "is not for a final upload, and not the sum of its partial uploads";
            return Err(TusError::field(&UPLOAD_LENGTH, problem).into());
        }
        let description = Description {
            length: Some(length),
            metadata: self.metadata.clone(),
            unchecked_from: None,
            kind: Kind::Final(FinalUpload {
                concat: self.list.echo(&self.metadata),
                parts: described,
            }),
            upload: Upload {
                connections: latest(connections),
                ..record
            },
        };
        Ok((description, largest))
    }
}

/// As many of the parts as a record names, in their order.
fn latest(mut parts: Vec<Part>) -> Vec<Part> {
    if parts.len() > MAX_PARTS {
        parts.sort_by_key(|part| part.times.head_ns);
        parts.drain(..parts.len() - MAX_PARTS);
        parts.sort_by_key(|part| part.offset);
    }
    parts
}
