//! `PATCH`: continues an upload.

use axum::{
    body::Body,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};

use super::{
    Tus,
    description::Kind,
    error::TusError,
    fields::{self, UPLOAD_LENGTH},
    link,
    part::{PartReceived, PartRequest},
    unfinished::{OpenedUpload, Unfinished},
};
use crate::server::{
    blocking::off_the_runtime, content_coding, error::Error, net::connection::RequestContext,
    transfer::Transfer,
};

impl Tus {
    /// Takes the bytes of a part, and, where the client declares it with them, the length of the upload.
    pub(super) async fn resume(
        &self,
        context: &RequestContext,
        id: &str,
        parts: &Parts,
        body: Body,
    ) -> Result<Response, Error> {
        let headers = &parts.headers;
        fields::check_version(headers)?;
        content_coding::check(headers)?;
        if !fields::has_bytes(headers) {
            return Err(TusError::MediaType.into());
        }
        let offset = fields::offset(headers)?;
        let declared = fields::length(headers)?;
        let checksum = fields::checksum(headers)?;
        let reached = match self.open(id).await? {
            OpenedUpload::Complete(description) => {
                if matches!(description.kind, Kind::Final(_)) {
                    return Err(TusError::BytesForFinal.into());
                }
                let reached = description.length.unwrap_or_default();
                check_offset(offset, reached)?;
                PartReceived {
                    offset,
                    receipt: None,
                }
            }
            OpenedUpload::Unfinished(upload) => {
                if matches!(upload.description.kind, Kind::Final(_)) {
                    return Err(TusError::BytesForFinal.into());
                }
                check_offset(offset, upload.offset()?)?;
                let upload = self.declare(*upload, declared, offset).await?;
                let part = PartRequest {
                    upload,
                    transfer: Transfer::begin(context, parts),
                    body: Some(body),
                    checksum,
                };
                self.receive(part).await?
            }
        };
        let (link, progress) = (link(&reached), self.progress(reached.offset));
        Ok((StatusCode::NO_CONTENT, link, progress).into_response())
    }

    /// Takes the length that a client declares with some of the bytes.
    async fn declare(
        &self,
        mut upload: Unfinished,
        declared: Option<u64>,
        offset: u64,
    ) -> Result<Unfinished, Error> {
        let Some(declared) = declared else {
            return Ok(upload);
        };
        let problem = match upload.description.length {
            Some(length) if length == declared => return Ok(upload),
            Some(length) => format!("is {declared}, but was {length} before"),
            None if declared < offset => {
                format!("is {declared}, but {offset} bytes have arrived")
            }
            None => {
                self.intake.check_size(declared)?;
                upload.description.length = Some(declared);
                let tus = self.clone();
                return off_the_runtime(move || {
                    tus.intake.space.check(declared - offset)?;
                    upload.save()?;
                    Ok(upload)
                })
                .await;
            }
        };
        Err(TusError::field(&UPLOAD_LENGTH, problem).into())
    }
}

fn check_offset(sent: u64, reached: u64) -> Result<(), TusError> {
    if sent == reached {
        Ok(())
    } else {
        Err(TusError::Offset { sent, reached })
    }
}
