//! One connection's HTTP, from its first request to its close.

use std::{
    convert::Infallible, future::poll_fn, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    http::{HeaderValue, Request, header},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::socket_cookie;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::debug;

use super::{connection::Connection, journal::Journal, timed_stream::TimedStream};
use crate::record::Cookie;

/// How long a client may take to send a request's head, and to come with its next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long, and how much, a client may go on sending after the last response.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 64 * 1024 * 1024;

/// Makes an accepted socket a connection.
pub(crate) fn open(
    stream: TcpStream,
    client: SocketAddr,
    accepted_ns: u64,
    journal: Arc<Journal>,
) -> io::Result<(TimedStream, Arc<Connection>)> {
    stream.set_nodelay(true)?;
    let cookie = Cookie(socket_cookie(&stream)?);
    let client = SocketAddr::new(client.ip().to_canonical(), client.port());
    let connection = Arc::new(Connection::new(cookie, client, accepted_ns, journal));
    Ok((
        TimedStream::new(stream, Arc::clone(&connection)),
        connection,
    ))
}

/// Serves requests until the client has no more, or until `stop`, after the current one.
pub(crate) async fn serve(
    stream: TimedStream,
    connection: Arc<Connection>,
    router: Router,
    stop: CancellationToken,
) {
    let cookie = connection.cookie;
    let service = service_fn(move |request| {
        Box::pin(answer(router.clone(), Arc::clone(&connection), request))
    });
    let mut http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        // A client may close its side once its body is out, and still wants the response.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);

    let served_out = tokio::select! {
        served = poll_fn(|cx| http.poll_without_shutdown(cx)) => Some(served),
        () = stop.cancelled() => None,
    };
    let served = match served_out {
        Some(served) => served,
        None => {
            Pin::new(&mut http).graceful_shutdown();
            poll_fn(|cx| http.poll_without_shutdown(cx)).await
        }
    };
    if let Err(error) = served {
        debug!(%cookie, %error, "connection broke");
    }
    let stream = http.into_parts().io.into_inner();
    tokio::select! {
        () = close(stream) => (),
        () = stop.cancelled() => (),
    }
}

async fn answer(
    router: Router,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let has_body = !request.body().is_end_stream();
    let mut request = request.map(Body::new);
    request
        .extensions_mut()
        .insert(connection.request_arrived());
    let mut response = router.oneshot(request).await?;
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if refused && has_body {
        // What is left of the body would have to be read before the next request.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    connection.response_ready(response.status());
    Ok(response)
}

/// Closes the sending side and waits for the client's, a while: a socket closed with bytes unread
/// is reset, and a reset can overtake the response (hyper#2384).
async fn close(mut stream: TimedStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut rest = stream.take(LINGER_BYTES);
    // However the client ends, nothing is left to do.
    let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
}
