//! `GET /files/NAME`: a stored file, always as a download and never shown as a page.

use axum::{
    body::Body,
    extract::State,
    http::{
        Uri,
        header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::{error::Error, intake::Intake, name::Name};

/// How much is read from the disk at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Streams a stored file. Its length is the one it has now, should it be growing.
pub(crate) async fn download(State(intake): State<Intake>, uri: Uri) -> Result<Response, Error> {
    let name = name(&uri)?;
    let opened = intake.store.open_file(&name).await;
    let (file, bytes) = opened.map_err(Error::from_lookup)?;
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
    Ok((headers, content).into_response())
}

/// Which file is meant. No file has a name that is not accepted.
pub(crate) fn name(uri: &Uri) -> Result<Name, Error> {
    let name = uri.path().strip_prefix("/files/").unwrap_or_default();
    Name::decode(name).map_err(|_| Error::NotFound)
}
