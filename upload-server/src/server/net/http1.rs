//! HTTP/1.1 on one connection.

use std::{future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::{connection::Connection, http::Http, timed_stream::TimedStream};

/// How long, and how much, a client may go on sending after the last response.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 64 * 1024 * 1024;

/// Serves one request after the other.
pub(crate) async fn serve<S>(
    how: &Http,
    stream: TimedStream<S>,
    connection: Arc<Connection>,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(how.head)
        // A client may close its side once its body is out, and still wants the response.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), how.service(connection));

    let served_out = tokio::select! {
        served = poll_fn(|cx| http.poll_without_shutdown(cx)) => Some(served),
        () = how.stop.cancelled() => None,
    };
    let served = match served_out {
        Some(served) => served,
        None => {
            Pin::new(&mut http).graceful_shutdown();
            poll_fn(|cx| http.poll_without_shutdown(cx)).await
        }
    };
    let stream = http.into_parts().io.into_inner();
    tokio::select! {
        () = close(stream) => (),
        () = how.stop.cancelled() => (),
    }
    served
}

/// Closes the sending side and waits for the client's, a while: a socket closed with bytes unread
/// is reset, and a reset can overtake the response (hyper#2384).
async fn close<S: AsyncRead + AsyncWrite + Unpin>(mut stream: TimedStream<S>) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut rest = stream.take(LINGER_BYTES);
    // However the client ends, nothing is left to do.
    let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
}
