//! The body of a refused request of HTTP/2. Once it is dropped, hyper resets the stream, without an error
//! (RFC 9113, 8.1). curl before 8.1 takes this for an error, unless it has read the response by then. So
//! the body is read out for a moment, in which clients stop sending by themselves.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    http::Request,
};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_stream::StreamExt;

/// How long, and how much, a client may still send after the response.
const MAX_TIME: Duration = Duration::from_secs(2);
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// A request's body that stays when the request is dropped.
#[derive(Clone)]
pub(super) struct KeptBody(Arc<Mutex<Body>>);

impl KeptBody {
    pub(super) fn of(request: &mut Request<Body>) -> Self {
        let body = std::mem::take(request.body_mut());
        let kept = Self(Arc::new(Mutex::new(body)));
        *request.body_mut() = Body::new(kept.clone());
        kept
    }

    /// Drops what the client still sends, until it stops or reaches a limit.
    pub(super) async fn read_out(self) {
        let mut rest = Body::new(self).into_data_stream();
        let reading = async {
            let mut bytes = 0;
            while let Some(Ok(chunk)) = rest.next().await {
                bytes += chunk.len();
                if bytes > MAX_BYTES {
                    break;
                }
            }
        };
        // However this ends, nothing is left to do.
        let _ = timeout(MAX_TIME, reading).await;
    }
}

impl HttpBody for KeptBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut *self.0.lock()).poll_frame(cx);
        frame.map(|frame| frame.map(|frame| frame.map_err(axum::Error::into_inner)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().size_hint()
    }
}
