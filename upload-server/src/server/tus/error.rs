//! The errors that only resumable uploads have. Those of a field name the field.

use std::borrow::Cow;

use axum::http::{HeaderName, StatusCode};

use crate::server::error::Error;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TusError {
    #[error("this server speaks version 1.0.0 of tus: send Tus-Resumable: 1.0.0")]
    Version,
    #[error("{} {problem}", title(.field))]
    Field {
        field: HeaderName,
        problem: Cow<'static, str>,
    },
    #[error("Upload-Metadata is longer than {0} bytes: send less of it")]
    LongMetadata(usize),
    #[error("Content-Type must be application/offset+octet-stream")]
    MediaType,
    #[error(
        "Upload-Offset is {sent}, but the upload continues at {reached}: ask for the offset with HEAD"
    )]
    Offset { sent: u64, reached: u64 },
    #[error("the request has more bytes than the upload of {length} bytes lacks")]
    Excess { length: u64 },
    #[error("the upload has expired")]
    Gone,
    #[error("another request is working on this upload")]
    Locked,
    #[error("another request took over this upload")]
    TakenOver,
    #[error("checksum mismatch: the uploaded bytes do not match Upload-Checksum")]
    Checksum,
    #[error("a final upload has the bytes of its partial uploads alone: send it none")]
    BytesForFinal,
    #[error("Upload-Concat: upload {0} of the list is not a partial upload")]
    NotPartial(usize),
    #[error("Upload-Concat: upload {0} of the list is not complete yet: send the rest of it first")]
    Incomplete(usize),
    #[error(
        "Upload-Concat: upload {0} of the list does not exist, or no longer: send that part again"
    )]
    Missing(usize),
    #[error("Upload-Concat: upload {0} of the list is a part of another file already")]
    Used(usize),
    #[error(
        "{0} resumable uploads of this client are unfinished, and the server keeps no more \
         (--max-unfinished-per-client): finish one, or cancel it with DELETE"
    )]
    OfClient(usize),
    #[error(
        "{0} resumable uploads are unfinished, and the server keeps no more (--max-unfinished): try \
         again once some are finished or have expired"
    )]
    OfAll(usize),
    #[error("a partial upload was lost: send all of them again")]
    Lost,
    #[error("these partial uploads are a file already, with other metadata")]
    OtherMetadata,
}

impl TusError {
    /// A field that is missing, malformed or contradictory.
    pub(crate) fn field(field: &HeaderName, problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Field {
            field: field.clone(),
            problem: problem.into(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Version => StatusCode::PRECONDITION_FAILED,
            Self::Field { .. }
            | Self::Excess { .. }
            | Self::NotPartial(_)
            | Self::Used(_)
            | Self::OtherMetadata => StatusCode::BAD_REQUEST,
            Self::LongMetadata(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            // Clients try again after a conflict, and first complete their partial uploads.
            Self::Offset { .. }
            | Self::TakenOver
            | Self::Incomplete(_)
            | Self::Missing(_)
            | Self::Lost => StatusCode::CONFLICT,
            Self::BytesForFinal => StatusCode::FORBIDDEN,
            Self::Gone => StatusCode::GONE,
            Self::OfClient(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::OfAll(_) => StatusCode::SERVICE_UNAVAILABLE,
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

/// A field's name as documents write it: `Upload-Length`.
fn title(field: &HeaderName) -> String {
    let words = field.as_str().split('-').map(|word| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_ascii_uppercase() + rest
    });
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_field() {
        let field = HeaderName::from_static("upload-length");
        let error = TusError::field(&field, "is missing");
        assert_eq!(error.to_string(), "Upload-Length is missing");
    }
}
