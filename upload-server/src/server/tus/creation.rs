//! `POST`: begins an upload, with or without its first bytes, or has partial uploads put together.

use axum::{
    Extension,
    body::{Body, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header::LOCATION, request::Parts},
    response::{IntoResponse, Response},
};
use tokio_stream::StreamExt;

use super::{
    Tus, capabilities,
    concat::{self, Concat},
    concatenation::FinalRequest,
    description::{Description, Kind},
    error::TusError,
    fields,
    id::Id,
    link, metadata,
    part::PartRequest,
    unfinished::{Unfinished, file_name},
};
use crate::server::{
    blocking::off_the_runtime, content_coding, digest::Digest, error::Error,
    net::connection::RequestContext, relative::relative, transfer::Transfer,
};

/// What a request creates.
enum Creation {
    Upload(NewUpload),
    Final(FinalRequest),
}

struct NewUpload {
    id: Id,
    kind: Kind,
    /// None where the client declares it later.
    length: Option<u64>,
    metadata: String,
    /// The checksum of the first bytes.
    checksum: Option<Digest>,
}

pub(super) async fn create(
    State(tus): State<Tus>,
    Extension(context): Extension<RequestContext>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    match fields::overriding_method(&parts.headers).as_deref() {
        None | Some("POST") => {}
        Some("OPTIONS") => return capabilities(State(tus)).await,
        Some(_) => return Error::MethodNotAllowed.into_response(),
    }
    let transfer = Transfer::begin(&context, &parts);
    match Creation::read(&parts.headers) {
        Ok(Creation::Upload(new)) => tus.create_upload(&parts, body, new, transfer).await,
        Ok(Creation::Final(request)) => tus.create_final(&parts, body, request, transfer).await,
        Err(error) => {
            transfer.failed(&error);
            error.into_response()
        }
    }
}

impl Creation {
    fn read(headers: &HeaderMap) -> Result<Self, Error> {
        fields::check_version(headers)?;
        content_coding::check(headers)?;
        let kind = match concat::read(headers)? {
            Some(Concat::Final(list)) => {
                return Ok(Self::Final(FinalRequest::read(headers, list)?));
            }
            Some(Concat::Partial) => Kind::Partial,
            None => Kind::Whole,
        };
        Ok(Self::Upload(NewUpload {
            id: Id::new()?,
            kind,
            length: fields::created_length(headers)?,
            metadata: metadata::read(headers)?,
            checksum: fields::checksum(headers)?,
        }))
    }
}

impl Tus {
    async fn create_upload(
        &self,
        parts: &Parts,
        body: Body,
        mut new: NewUpload,
        mut transfer: Transfer,
    ) -> Response {
        let checksum = new.checksum.take();
        let carried = body.size_hint().lower();
        let upload = match self.begin(new, carried, &mut transfer).await {
            Ok(upload) => upload,
            Err(error) => {
                transfer.failed(&error);
                return error.into_response();
            }
        };
        let location = location(parts, &upload.session.id);
        let has_bytes = fields::has_bytes(&parts.headers);
        if !has_bytes && !upload.becomes_a_file_at(0) {
            transfer.withdraw();
            return (StatusCode::CREATED, location, self.progress(0)).into_response();
        }
        let part = PartRequest {
            upload,
            transfer,
            body: has_bytes.then_some(body),
            checksum,
        };
        match self.receive(part).await {
            Ok(reached) => {
                let (link, progress) = (link(&reached), self.progress(reached.offset));
                (StatusCode::CREATED, location, link, progress).into_response()
            }
            // The upload has begun all the same: its client needs the address to resume it.
            Err(error) => (location, error).into_response(),
        }
    }

    /// `carried` is how many bytes the request carries: these have been admitted.
    async fn begin(
        &self,
        new: NewUpload,
        carried: u64,
        transfer: &mut Transfer,
    ) -> Result<Unfinished, Error> {
        let name = match new.kind {
            Kind::Partial => None,
            _ => Some(file_name(&new.id, &new.metadata)?),
        };
        if let Some(name) = &name {
            transfer.set_name(name);
        }
        self.intake.check_size(new.length.unwrap_or_default())?;
        let description = Description {
            length: new.length,
            metadata: new.metadata,
            unchecked_from: None,
            kind: new.kind,
            upload: transfer.record().clone(),
        };
        let session = self.sessions.take(&new.id).await?;
        let (tus, client) = (self.clone(), transfer.client());
        off_the_runtime(move || {
            if let Some(name) = &name {
                tus.intake.store.check(name)?;
            }
            let length = description.length.unwrap_or_default();
            tus.intake
                .space
                .admit(client, length.saturating_sub(carried), false)?;
            tus.uploads.create(session, description)
        })
        .await
    }

    async fn create_final(
        &self,
        parts: &Parts,
        body: Body,
        request: FinalRequest,
        transfer: Transfer,
    ) -> Response {
        if let Err(error) = self.check_empty(body).await {
            transfer.failed(&error);
            return error.into_response();
        }
        match self.concatenate(request, transfer).await {
            Ok((id, reached)) => {
                let (link, progress) = (link(&reached), self.progress(reached.offset));
                let location = location(parts, &id);
                (StatusCode::CREATED, location, link, progress).into_response()
            }
            Err(error) => error.into_response(),
        }
    }

    async fn check_empty(&self, body: Body) -> Result<(), Error> {
        let mut body = body.into_data_stream();
        while let Some(chunk) = self.intake.in_time(body.next()).await? {
            if !chunk?.is_empty() {
                return Err(TusError::BytesForFinal.into());
            }
        }
        Ok(())
    }
}

fn location(parts: &Parts, id: &Id) -> [(HeaderName, String); 1] {
    let address = format!("/tus/{id}");
    [(LOCATION, relative(parts.uri.path(), &address))]
}
