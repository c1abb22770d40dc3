//! A form that arrives: the events of its body.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::{Body, BodyDataStream, Bytes};
use tokio_stream::Stream;

use super::{
    multipart::{Event, Malformed, Multipart},
    refusal,
};
use crate::server::error::Error;

pub(super) struct FormReader {
    body: BodyDataStream,
    multipart: Multipart,
}

impl FormReader {
    pub(super) fn new(body: Body, boundary: &[u8]) -> Self {
        Self {
            body: body.into_data_stream(),
            multipart: Multipart::new(boundary),
        }
    }

    /// The next event, for which it reads as much of the body as it needs.
    pub(super) async fn event(&mut self) -> Result<Event, Error> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// The content of the part that has begun, which is a file.
    pub(super) fn file(&mut self) -> FileContent<'_> {
        self.multipart.begin_file();
        FileContent(self)
    }

    /// Counts bytes of a part that is no file.
    pub(super) fn count_overhead(&mut self, bytes: usize) -> Result<(), Error> {
        Ok(self.multipart.count_overhead(bytes)?)
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        loop {
            match self.multipart.next()? {
                Event::NeedsBytes => match ready!(Pin::new(&mut self.body).poll_next(cx)) {
                    Some(bytes) => self.multipart.push(bytes?),
                    None => self.multipart.end(),
                },
                event => return Poll::Ready(Ok(event)),
            }
        }
    }
}

/// The bytes of a file in a form. An error where the form breaks off within it.
pub(super) struct FileContent<'a>(&'a mut FormReader);

impl Stream for FileContent<'_> {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.0.poll_event(cx)) {
            Ok(Event::Content(bytes)) => Some(Ok(bytes)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        refusal(malformed.to_string())
    }
}
