//! The errors of requests, and the one place that maps each to a status, to the outcome in the
//! upload's record and to a problem document (RFC 9457).

mod page;

use std::{error::Error as StdError, io, iter, time::Duration};

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{ACCEPT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use rustix::io::Errno;
use serde::Serialize;

pub(crate) use self::page::for_browsers;
use super::{
    access::CrossSite, encoding::json_line, form::FailedForm, limits::Shortage, name::NameError,
};
use crate::record::Outcome;

/// The media type of a problem document.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// After how many seconds a client that was turned away may try again.
const RETRY_SECS: HeaderValue = HeaderValue::from_static("5");

/// The way that browsers can ask the user for the token, and the other one that the server accepts.
/// Each has a field of its own: of both in one list, Chromium understands neither and asks nobody.
const CHALLENGES: [HeaderValue; 2] = [
    HeaderValue::from_static("Basic realm=\"upload-server: the token is the password\""),
    HeaderValue::from_static("Bearer"),
];

/// Why a request failed. The text is for the client; details that only concern the server are in the
/// source.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the client closed the connection before the body was complete")]
    Aborted,
    #[error("the connection was reset before the body was complete")]
    Reset,
    #[error("the connection broke before the body was complete: {0}")]
    Broken(io::ErrorKind),
    #[error("no byte of the body arrived for {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    #[error("the request has more than {0} fields, the maximum of this server")]
    ManyFields(usize),
    #[error("the head of a request took more than {} s", .0.as_secs_f32())]
    HeadTimedOut(Duration),
    #[error("the body arrives at less than {0} bytes per second, the minimum of this server")]
    TooSlow(u64),
    #[error(
        "the server is at its limit of connections, uploads, downloads, listeners, lists or unread \
         answers: try again later"
    )]
    Busy,
    #[error("more than {most} concurrent {of} from one client: try again later")]
    TooMany { of: &'static str, most: usize },
    #[error("this client leaves {0} MiB of answers unread: try again when it has read some")]
    Unread(usize),
    #[error("the file is larger than {0} bytes, the maximum of this server")]
    TooLarge(u64),
    #[error("the name is not accepted: {0}")]
    Name(#[from] NameError),
    #[error("the name belongs to something that is not a file")]
    Occupied,
    #[error("a file of this name exists already")]
    Exists,
    #[error("a file of this name exists, and this server replaces none (--on-duplicate overwrite)")]
    NotReplaced,
    #[error("the condition {field} is not met: {why}")]
    Precondition {
        field: &'static str,
        why: &'static str,
    },
    #[error(
        "this is a part of a file (Content-Range), and this address takes whole files: send it \
         without that field, or resume uploads with tus (https://tus.io) at /tus/"
    )]
    Part,
    #[error("the range begins behind the end of the file, which has {0} bytes")]
    Range(u64),
    #[error("the body is malformed: {0}")]
    Malformed(String),
    #[error("{0} digest mismatch: the uploaded bytes do not match the digest sent")]
    WrongDigest(&'static str),
    /// A rule of the protocol that the request uses.
    #[error("{detail}")]
    Protocol { status: StatusCode, detail: String },
    #[error("refused: {0}")]
    CrossSite(#[from] CrossSite),
    #[error("this server speaks TLS: let the address begin with https://")]
    ClearText,
    #[error("the server's token is missing or wrong: send it as bearer token or as password")]
    Unauthorized,
    #[error(
        "this server is not called {host:?}, as {field} says: start it with --host {host} to give it \
         that name"
    )]
    WrongHost { host: String, field: &'static str },
    #[error("too little space on the disk: {0}")]
    NoFreeSpace(Shortage),
    #[error("the disk is full")]
    DiskFull(#[source] io::Error),
    #[error("the server could not store or read the file")]
    Disk(#[source] io::Error),
    /// What the disk lacks may be gone from memory, too: no later flush would report that (fsync(2)).
    #[error("the server could not flush the file to the disk")]
    Unflushed(#[source] io::Error),
    #[error("the server stopped before the request was complete")]
    Abandoned,
    #[error(
        "this server stores files as they are, and does not decode Content-Encoding: {0}. \
         Send the file without it"
    )]
    ContentEncoding(String),
    #[error("{0}")]
    InForm(Box<FailedForm>),
    #[error("there is nothing at this address")]
    NotFound,
    #[error("no file of this name can be downloaded here; to upload one, send it with PUT")]
    NoFile,
    #[error("this address does not support the method; send files with PUT /NAME or the form on /")]
    MethodNotAllowed,
}

impl Error {
    /// The error behind a body that broke off in hyper or below.
    fn from_transport(error: &(dyn StdError + 'static)) -> Self {
        let mut sources = iter::successors(Some(error), |&error| error.source());
        sources
            .find_map(|error| error.downcast_ref::<io::Error>())
            .map_or(Self::Aborted, |error| match error.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Reset,
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                    Self::Malformed(error.to_string())
                }
                io::ErrorKind::UnexpectedEof => Self::Aborted,
                kind => Self::Broken(kind),
            })
    }

    /// The error behind a stored file that cannot be opened or removed.
    pub(crate) fn from_lookup(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            _ => Self::from(error),
        }
    }

    /// The error itself, of a form the one of its part.
    fn cause(&self) -> &Self {
        match self {
            Self::InForm(failed) => failed.error().cause(),
            error => error,
        }
    }

    /// Whether the bytes are there, and may get their name once the disk works, or has room.
    pub(crate) fn may_be_retried(&self) -> bool {
        matches!(self, Self::Disk(_) | Self::DiskFull(_) | Self::Busy)
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.status_and_outcome().1
    }

    pub(crate) fn problem(&self) -> String {
        let (status, _) = self.status_and_outcome();
        json_line(&Problem {
            r#type: "about:blank",
            title: status.canonical_reason(),
            status: status.as_u16(),
            detail: self.to_string(),
        })
    }

    fn status_and_outcome(&self) -> (StatusCode, Outcome) {
        match self {
            Self::Aborted | Self::Broken(_) => (StatusCode::BAD_REQUEST, Outcome::Aborted),
            Self::Reset => (StatusCode::BAD_REQUEST, Outcome::Reset),
            Self::TimedOut(_) | Self::HeadTimedOut(_) | Self::TooSlow(_) => {
                (StatusCode::REQUEST_TIMEOUT, Outcome::TimedOut)
            }
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, Outcome::Refused),
            Self::TooMany { .. } | Self::Unread(_) => {
                (StatusCode::TOO_MANY_REQUESTS, Outcome::Refused)
            }
            Self::ManyFields(_) => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                Outcome::Refused,
            ),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Outcome::TooLarge),
            Self::Name(_)
            | Self::Malformed(_)
            | Self::WrongDigest(_)
            | Self::Part
            | Self::ClearText => (StatusCode::BAD_REQUEST, Outcome::Refused),
            Self::Occupied | Self::Exists | Self::NotReplaced => {
                (StatusCode::CONFLICT, Outcome::Refused)
            }
            Self::Precondition { .. } => (StatusCode::PRECONDITION_FAILED, Outcome::Refused),
            Self::Range(_) => (StatusCode::RANGE_NOT_SATISFIABLE, Outcome::Refused),
            Self::Protocol { status, .. } => (*status, Outcome::Refused),
            Self::CrossSite(_) => (StatusCode::FORBIDDEN, Outcome::Refused),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, Outcome::Refused),
            Self::WrongHost { .. } => (StatusCode::MISDIRECTED_REQUEST, Outcome::Refused),
            Self::DiskFull(_) | Self::NoFreeSpace(_) => {
                (StatusCode::INSUFFICIENT_STORAGE, Outcome::DiskFull)
            }
            Self::Unflushed(error) if is_full(error) => {
                (StatusCode::INSUFFICIENT_STORAGE, Outcome::DiskFull)
            }
            Self::Disk(_) | Self::Unflushed(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, Outcome::Failed)
            }
            Self::Abandoned => (StatusCode::SERVICE_UNAVAILABLE, Outcome::Failed),
            Self::NotFound | Self::NoFile => (StatusCode::NOT_FOUND, Outcome::Refused),
            Self::ContentEncoding(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Outcome::Refused),
            Self::InForm(failed) => failed.error().status_and_outcome(),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, Outcome::Refused),
        }
    }
}

impl From<axum::Error> for Error {
    /// An error of ours, which a layer around the body may have put there, or else the transport's.
    fn from(error: axum::Error) -> Self {
        let mut error = error.into_inner();
        // Each body around a body wraps the error once more.
        loop {
            match error.downcast::<axum::Error>() {
                Ok(wrapped) => error = wrapped.into_inner(),
                Err(unwrapped) => {
                    return match unwrapped.downcast::<Self>() {
                        Ok(own) => *own,
                        Err(other) => Self::from_transport(&*other),
                    };
                }
            }
        }
    }
}

/// An error of the disk. An error that breaks a body arrives as [`axum::Error`] instead.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            _ if is_full(&error) => Self::DiskFull(error),
            _ if lacks_descriptors(&error) => Self::Busy,
            io::ErrorKind::IsADirectory => Self::Occupied,
            _ => Self::Disk(error),
        }
    }
}

fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

#[derive(Serialize)]
struct Problem {
    r#type: &'static str,
    title: Option<&'static str>,
    status: u16,
    detail: String,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, _) = self.status_and_outcome();
        let content_type = [(CONTENT_TYPE, PROBLEM_JSON)];
        let mut response = (status, content_type, self.problem()).into_response();
        let shown = page::Detail(self.to_string());
        response.extensions_mut().insert(shown);
        let headers = response.headers_mut();
        match self.cause() {
            Self::Busy | Self::TooMany { .. } | Self::Unread(_) => {
                headers.insert(RETRY_AFTER, RETRY_SECS);
            }
            Self::Unauthorized => {
                for challenge in CHALLENGES {
                    headers.append(WWW_AUTHENTICATE, challenge);
                }
            }
            Self::Range(bytes) => {
                let whole = HeaderValue::try_from(format!("bytes */{bytes}"));
                headers.extend(whole.map(|whole| (CONTENT_RANGE, whole)));
            }
            // RFC 9110, 15.5.16.
            Self::ContentEncoding(_) => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn a_broken_body_maps_to_its_outcome() {
        check(ErrorKind::UnexpectedEof, Outcome::Aborted);
        check(ErrorKind::ConnectionReset, Outcome::Reset);
        check(ErrorKind::BrokenPipe, Outcome::Reset);
        check(ErrorKind::TimedOut, Outcome::Aborted);
        check(ErrorKind::InvalidInput, Outcome::Refused);

        fn check(kind: ErrorKind, expected: Outcome) {
            let error = axum::Error::new(io::Error::from(kind));
            assert_eq!(Error::from(error).outcome(), expected, "{kind:?}");
        }
    }

    #[test]
    fn a_full_disk_differs_from_a_broken_one() {
        check(ErrorKind::StorageFull, 507, Outcome::DiskFull);
        check(ErrorKind::QuotaExceeded, 507, Outcome::DiskFull);
        check(ErrorKind::FileTooLarge, 507, Outcome::DiskFull);
        check(ErrorKind::PermissionDenied, 500, Outcome::Failed);
        check(ErrorKind::IsADirectory, 409, Outcome::Refused);

        fn check(kind: ErrorKind, status: u16, outcome: Outcome) {
            let (got_status, got_outcome) = Error::from(io::Error::from(kind)).status_and_outcome();
            assert_eq!(
                (got_status.as_u16(), got_outcome),
                (status, outcome),
                "{kind:?}"
            );
        }
    }
}
