//! What only goes wrong with resumable uploads.

use axum::http::StatusCode;

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TusError {
    #[error("this server speaks version 1.0.0 of tus: say Tus-Resumable: 1.0.0")]
    Version,
    #[error("the body of this request has the type application/offset+octet-stream")]
    MediaType,
    #[error("the upload does not go on there: ask with HEAD where it does")]
    Offset,
    #[error("the upload has been left alone for too long")]
    Gone,
    #[error("another request works on the upload")]
    Locked,
    #[error("another request took the upload over")]
    TakenOver,
    #[error("the checksum of what arrived is another one")]
    Checksum,
}

impl TusError {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::PRECONDITION_FAILED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Offset | Self::TakenOver => StatusCode::CONFLICT,
            Self::Gone => StatusCode::GONE,
            Self::Locked => StatusCode::LOCKED,
            // Of the protocol's own (tus 1.0, Checksum).
            Self::Checksum => StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST),
        }
    }
}
