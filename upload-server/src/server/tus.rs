//! Resumable uploads: tus 1.0 (<https://tus.io/protocols/resumable-upload>) at `/tus/`, with all its
//! extensions but the trailers of checksums and the concatenation of unfinished uploads. A file gets its
//! name as any other does. One upload has one record, even if several requests carried it.

mod concat;
mod concatenation;
mod continuation;
mod creation;
mod description;
mod error;
mod fields;
mod id;
mod metadata;
mod part;
mod session;
mod unfinished;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Router,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CACHE_CONTROL, request::Parts},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::{
    creation::create,
    description::{Description, Kind},
    fields::{
        CHECKSUM_ALGORITHMS, TUS_CHECKSUM_ALGORITHM, TUS_EXTENSION, TUS_MAX_SIZE, TUS_RESUMABLE,
        TUS_VERSION, UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH, UPLOAD_EXPIRES, UPLOAD_LENGTH,
        UPLOAD_METADATA, UPLOAD_OFFSET, VERSION,
    },
    id::Id,
    part::{PartReceived, PartRequest},
    session::Sessions,
    unfinished::{OpenedUpload, UnfinishedUploads},
};
use super::{
    blocking::off_the_runtime, error::Error, intake::Intake, journal::Journal, limits::Limits,
    net::connection::RequestContext, transfer::Transfer,
};
use crate::record::{Outcome, Upload};

const EXTENSIONS: &str = "creation,creation-with-upload,creation-defer-length,expiration,checksum,\
                          termination,concatenation";

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
    /// `life` is how long an interrupted upload is kept. Counts those that are there already. Blocks.
    pub(crate) fn new(
        intake: Intake,
        limits: &Limits,
        life: Duration,
        journal: Arc<Journal>,
    ) -> Self {
        let directory = Arc::clone(intake.store.directory());
        Self {
            intake,
            uploads: UnfinishedUploads::new(directory, life, limits),
            sessions: Sessions::default(),
            journal,
        }
    }

    /// The routes, with `gate` around those that take bytes of files. `file` is for a file of the name
    /// `tus`.
    pub(crate) fn router(
        self,
        gate: impl Fn(MethodRouter<Self>) -> MethodRouter<Self>,
        file: MethodRouter<Self>,
    ) -> Router {
        let version = map_response(async |mut response: Response| {
            let version = HeaderValue::from_static(VERSION);
            if response.status() == StatusCode::PRECONDITION_FAILED {
                response.headers_mut().insert(TUS_VERSION, version.clone());
            }
            response.headers_mut().insert(TUS_RESUMABLE, version);
            response
        });
        let creation = || {
            MethodRouter::new()
                .options(capabilities)
                .merge(gate(MethodRouter::new().post(create)))
        };
        Router::new()
            .route("/tus/", creation())
            .route(
                "/tus/{id}",
                MethodRouter::new()
                    .options(capabilities)
                    .head(status)
                    .delete(terminate)
                    .merge(gate(MethodRouter::new().patch(resume).post(overridden))),
            )
            .layer(version.clone())
            .route("/tus", creation().layer(version).merge(file))
            .method_not_allowed_fallback(async || Error::MethodNotAllowed)
            .with_state(self)
    }

    /// Removes expired uploads, again and again until `stop`.
    pub(crate) async fn sweep(self, stop: CancellationToken) {
        let (least, most) = SWEEP_PAUSE;
        let pause = self.uploads.life().clamp(least, most);
        loop {
            let uploads = self.uploads.clone();
            match off_the_runtime(move || uploads.sweep()).await {
                Ok(expired) => {
                    for description in expired {
                        let upload = description.upload;
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
        self.journal.upload_ended(&upload);
    }

    /// Takes an upload over for this request, and opens it.
    async fn open(&self, id: &str) -> Result<OpenedUpload, Error> {
        let id = Id::parse(id).ok_or(Error::NotFound)?;
        let session = self.sessions.take(&id).await?;
        let uploads = self.uploads.clone();
        off_the_runtime(move || uploads.open(session)).await
    }

    fn progress(&self, offset: u64) -> [(HeaderName, String); 2] {
        let expires = SystemTime::now() + self.uploads.life();
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

/// `HEAD`: how far an upload is.
async fn status(
    State(tus): State<Tus>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let (parts, _) = request.into_parts();
    tus.status(&context, &id, &parts).await
}

/// The fields that describe an upload.
fn about(description: Description) -> HeaderMap {
    let Description {
        length,
        metadata,
        kind,
        ..
    } = description;
    let length = match length {
        Some(length) => (UPLOAD_LENGTH, length.to_string()),
        None => (UPLOAD_DEFER_LENGTH, "1".to_owned()),
    };
    let metadata = Some((UPLOAD_METADATA, metadata)).filter(|(_, metadata)| !metadata.is_empty());
    let concat = match kind {
        Kind::Whole => None,
        Kind::Partial => Some((UPLOAD_CONCAT, concat::PARTIAL.to_owned())),
        Kind::Final(upload) => Some((UPLOAD_CONCAT, upload.concat)),
    };
    let cache_control = (CACHE_CONTROL, "no-store".to_owned());
    let fields = [Some(length), metadata, concat, Some(cache_control)];
    let fields = fields.into_iter().flatten();
    // What came as a field of a request is fit for one of a response.
    let fields =
        fields.filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?)));
    fields.collect()
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
    match fields::overriding_method(&parts.headers).as_deref() {
        Some("PATCH") => tus.resume(&context, &id, &parts, body).await,
        Some("DELETE") => tus.terminate(&id, &parts).await,
        Some("HEAD") => tus.status(&context, &id, &parts).await,
        Some("OPTIONS") => Ok(capabilities(State(tus)).await),
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
    /// An upload may have all its bytes and no name yet, if the server was killed in between. It gets its
    /// name now, because no further request would follow.
    async fn status(
        &self,
        context: &RequestContext,
        id: &str,
        parts: &Parts,
    ) -> Result<Response, Error> {
        fields::check_version(&parts.headers)?;
        let (description, offset) = match self.open(id).await? {
            OpenedUpload::Complete(description) => {
                let length = description.length;
                (description, length)
            }
            OpenedUpload::Unfinished(upload) => {
                let description = Box::new(upload.description.clone());
                let mut offset = upload.offset()?;
                if upload.becomes_a_file_at(offset) {
                    let part = PartRequest {
                        upload: *upload,
                        transfer: Transfer::begin(context, parts),
                        body: None,
                        checksum: None,
                    };
                    offset = self.receive(part).await?.offset;
                }
                // A final upload has an offset once it is complete.
                let is_final = matches!(description.kind, Kind::Final(_));
                (description, (!is_final).then_some(offset))
            }
        };
        let progress = offset.map(|offset| self.progress(offset));
        Ok((about(*description), progress, ()).into_response())
    }

    async fn terminate(&self, id: &str, parts: &Parts) -> Result<Response, Error> {
        fields::check_version(&parts.headers)?;
        let OpenedUpload::Unfinished(upload) = self.open(id).await? else {
            // The file is stored: it no longer belongs to the upload.
            return Err(Error::NotFound);
        };
        let removed = off_the_runtime(move || Ok::<_, Error>(upload.remove())).await?;
        self.conclude(removed.upload, "the client cancelled the upload");
        Ok(StatusCode::NO_CONTENT.into_response())
    }
}

/// The Link field of an upload that is complete.
fn link(received: &PartReceived) -> Option<[(HeaderName, String); 1]> {
    Some([received.receipt.as_ref()?.link()])
}
