//! Resumable uploads: tus 1.0 (<https://tus.io/protocols/resumable-upload>) at `/tus/`, with its
//! extensions creation, creation-with-upload, expiration, checksum and termination. A file gets its name
//! as any other does. One upload has one record, even if several requests carried it.

mod error;
mod fields;
mod id;
mod part;
mod session;
mod unfinished;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Router,
    body::Body,
    extract::{Path, Request, State},
    http::{
        HeaderName, HeaderValue, Method, StatusCode,
        header::{CACHE_CONTROL, LOCATION},
        request::Parts,
    },
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::{
    error::TusError,
    fields::{
        CHECKSUM_ALGORITHMS, TUS_CHECKSUM_ALGORITHM, TUS_EXTENSION, TUS_MAX_SIZE, TUS_RESUMABLE,
        TUS_VERSION, UPLOAD_EXPIRES, UPLOAD_LENGTH, UPLOAD_METADATA, UPLOAD_OFFSET, VERSION,
    },
    id::Id,
    part::{PartReceived, PartRequest},
    session::Sessions,
    unfinished::{Description, OpenedUpload, Unfinished, UnfinishedUploads},
};
use super::{
    blocking::off_the_runtime, content_coding, error::Error, intake::Intake, journal::Journal,
    net::connection::RequestContext, relative::relative, transfer::Transfer,
};
use crate::record::{Outcome, Upload};

const EXTENSIONS: &str = "creation,creation-with-upload,expiration,checksum,termination";

const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// The shortest and the longest pause between two searches for expired uploads.
const SWEEP_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(60));

#[derive(Clone)]
pub(crate) struct Tus {
    intake: Intake,
    uploads: UnfinishedUploads,
    sessions: Sessions,
    journal: Arc<Journal>,
}

impl Tus {
    /// `life` is how long an interrupted upload is kept.
    pub(crate) fn new(intake: Intake, life: Duration, journal: Arc<Journal>) -> Self {
        let directory = Arc::clone(intake.store.directory());
        Self {
            intake,
            uploads: UnfinishedUploads { directory, life },
            sessions: Sessions::default(),
            journal,
        }
    }

    /// The routes, with `gate` around those that take bytes of files.
    pub(crate) fn router(self, gate: impl Fn(MethodRouter<Self>) -> MethodRouter<Self>) -> Router {
        let version = map_response(async |mut response: Response| {
            let version = HeaderValue::from_static(VERSION);
            response.headers_mut().insert(TUS_RESUMABLE, version);
            response
        });
        Router::new()
            .route(
                "/tus/",
                MethodRouter::new()
                    .options(capabilities)
                    .merge(gate(MethodRouter::new().post(create))),
            )
            .route(
                "/tus/{id}",
                MethodRouter::new()
                    .options(capabilities)
                    .head(status)
                    .delete(terminate)
                    .merge(gate(MethodRouter::new().patch(resume).post(overridden))),
            )
            .method_not_allowed_fallback(async || Error::MethodNotAllowed)
            .layer(version)
            .with_state(self)
    }

    /// Removes expired uploads, again and again until `stop`.
    pub(crate) async fn sweep(self, stop: CancellationToken) {
        let (least, most) = SWEEP_PAUSE;
        let pause = self.uploads.life.clamp(least, most);
        loop {
            let uploads = self.uploads.clone();
            match off_the_runtime(move || uploads.sweep()).await {
                Ok(expired) => {
                    for upload in expired {
                        self.conclude(upload, "the client did not resume the upload in time");
                    }
                }
                Err(error) => warn!(%error, "cannot look for expired uploads"),
            }
            tokio::select! {
                () = sleep(pause) => (),
                () = stop.cancelled() => return,
            }
        }
    }

    /// Ends an upload without a file.
    fn conclude(&self, mut upload: Upload, error: &str) {
        upload.id = self.journal.uploads.next_id();
        upload.outcome = Outcome::Aborted;
        upload.error = Some(error.to_owned());
        self.journal.upload_ended(upload);
    }

    async fn begin(&self, parts: &Parts, transfer: &mut Transfer) -> Result<Unfinished, Error> {
        let headers = &parts.headers;
        fields::check_version(headers)?;
        content_coding::check(headers)?;
        let metadata = fields::metadata(headers)?.to_owned();
        let name = fields::name(&metadata)?;
        transfer.set_name(&name);
        let length = fields::bytes(headers, &UPLOAD_LENGTH)?;
        self.intake.check_size(length)?;
        let description = Description {
            length,
            metadata,
            unchecked_from: None,
            upload: transfer.record().clone(),
        };
        let session = self.sessions.take(&Id::new()?).await?;
        let (store, uploads) = (self.intake.store.clone(), self.uploads.clone());
        off_the_runtime(move || {
            store.check(&name)?;
            uploads.create(session, description)
        })
        .await
    }

    /// Takes an upload over for this request, and opens it.
    async fn open(&self, id: &str) -> Result<OpenedUpload, Error> {
        let id = Id::parse(id).ok_or(Error::NotFound)?;
        let session = self.sessions.take(&id).await?;
        let uploads = self.uploads.clone();
        off_the_runtime(move || uploads.open(session)).await
    }

    fn progress(&self, offset: u64) -> [(HeaderName, String); 2] {
        let expires = SystemTime::now() + self.uploads.life;
        [
            (UPLOAD_OFFSET, offset.to_string()),
            (UPLOAD_EXPIRES, httpdate::fmt_http_date(expires)),
        ]
    }
}

/// `OPTIONS`: the version and the extensions that the server supports.
async fn capabilities(State(tus): State<Tus>) -> Response {
    let headers = [
        (TUS_VERSION, VERSION),
        (TUS_EXTENSION, EXTENSIONS),
        (TUS_CHECKSUM_ALGORITHM, CHECKSUM_ALGORITHMS),
    ];
    let mut response = (StatusCode::NO_CONTENT, headers).into_response();
    let max_size = tus.intake.max_size.map(HeaderValue::from);
    response
        .headers_mut()
        .extend(max_size.map(|bytes| (TUS_MAX_SIZE, bytes)));
    response
}

/// `POST`: begins an upload, with or without its first bytes.
async fn create(
    State(tus): State<Tus>,
    Extension(context): Extension<RequestContext>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut transfer = Transfer::begin(&context, &parts);
    let begun = async {
        let checksum = fields::checksum(&parts.headers)?;
        let upload = tus.begin(&parts, &mut transfer).await?;
        Ok((upload, checksum))
    };
    let begun: Result<_, Error> = begun.await;
    let (upload, checksum) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            transfer.failed(&error);
            return error.into_response();
        }
    };
    let address = format!("/tus/{}", upload.session.id);
    let location = [(LOCATION, relative(parts.uri.path(), &address))];
    let has_bytes = fields::has_bytes(&parts.headers);
    if !has_bytes && upload.description.length > 0 {
        transfer.withdraw();
        return (StatusCode::CREATED, location, tus.progress(0)).into_response();
    }
    let part = PartRequest {
        upload,
        transfer,
        body: has_bytes.then_some(body),
        checksum,
    };
    match tus.receive(part).await {
        Ok(reached) => {
            let (link, progress) = (link(&reached), tus.progress(reached.offset));
            (StatusCode::CREATED, location, link, progress).into_response()
        }
        // The upload has begun all the same: its client needs the address to resume it.
        Err(error) => (location, error).into_response(),
    }
}

/// `HEAD`: how far an upload is. An upload may have all its bytes and no name yet, if the server was
/// killed in between. It gets its name now, because no further request would follow.
async fn status(
    State(tus): State<Tus>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let (parts, _) = request.into_parts();
    fields::check_version(&parts.headers)?;
    let (description, offset) = match tus.open(&id).await? {
        OpenedUpload::Complete(description) => {
            let length = description.length;
            (description, length)
        }
        OpenedUpload::Unfinished(upload) => {
            let description = Box::new(upload.description.clone());
            let mut offset = upload.offset()?;
            if offset == description.length {
                let part = PartRequest {
                    upload: *upload,
                    transfer: Transfer::begin(&context, &parts),
                    body: None,
                    checksum: None,
                };
                offset = tus.receive(part).await?.offset;
            }
            (description, offset)
        }
    };
    let headers = [
        (UPLOAD_LENGTH, description.length.to_string()),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    let metadata = Some(description.metadata).filter(|metadata| !metadata.is_empty());
    let metadata = metadata.map(|metadata| [(UPLOAD_METADATA, metadata)]);
    Ok((headers, metadata, tus.progress(offset)).into_response())
}

/// `PATCH`: continues an upload.
async fn resume(
    State(tus): State<Tus>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    tus.resume(&context, &id, &parts, body).await
}

/// `POST` with another method in a field, for clients that cannot send that method.
async fn overridden(
    State(tus): State<Tus>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let method = parts.headers.get(METHOD_OVERRIDE);
    match method.map(|method| Method::from_bytes(method.as_bytes())) {
        Some(Ok(Method::PATCH)) => tus.resume(&context, &id, &parts, body).await,
        Some(Ok(Method::DELETE)) => tus.terminate(&id, &parts).await,
        _ => Err(Error::MethodNotAllowed),
    }
}

/// `DELETE`: cancels an upload.
async fn terminate(
    State(tus): State<Tus>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let (parts, _) = request.into_parts();
    tus.terminate(&id, &parts).await
}

impl Tus {
    async fn resume(
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
        let offset = fields::bytes(headers, &UPLOAD_OFFSET)?;
        let checksum = fields::checksum(headers)?;
        let reached = match self.open(id).await? {
            OpenedUpload::Complete(description) if description.length == offset => PartReceived {
                offset,
                receipt: None,
            },
            OpenedUpload::Unfinished(upload) if upload.offset()? == offset => {
                let part = PartRequest {
                    upload: *upload,
                    transfer: Transfer::begin(context, parts),
                    body: Some(body),
                    checksum,
                };
                self.receive(part).await?
            }
            _ => return Err(TusError::Offset.into()),
        };
        let (link, progress) = (link(&reached), self.progress(reached.offset));
        Ok((StatusCode::NO_CONTENT, link, progress).into_response())
    }

    async fn terminate(&self, id: &str, parts: &Parts) -> Result<Response, Error> {
        fields::check_version(&parts.headers)?;
        let OpenedUpload::Unfinished(upload) = self.open(id).await? else {
            // The file is stored: it no longer belongs to the upload.
            return Err(Error::NotFound);
        };
        let upload = off_the_runtime(move || Ok::<_, Error>(upload.remove())).await?;
        self.conclude(upload, "the client cancelled the upload");
        Ok(StatusCode::NO_CONTENT.into_response())
    }
}

/// The Link field of an upload that is complete.
fn link(received: &PartReceived) -> Option<[(HeaderName, String); 1]> {
    Some([received.receipt.as_ref()?.link()])
}
