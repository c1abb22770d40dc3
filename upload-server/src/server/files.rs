//! `/files/NAME`: `GET` downloads a stored file, which is never shown as a page; `DELETE` removes it.

use std::{
    fs::File,
    io::{self, Seek},
};

use axum::{
    body::Body,
    extract::State,
    http::{
        HeaderMap, StatusCode, Uri,
        header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::{
    digest::{self, Algorithm, REPR_DIGEST, wanted},
    error::Error,
    intake::Intake,
    name::Name,
};

/// How much of a file is read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Streams a stored file. A file that grows meanwhile is sent up to the length that it had at first.
pub(crate) async fn download(
    State(intake): State<Intake>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let name = name(&uri)?;
    let opened = intake.store.open_file(&name).await;
    let (file, bytes) = opened.map_err(Error::from_lookup)?;
    let digest = match wanted(&headers)? {
        Some(algorithm) => Some([(REPR_DIGEST, digest(&file, algorithm).await?)]),
        None => None,
    };
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, bytes.to_string()),
        (
            CONTENT_DISPOSITION,
            format!("attachment; filename*=UTF-8''{}", name.encoded()),
        ),
    ];
    let content = tokio::fs::File::from_std(file).take(bytes);
    let content = Body::from_stream(ReaderStream::with_capacity(content, CHUNK_BYTES));
    Ok((headers, digest, content).into_response())
}

/// Removes a stored file: 204.
pub(crate) async fn delete(State(intake): State<Intake>, uri: Uri) -> Result<StatusCode, Error> {
    let name = name(&uri)?;
    let removed = intake.store.remove(&name).await;
    removed.map_err(Error::from_lookup)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn digest(mut file: &File, algorithm: Algorithm) -> io::Result<String> {
    let digest = digest::of_file(file, algorithm).await?;
    file.rewind()?;
    Ok(digest.to_string())
}

/// The file's name. A name that the server does not accept belongs to no file: 404.
fn name(uri: &Uri) -> Result<Name, Error> {
    let name = uri.path().strip_prefix("/files/").unwrap_or_default();
    Name::decode(name).map_err(|_| Error::NotFound)
}
