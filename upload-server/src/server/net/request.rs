//! One request on its way through the routes, counted and logged, whichever version of HTTP it came
//! in.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    BoxError, Router,
    body::{Body, HttpBody},
    http::{
        HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, uri::PathAndQuery,
    },
    response::IntoResponse,
};
use hyper::body::Incoming;
use tower::ServiceExt;

use super::{
    access_log::AccessLine,
    answer_progress::AnswerProgress,
    connection::Connection,
    held_answers::HeldAnswers,
    kept_body::KeptBody,
    read_ahead::{BodyShare, ReadAhead},
    small_pieces::SmallPieces,
};
use crate::server::{
    forwarded::Forwarded,
    limits::ClientSlot,
    observed_body::{ObservedBody, Observer},
};

/// The body of a response. When hyper drops it, the request is over.
pub(super) type ResponseBody = ObservedBody<Body, RequestInFlight>;

pub(super) async fn answer(
    router: Router,
    answers: HeldAnswers,
    connection: Arc<Connection>,
    ahead: Option<ReadAhead>,
    forwarded: Option<Forwarded>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let version = request.version();
    let context = connection.request_arrived(version, forwarded);
    let (number, client) = (context.request, context.client());
    let is_get = request.method() == Method::GET;
    let path = request.uri().path().to_owned();
    let line = AccessLine::begin(request.method().clone(), path, &context);
    let has_body = !request.body().is_end_stream();
    let received = BytesReceived {
        bytes: Arc::clone(&line.received),
        share: ahead.filter(|_| has_body).map(|ahead| ahead.body()),
    };
    let mut in_flight = RequestInFlight {
        connection: Arc::clone(&connection),
        request: number,
        line,
        progress: AnswerProgress::current(),
        answered: false,
        memory: None,
    };
    let mut request = request.map(|body| Body::new(ObservedBody::new(body, received)));
    let mut kept = None;
    if version == Version::HTTP_2 {
        as_in_http1(&mut request);
        kept = has_body.then(|| KeptBody::of(&mut request));
    }
    with_one_slash(&mut request);
    request.extensions_mut().insert(context);
    let mut response = router.oneshot(request).await?;
    if is_get {
        match answers.hold(response.body(), client) {
            Ok(memory) => in_flight.memory = memory,
            Err(error) => response = error.into_response(),
        }
    }
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if refused && has_body && version < Version::HTTP_2 {
        // The rest of the body would have to be read before the next request.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(kept) = kept.filter(|_| refused) {
        tokio::spawn(kept.read_out());
    }
    let status = response.status();
    connection.response_ready(number, status);
    Ok(response.map(|body| {
        if version == Version::HTTP_2 {
            in_flight.answer(status, SmallPieces::of(body))
        } else {
            in_flight.answer(status, body)
        }
    }))
}

/// HTTP/2 sends scheme, authority and path apart (RFC 9113, 8.3.1), and hyper joins them in one URI.
/// This turns them into the path and the Host header of HTTP/1.1, the form that the routes know.
fn as_in_http1(request: &mut Request<Body>) {
    let uri = std::mem::take(request.uri_mut());
    let mut parts = uri.into_parts();
    if let Some(authority) = parts.authority.take()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(header::HOST, host);
    }
    parts.scheme = None;
    // A path alone is always a URI.
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}

/// The target as the client, or a proxy, wrote it.
#[derive(Clone)]
pub(crate) struct OriginalTarget(pub(crate) Uri);

/// A proxy that replaces `/upload` by `/` turns `/upload/cat.png` into `//cat.png`. No path of the routes
/// begins with two slashes.
fn with_one_slash(request: &mut Request<Body>) {
    let target = request
        .uri()
        .path_and_query()
        .map_or("", PathAndQuery::as_str);
    if !target.starts_with("//") {
        return;
    }
    let Ok(target) = format!("/{}", target.trim_start_matches('/')).parse() else {
        return;
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(target);
    if let Ok(uri) = Uri::from_parts(parts) {
        let original = std::mem::replace(request.uri_mut(), uri);
        request.extensions_mut().insert(OriginalTarget(original));
    }
}

struct BytesReceived {
    bytes: Arc<AtomicU64>,
    /// Of what HTTP/2 reads ahead.
    share: Option<BodyShare>,
}

impl Observer for BytesReceived {
    fn waiting(&mut self) {
        if let Some(share) = &mut self.share {
            share.waiting();
        }
    }

    fn passed(&mut self, bytes: u64) -> Result<(), BoxError> {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(share) = &mut self.share {
            share.took(usize::try_from(bytes)?);
        }
        Ok(())
    }
}

/// A request until hyper is done with its response. Dropping it ends the request in the connection,
/// the access log and the metrics, whether it was answered or not.
pub(super) struct RequestInFlight {
    connection: Arc<Connection>,
    request: u32,
    line: AccessLine,
    /// Of HTTP/2 alone.
    progress: Option<Arc<AnswerProgress>>,
    /// hyper has all of the response.
    answered: bool,
    /// What a large answer takes.
    memory: Option<ClientSlot>,
}

impl RequestInFlight {
    fn answer(mut self, status: StatusCode, body: Body) -> ResponseBody {
        self.line.status = Some(status);
        self.answered = body.is_end_stream();
        ObservedBody::new(body, self)
    }
}

impl Observer for RequestInFlight {
    fn waiting(&mut self) {
        if let Some(progress) = &self.progress {
            progress.taken();
        }
    }

    fn passed(&mut self, bytes: u64) -> Result<(), BoxError> {
        self.line.sent += bytes;
        if let Some(progress) = &self.progress {
            progress.ready();
        }
        Ok(())
    }

    fn ended(&mut self) {
        self.answered = true;
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        self.connection.request_over(self.request, self.answered);
        let took = self.line.end(&self.connection);
        let status = self.line.status.filter(|_| self.answered);
        let status = status.map(|status| status.as_u16());
        self.connection
            .journal
            .metrics
            .request(&self.line.method, status, took);
    }
}
