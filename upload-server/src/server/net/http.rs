//! One connection from its first byte to its close: TLS where that is asked for, then the version
//! of HTTP that the client speaks, and the requests handed to the routes.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{Router, http::header};
use rustix::net::sockopt::{set_tcp_user_timeout, socket_cookie};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

use super::{
    connection::{Accepted, Connection},
    connection_limit::Slot,
    http1, http2,
    requests::HttpServer,
    socket::Socket,
    timed_stream::TimedStream,
    tls,
};
use crate::{record::Cookie, server::error::Error};

/// What a client that speaks HTTP/2 without having negotiated it begins with (RFC 9113, 3.4).
const HTTP_2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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

impl HttpServer {
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
        let (journal, metrics) = (Arc::clone(&self.journal), Arc::clone(&self.metrics));
        let connection = Arc::new(Connection::new(accepted, slot, journal, metrics));
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
                let server = self.answering(|| Error::ClearText);
                server.speak(Spoken::Http1, stream, connection).await
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
}

/// Why a connection broke: told to the log alone.
type BoxError = Box<dyn std::error::Error + Send + Sync>;
