//! One connection from its first byte to its close: TLS where that is asked for, then the version
//! of HTTP that the client speaks, and the requests handed to the routes.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody},
    http::{HeaderValue, Request, Response, Uri, Version, header},
};
use hyper::{body::Incoming, service::Service, service::service_fn};
use rustix::net::sockopt::{set_tcp_user_timeout, socket_cookie};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::debug;

use super::{
    access_log::AccessLine,
    answer::{Answer, InFlight},
    connection::{Accepted, Connection},
    crowd::Standing,
    http1, http2,
    received::Received,
    socket::Socket,
    timed_stream::TimedStream,
    tls,
};
use crate::{
    record::Cookie,
    server::{error::Error, journal::Journal, metrics::Metrics},
};

/// What a client that speaks HTTP/2 without having negotiated it begins with (RFC 9113, 3.4).
const HTTP_2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How connections are served.
#[derive(Clone)]
pub(crate) struct Http {
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

/// The two versions differ in how they end.
enum Spoken {
    Http1,
    Http2,
}

/// What a client began with where TLS was due.
enum Opened {
    Secure(Box<TlsStream<Socket>>),
    Clear(Socket),
}

impl Http {
    /// The same for connections that the server has no place for: it says so and closes.
    pub(crate) fn refusing(&self) -> Self {
        self.answering(|| Error::Busy)
    }

    /// The same with one answer to everything, and the end of the connection.
    fn answering(&self, error: fn() -> Error) -> Self {
        let answer = async move || ([(header::CONNECTION, "close")], error());
        Self {
            router: Router::new().fallback(answer),
            ..self.clone()
        }
    }

    /// Makes an accepted socket a connection.
    pub(crate) fn open(
        &self,
        stream: TcpStream,
        client: SocketAddr,
        accepted_ns: u64,
        standing: Standing,
    ) -> io::Result<(Socket, Arc<Connection>)> {
        stream.set_nodelay(true)?;
        // Also ends a client that keeps its window closed (tcp(7)).
        let idle = self.idle.as_millis().try_into().unwrap_or(u32::MAX);
        set_tcp_user_timeout(&stream, idle)?;
        let accepted = Accepted {
            cookie: Cookie(socket_cookie(&stream)?),
            client: SocketAddr::new(client.ip().to_canonical(), client.port()),
            local: stream.local_addr()?,
            accepted_ns,
            secure: self.tls.is_some(),
        };
        let (journal, metrics) = (Arc::clone(&self.journal), Arc::clone(&self.metrics));
        let connection = Arc::new(Connection::new(accepted, standing, journal, metrics));
        Ok((Socket::new(stream, Arc::clone(&connection)), connection))
    }

    /// Serves requests until the client has no more, or until the server is to stop, after those
    /// under way.
    pub(crate) async fn serve(&self, socket: Socket, connection: Arc<Connection>) {
        let cookie = connection.cookie;
        tokio::select! {
            served = self.serve_to_the_end(socket, Arc::clone(&connection)) => {
                if let Err(error) = served {
                    debug!(%cookie, %error, "connection broke");
                }
            }
            () = self.abandoned(&connection) => (),
        }
    }

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

    async fn serve_to_the_end(
        &self,
        socket: Socket,
        connection: Arc<Connection>,
    ) -> Result<(), BoxError> {
        match &self.tls {
            Some(acceptor) => self.serve_secure(acceptor, socket, connection).await,
            None => self.serve_clear(socket, connection).await,
        }
    }

    async fn serve_clear(
        &self,
        socket: Socket,
        connection: Arc<Connection>,
    ) -> Result<(), BoxError> {
        let mut stream = TimedStream::new(socket, Arc::clone(&connection));
        let begins_http2 = self.http2 && self.in_time(stream.begins_with(HTTP_2_PREFACE)).await?;
        let spoken = match begins_http2 {
            true => Spoken::Http2,
            false => Spoken::Http1,
        };
        self.speak(spoken, stream, connection).await
    }

    async fn serve_secure(
        &self,
        acceptor: &TlsAcceptor,
        socket: Socket,
        connection: Arc<Connection>,
    ) -> Result<(), BoxError> {
        let opened = self.in_time(async {
            // TLS begins with the number of a record's type, clear text with a method's name.
            match socket.first_byte().await? {
                Some(first) if first.is_ascii_alphabetic() => Ok(Opened::Clear(socket)),
                _ => Ok(Opened::Secure(Box::new(acceptor.accept(socket).await?))),
            }
        });
        match opened.await {
            Ok(Opened::Secure(stream)) => {
                let spoken = match stream.get_ref().1.alpn_protocol() {
                    Some(tls::HTTP_2) => Spoken::Http2,
                    _ => Spoken::Http1,
                };
                let stream = TimedStream::new(*stream, Arc::clone(&connection));
                self.speak(spoken, stream, connection).await
            }
            Ok(Opened::Clear(socket)) => {
                let stream = TimedStream::new(socket, Arc::clone(&connection));
                let how = self.answering(|| Error::ClearText);
                how.speak(Spoken::Http1, stream, connection).await
            }
            Err(error) => {
                self.metrics.handshakes_failed.inc();
                Err(error.into())
            }
        }
    }

    async fn speak<S>(
        &self,
        spoken: Spoken,
        stream: TimedStream<S>,
        connection: Arc<Connection>,
    ) -> Result<(), BoxError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match spoken {
            Spoken::Http1 => Ok(http1::serve(self, stream, connection).await?),
            Spoken::Http2 => Ok(http2::serve(self, stream, connection).await?),
        }
    }

    /// Before HTTP begins, a client has as long as for a request's head; after the stop, no time.
    async fn in_time<T>(&self, opening: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        tokio::select! {
            opened = timeout(self.head, opening) => opened?,
            () = self.stop.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Answers the requests of a connection.
    pub(crate) fn service(
        &self,
        connection: Arc<Connection>,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<Answer>,
        Error = Infallible,
        Future: Future<Output = Result<Response<Answer>, Infallible>> + Send + Unpin + 'static,
    > + use<> {
        let router = self.router.clone();
        service_fn(move |request| {
            Box::pin(answer(router.clone(), Arc::clone(&connection), request))
        })
    }
}

/// Why a connection broke: told to the log alone.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn answer(
    router: Router,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let version = request.version();
    let exchange = connection.request_arrived(version);
    let number = exchange.request;
    let path = request.uri().path().to_owned();
    let line = AccessLine::begin(request.method().clone(), path, number);
    let received = Arc::clone(&line.received);
    let in_flight = InFlight::new(Arc::clone(&connection), number, line);
    let has_body = !request.body().is_end_stream();
    let mut request = request.map(|body| Body::new(Received::new(body, received)));
    if version == Version::HTTP_2 {
        as_in_http1(&mut request);
    }
    request.extensions_mut().insert(exchange);
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
