//! `/files/NAME`: `GET` downloads a stored file or a part of it, and never shows it as a page; `DELETE`
//! removes it. `GET /NAME`, the address of a `PUT`, leads there.

mod content;

use std::{sync::Arc, time::SystemTime};

use axum::{
    Extension,
    extract::State,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
        header::{
            ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
            LAST_MODIFIED, LOCATION,
        },
    },
    response::{IntoResponse, Response},
};
use httpdate::fmt_http_date;

use self::content::{Content, stream};
use super::{
    digest::{REPR_DIGEST, wanted},
    error::Error,
    intake::Intake,
    name::Name,
    net::connection::RequestContext,
    preconditions::Preconditions,
    relative::relative,
    store::FileStat,
};

/// Answers 200 or 206 (RFC 9110, 14), 304 where the client has the file already, 412 where it expects
/// another one.
pub(crate) async fn download(
    State(intake): State<Intake>,
    Extension(context): Extension<RequestContext>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let name = name(&uri)?;
    let preconditions = Preconditions::of_download(&headers);
    let wanted = wanted(&headers)?;
    let slot = intake.downloads.take(context.client())?;
    let opened = intake.store.open_file(&name).await;
    let (file, stat) = opened.map_err(Error::from_lookup)?;
    if preconditions.is_not_modified(&stat)? {
        return Ok((StatusCode::NOT_MODIFIED, validators(&stat)).into_response());
    }
    let content = Content::requested(&method, &headers, &stat)?;
    let file = Arc::new(file);
    let digest = match wanted {
        Some(algorithm) => {
            let client = context.client();
            tokio::select! {
                digest = intake.digests.of(&file, &stat, algorithm, client) => digest?,
                // It may only have ended its side, and still want the file.
                () = context.connection.client_finished() => None,
            }
        }
        None => None,
    };
    let digest = digest.map(|digest| [(REPR_DIGEST, digest.to_string())]);
    let file = Arc::try_unwrap(file).or_else(|shared| shared.try_clone())?;
    let range = content.field().map(|field| [(CONTENT_RANGE, field)]);
    let about = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        ),
        (CONTENT_DISPOSITION, disposition(&name)),
        (CONTENT_LENGTH, content.length().into()),
        (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
    ];
    let status = content.status();
    let body = stream(file, &content, slot)?;
    Ok((status, validators(&stat), about, range, digest, body).into_response())
}

/// Removes a stored file: 204.
pub(crate) async fn delete(
    State(intake): State<Intake>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<StatusCode, Error> {
    let name = name(&uri)?;
    let preconditions = Preconditions::of_change(&headers)?;
    intake.store.remove(&name, preconditions).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Leads from the address of a `PUT` to the stored file. The file may be removed or replaced: no client
/// must remember the redirection.
pub(crate) async fn find(State(intake): State<Intake>, uri: Uri) -> Result<Response, Error> {
    let path = uri.path();
    let name = Name::decode(path.trim_start_matches('/')).map_err(|_| Error::NoFile)?;
    if !intake.store.has_file(&name).await? {
        return Err(Error::NoFile);
    }
    let location = [(LOCATION, relative(path, &name.path()))];
    Ok((StatusCode::TEMPORARY_REDIRECT, location).into_response())
}

/// The fields by which a client recognizes the file later (RFC 9110, 8.8).
fn validators(stat: &FileStat) -> [(HeaderName, String); 2] {
    // A date in the future would be none to compare with (RFC 9110, 8.8.2.1).
    let modified = stat.modified.min(SystemTime::now());
    [(ETAG, stat.tag()), (LAST_MODIFIED, fmt_http_date(modified))]
}

/// The file's name twice (RFC 6266): percent-encoded for browsers and wget, and as it is for curl, which
/// knows no other form.
fn disposition(name: &Name) -> HeaderValue {
    let quoted = name.as_str().replace('\\', "\\\\").replace('"', "\\\"");
    let encoded = name.encoded();
    let both = format!("attachment; filename=\"{quoted}\"; filename*=UTF-8''{encoded}");
    HeaderValue::from_bytes(both.as_bytes())
        .unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

/// The file's name. A name that the server does not accept belongs to no file: 404.
fn name(uri: &Uri) -> Result<Name, Error> {
    let name = uri.path().strip_prefix("/files/").unwrap_or_default();
    Name::decode(name).map_err(|_| Error::NotFound)
}
