//! The body from which multer reads a form. multer reads ahead of the file that it returns. So a body
//! that breaks must not fail at once, or multer would drop the files that it has read already; and
//! headers without an end must not fill the memory.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::body::{Body, Bytes};
use parking_lot::Mutex;
use tokio_stream::{Stream, StreamExt};

use crate::server::error::Error;

/// The most bytes around a file: headers of parts, and fields that are not files.
const MAX_OVERHEAD: usize = 1024 * 1024;

/// Why the body broke, and how many bytes arrived since the last bytes of a file.
#[derive(Default)]
pub(crate) struct FormBody {
    broken: Mutex<Option<Error>>,
    overhead: AtomicUsize,
}

impl FormBody {
    /// The body. Where it breaks it ends, and [`Self::error`] has the reason.
    pub(crate) fn read(&self, body: Body) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin {
        body.into_data_stream()
            .map_while(|chunk| match self.check(chunk) {
                Ok(chunk) => Some(Ok(chunk)),
                Err(error) => {
                    *self.broken.lock() = Some(error);
                    None
                }
            })
    }

    /// multer has returned bytes of a file.
    pub(crate) fn within_file(&self) {
        self.overhead.store(0, Ordering::Relaxed);
    }

    pub(crate) fn error(&self) -> Option<Error> {
        self.broken.lock().take()
    }

    /// The cause of multer's error: the body broke, or else the form is malformed.
    pub(crate) fn explain(&self, error: &multer::Error) -> Error {
        self.error()
            .unwrap_or_else(|| Error::Malformed(error.to_string()))
    }

    fn check(&self, chunk: Result<Bytes, axum::Error>) -> Result<Bytes, Error> {
        let chunk = chunk?;
        if self.overhead.fetch_add(chunk.len(), Ordering::Relaxed) > MAX_OVERHEAD {
            return Err(Error::Malformed(
                "the form has more than 1 MiB besides its files".to_owned(),
            ));
        }
        Ok(chunk)
    }
}
