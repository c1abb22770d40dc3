//! A response on its way out, watched: the connection is told when hyper lets go of it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::StatusCode,
};
use hyper::body::{Frame, SizeHint};

use super::{access_log::AccessLine, connection::Connection};

/// A request that is being worked on, until this is dropped.
pub(crate) struct RequestInFlight {
    connection: Arc<Connection>,
    request: u32,
    line: AccessLine,
    /// hyper has all of the response.
    answered: bool,
}

impl RequestInFlight {
    /// `request` has arrived on this connection.
    pub(crate) fn new(connection: Arc<Connection>, request: u32, line: AccessLine) -> Self {
        Self {
            connection,
            request,
            line,
            answered: false,
        }
    }

    /// The response's body, whose end or whose being dropped is the end of the request.
    pub(crate) fn answer(mut self, status: StatusCode, body: Body) -> ResponseBody {
        self.line.status = Some(status);
        self.answered = body.is_end_stream();
        ResponseBody {
            body,
            in_flight: self,
        }
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        self.connection.request_over(self.request, self.answered);
        let took = self.line.end(&self.connection);
        let status = self.line.status.filter(|_| self.answered);
        let status = status.map(|status| status.as_u16());
        self.connection
            .metrics
            .request(&self.line.method, status, took);
    }
}

/// A response's body.
pub(crate) struct ResponseBody {
    body: Body,
    in_flight: RequestInFlight,
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.in_flight.line.sent += data.len() as u64;
        }
        self.in_flight.answered = frame.is_none() || self.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
