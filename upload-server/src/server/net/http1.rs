//! HTTP/1.1 on one connection.

use std::{future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{connection::Connection, http::HttpServer, linger, timed_stream::TimedStream};
use crate::server::error::{Error, PROBLEM_JSON};

/// The most that hyper reads at once. Its default of 408 KiB was not faster, and each of many concurrent
/// uploads holds several of these.
const BUFFER_BYTES: usize = 256 * 1024;

/// Serves one request after another.
pub(crate) async fn serve<S>(
    server: &HttpServer,
    stream: TimedStream<S>,
    connection: Arc<Connection>,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(server.head)
        // A client may close its side after its body, and still want the response.
        .half_close(true)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(
            TokioIo::new(stream),
            server.service(Arc::clone(&connection), None),
        );

    let served_out = tokio::select! {
        served = poll_fn(|cx| http.poll_without_shutdown(cx)) => Some(served),
        () = server.stop.cancelled() => None,
    };
    let served = match served_out {
        Some(served) => served,
        None => {
            Pin::new(&mut http).graceful_shutdown();
            poll_fn(|cx| http.poll_without_shutdown(cx)).await
        }
    };
    let mut stream = http.into_parts().io.into_inner();
    let too_slow = served.as_ref().is_err_and(hyper::Error::is_timeout);
    let last_response =
        (too_slow && connection.is_within_head()).then(|| head_timeout(server.head));
    tokio::select! {
        () = linger::close(&mut stream, last_response, server.linger) => (),
        () = server.stop.cancelled() => (),
    }
    served
}

/// The response to a request whose head took too long: hyper sends none.
fn head_timeout(limit: Duration) -> String {
    let problem = Error::HeadTimedOut(limit).problem();
    format!(
        "HTTP/1.1 408 Request Timeout\r\ncontent-type: {PROBLEM_JSON}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{problem}",
        problem.len()
    )
}
