//! How connections are served, and how the requests on them are answered: by the routes, whatever
//! version of HTTP they came in.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody},
    http::{HeaderValue, Request, Response, Uri, Version, header},
};
use hyper::{body::Incoming, service::Service, service::service_fn};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::debug;

use super::{
    access_log::AccessLine,
    connection::Connection,
    received::Received,
    response_body::{RequestInFlight, ResponseBody},
};
use crate::server::{journal::Journal, metrics::Metrics};

/// How connections are served.
#[derive(Clone)]
pub(crate) struct HttpServer {
    pub(crate) router: Router,
    /// Absent where HTTP is spoken in clear text.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Whether a client may speak HTTP/2.
    pub(crate) http2: bool,
    /// How long a client may take for the TLS handshake, for a request's head, and to come with its
    /// next request.
    pub(crate) head: Duration,
    /// How long a client may leave what it is sent untouched.
    pub(crate) idle: Duration,
    /// Take nothing more and finish.
    pub(crate) stop: CancellationToken,
    /// Drop everything.
    pub(crate) abandon: CancellationToken,
    /// Everything that works on a connection.
    pub(crate) tasks: TaskTracker,
    pub(crate) journal: Arc<Journal>,
    pub(crate) metrics: Arc<Metrics>,
}

impl HttpServer {
    /// Completes when everything on this connection is to be dropped. Whoever is dropped then can
    /// tell why.
    pub(crate) async fn abandoned(&self, connection: &Connection) {
        tokio::select! {
            () = self.abandon.cancelled() => (),
            () = connection.dismissed.cancelled() => {
                self.metrics.connections_dismissed.inc();
                debug!(cookie = %connection.cookie, "makes room");
            }
        }
        connection.abandon();
    }

    /// Answers the requests of a connection.
    pub(crate) fn service(
        &self,
        connection: Arc<Connection>,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<ResponseBody>,
        Error = Infallible,
        Future: Future<Output = Result<Response<ResponseBody>, Infallible>>
                    + Send
                    + Unpin
                    + 'static,
    > + use<> {
        let router = self.router.clone();
        service_fn(move |request| {
            Box::pin(answer(router.clone(), Arc::clone(&connection), request))
        })
    }
}

async fn answer(
    router: Router,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let version = request.version();
    let context = connection.request_arrived(version);
    let number = context.request;
    let path = request.uri().path().to_owned();
    let line = AccessLine::begin(request.method().clone(), path, number);
    let received = Arc::clone(&line.received);
    let in_flight = RequestInFlight::new(Arc::clone(&connection), number, line);
    let has_body = !request.body().is_end_stream();
    let mut request = request.map(|body| Body::new(Received::new(body, received)));
    if version == Version::HTTP_2 {
        as_in_http1(&mut request);
    }
    request.extensions_mut().insert(context);
    let mut response = router.oneshot(request).await?;
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if refused && has_body && version < Version::HTTP_2 {
        // What is left of the body would have to be read before the next request.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let status = response.status();
    connection.response_ready(number, status);
    Ok(response.map(|body| in_flight.answer(status, body)))
}

/// HTTP/2 sends scheme, authority and path apart (RFC 9113, 8.3.1), and hyper makes one URI of
/// them: what reads a request need not know of that.
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
