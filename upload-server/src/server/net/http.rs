//! One connection from its first byte to its close: TLS where it is enabled, then the version of HTTP
//! that the client speaks, and the requests handed to the routes.
//!
//! `axum::serve` has no timeout for a request's head. hyper-util's automatic choice of the version has no
//! timeout for the first bytes, and does not return the stream, from which the rest has to be drained.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    BoxError, Router,
    http::{Request, Response, header},
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
use tracing::debug;

use super::{
    connection::{Accepted, Connection},
    connection_limit::Slot,
    http1, http2,
    request::{self, ResponseBody},
    socket::Socket,
    timed_stream::TimedStream,
    tls,
};
use crate::{
    record::Cookie,
    server::{error::Error, journal::Journal},
};

/// The first bytes of a client that speaks HTTP/2 without having negotiated it (RFC 9113, 3.4).
const HTTP_2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves connections.
#[derive(Clone)]
pub(crate) struct HttpServer {
    pub(crate) router: Router,
    /// Absent where HTTP is spoken in clear text.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Whether a client may speak HTTP/2.
    pub(crate) http2: bool,
    /// Timeout for the TLS handshake, for a request's head, and between requests.
    pub(crate) head: Duration,
    /// How long a client may leave sent bytes unacknowledged.
    pub(crate) idle: Duration,
    /// Cancelled when no further request is accepted.
    pub(crate) stop: CancellationToken,
    /// Cancelled when every connection is dropped, even one with requests in flight.
    pub(crate) abandon: CancellationToken,
    /// Every task that works on a connection.
    pub(crate) tasks: TaskTracker,
    pub(crate) journal: Arc<Journal>,
}

/// The version of HTTP on a connection.
enum Version {
    Http1,
    Http2,
}

/// How a client began on a connection that expects TLS.
enum Opened {
    Secure(Box<TlsStream<Socket>>),
    Clear(Socket),
}

impl HttpServer {
    /// The same for a connection without a slot: it answers 503 and closes.
    pub(crate) fn refusing(&self) -> Self {
        self.answering(|| Error::Busy)
    }

    /// The same, but it gives one answer to every request and closes the connection.
    fn answering(&self, error: fn() -> Error) -> Self {
        let answer = async move || ([(header::CONNECTION, "close")], error());
        Self {
            router: Router::new().fallback(answer),
            ..self.clone()
        }
    }

    /// Turns an accepted socket into a connection.
    pub(crate) fn open(
        &self,
        stream: TcpStream,
        client: SocketAddr,
        accepted_ns: u64,
        slot: Slot,
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
        let journal = Arc::clone(&self.journal);
        let connection = Arc::new(Connection::new(accepted, slot, journal));
        Ok((Socket::new(stream, Arc::clone(&connection)), connection))
    }

    /// Serves requests until the client closes. Once the server is to stop, it serves those in
    /// flight alone.
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

    /// Completes when everything on this connection is to be dropped. Sets the connection's mark
    /// first, so that the uploads dropped with it have the right reason.
    pub(super) async fn abandoned(&self, connection: &Connection) {
        tokio::select! {
            () = self.abandon.cancelled() => (),
            () = connection.dismissed.cancelled() => {
                self.journal.metrics.connections_dismissed.inc();
                debug!(cookie = %connection.cookie, "dismissed to make room");
            }
        }
        connection.abandon();
    }

    /// Answers the requests of a connection.
    pub(super) fn service(
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
            Box::pin(request::answer(
                router.clone(),
                Arc::clone(&connection),
                request,
            ))
        })
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
        let version = if begins_http2 {
            Version::Http2
        } else {
            Version::Http1
        };
        self.speak(version, stream, connection).await
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
                let version = match stream.get_ref().1.alpn_protocol() {
                    Some(tls::HTTP_2) => Version::Http2,
                    _ => Version::Http1,
                };
                let stream = TimedStream::new(*stream, Arc::clone(&connection));
                self.speak(version, stream, connection).await
            }
            Ok(Opened::Clear(socket)) => {
                let stream = TimedStream::new(socket, Arc::clone(&connection));
                let server = self.answering(|| Error::ClearText);
                server.speak(Version::Http1, stream, connection).await
            }
            Err(error) => {
                self.journal.metrics.handshakes_failed.inc();
                Err(error.into())
            }
        }
    }

    async fn speak<S>(
        &self,
        version: Version,
        stream: TimedStream<S>,
        connection: Arc<Connection>,
    ) -> Result<(), BoxError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match version {
            Version::Http1 => Ok(http1::serve(self, stream, connection).await?),
            Version::Http2 => Ok(http2::serve(self, stream, connection).await?),
        }
    }

    /// Before HTTP begins, a client has as long as for a request's head; after the stop, no time.
    async fn in_time<T>(&self, opening: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        tokio::select! {
            opened = timeout(self.head, opening) => opened?,
            () = self.stop.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}
