//! The errors that only resumable uploads have.

use axum::http::StatusCode;

use crate::server::error::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TusError {
    #[error("this server speaks version 1.0.0 of tus: send Tus-Resumable: 1.0.0")]
    Version,
    #[error("the body of this request must have the type application/offset+octet-stream")]
    MediaType,
    #[error("the upload continues at another offset: ask for it with HEAD")]
    Offset,
    #[error("the upload has expired")]
    Gone,
    #[error("another request is working on this upload")]
    Locked,
    #[error("another request took over this upload")]
    TakenOver,
    #[error("checksum mismatch: the uploaded bytes do not match the checksum sent")]
    Checksum,
}

impl TusError {
    fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::PRECONDITION_FAILED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Offset | Self::TakenOver => StatusCode::CONFLICT,
            Self::Gone => StatusCode::GONE,
            Self::Locked => StatusCode::LOCKED,
            // A status of the protocol's own (tus 1.0, Checksum).
            Self::Checksum => StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST),
        }
    }
}

impl From<TusError> for Error {
    fn from(error: TusError) -> Self {
        Self::Protocol {
            status: error.status(),
            detail: error.to_string(),
        }
    }
}
