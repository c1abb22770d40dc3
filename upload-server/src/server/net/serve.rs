//! One connection from its first byte to its close: TLS where it is enabled, then the version of HTTP
//! that the client speaks, and the requests handed to the routes.

use std::sync::Arc;

use axum::BoxError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

use super::{
    connection::Connection, http::HttpServer, http1, http2, socket::Socket,
    timed_stream::TimedStream, tls,
};
use crate::server::error::Error;

/// The first bytes of a client that speaks HTTP/2 without having negotiated it (RFC 9113, 3.4).
const HTTP_2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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

/// Serves requests until the client closes. Once the server is to stop, it serves those in
/// flight alone.
pub(crate) async fn serve(server: &HttpServer, socket: Socket, connection: Arc<Connection>) {
    let cookie = connection.cookie;
    tokio::select! {
        served = serve_to_the_end(server, socket, Arc::clone(&connection)) => {
            if let Err(error) = served {
                debug!(%cookie, %error, "connection broke");
            }
        }
        () = server.abandoned(&connection) => (),
    }
}

async fn serve_to_the_end(
    server: &HttpServer,
    socket: Socket,
    connection: Arc<Connection>,
) -> Result<(), BoxError> {
    match &server.tls {
        Some(acceptor) => serve_secure(server, acceptor, socket, connection).await,
        None => serve_clear(server, socket, connection).await,
    }
}

async fn serve_clear(
    server: &HttpServer,
    socket: Socket,
    connection: Arc<Connection>,
) -> Result<(), BoxError> {
    let mut stream = TimedStream::new(socket, Arc::clone(&connection));
    let begins_http2 = server.http2 && server.in_time(stream.begins_with(HTTP_2_PREFACE)).await?;
    let version = if begins_http2 {
        Version::Http2
    } else {
        Version::Http1
    };
    speak(server, version, stream, connection).await
}

async fn serve_secure(
    server: &HttpServer,
    acceptor: &TlsAcceptor,
    socket: Socket,
    connection: Arc<Connection>,
) -> Result<(), BoxError> {
    let opened = server.in_time(async {
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
            speak(server, version, stream, connection).await
        }
        Ok(Opened::Clear(socket)) => {
            let stream = TimedStream::new(socket, Arc::clone(&connection));
            let server = server.answering(|| Error::ClearText);
            speak(&server, Version::Http1, stream, connection).await
        }
        Err(error) => {
            server.journal.metrics.handshakes_failed.inc();
            Err(error.into())
        }
    }
}

async fn speak<S>(
    server: &HttpServer,
    version: Version,
    stream: TimedStream<S>,
    connection: Arc<Connection>,
) -> Result<(), BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match version {
        Version::Http1 => Ok(http1::serve(server, stream, connection).await?),
        Version::Http2 => Ok(http2::serve(server, stream, connection).await?),
    }
}
