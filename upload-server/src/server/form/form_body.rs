//! What multer reads a form from. multer reads ahead of the file it hands out: a body that breaks
//! would lose it the files it already holds, and headers without an end would fill the memory.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::body::{Body, Bytes};
use parking_lot::Mutex;
use tokio_stream::{Stream, StreamExt};

use crate::server::error::Error;

/// The most bytes around the files: headers of parts, and fields that are not files.
const MAX_WRAPPING: usize = 1024 * 1024;

/// Why the body ended, and how much of it came since the last of a file's bytes.
#[derive(Default)]
pub(crate) struct FormBody {
    broken: Mutex<Option<Error>>,
    wrapping: AtomicUsize,
}

impl FormBody {
    /// The body, which ends where it breaks.
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

    /// A file's bytes were handed out.
    pub(crate) fn within_file(&self) {
        self.wrapping.store(0, Ordering::Relaxed);
    }

    /// Why the body broke, if it did.
    pub(crate) fn error(&self) -> Option<Error> {
        self.broken.lock().take()
    }

    /// What is behind multer's finding that the form is not complete.
    pub(crate) fn explain(&self, error: &multer::Error) -> Error {
        self.error()
            .unwrap_or_else(|| Error::Malformed(error.to_string()))
    }

    fn check(&self, chunk: Result<Bytes, axum::Error>) -> Result<Bytes, Error> {
        let chunk = chunk?;
        if self.wrapping.fetch_add(chunk.len(), Ordering::Relaxed) > MAX_WRAPPING {
            return Err(Error::Malformed("too much besides the files".to_owned()));
        }
        Ok(chunk)
    }
}
