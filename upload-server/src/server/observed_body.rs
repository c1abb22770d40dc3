//! A body that reports to an observer as it passes: for counting, and for limits.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    BoxError,
    body::{Bytes, HttpBody},
};
use hyper::body::{Frame, SizeHint};

/// What passes through a body. Each method does nothing unless it is overridden.
pub(crate) trait Observer {
    /// The reader waits for the next bytes.
    fn waiting(&mut self) {}

    /// This many bytes passed. An error ends the body, and reaches its reader.
    fn passed(&mut self, bytes: u64) -> Result<(), BoxError> {
        let _ = bytes;
        Ok(())
    }

    /// The last byte has passed.
    fn ended(&mut self) {}
}

/// A body and its observer, which is dropped with it.
pub(crate) struct ObservedBody<B, O> {
    body: B,
    observer: O,
}

impl<B, O> ObservedBody<B, O> {
    pub(crate) fn new(body: B, observer: O) -> Self {
        Self { body, observer }
    }
}

impl<B, O> HttpBody for ObservedBody<B, O>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
    O: Observer + Unpin,
{
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            self.observer.waiting();
            return Poll::Pending;
        };
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(error) = self.observer.passed(data.len() as u64)
        {
            return Poll::Ready(Some(Err(axum::Error::new(error))));
        }
        if frame.is_none() || self.body.is_end_stream() {
            self.observer.ended();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(axum::Error::new)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
