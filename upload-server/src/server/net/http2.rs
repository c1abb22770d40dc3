//! HTTP/2 on one connection: concurrent requests, each in a task of its own.

use std::{pin::Pin, sync::Arc, time::Duration};

use hyper::{rt::Executor, server::conn::http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tracing::debug;

use super::{
    answer_progress::AnswerProgress, connection::Connection, http::HttpServer,
    read_ahead::ReadAhead, timed_stream::TimedStream,
};

/// Concurrent requests on one connection.
const MAX_STREAMS: u32 = 100;

/// The largest window (RFC 9113, 6.9.1). What bounds the memory is how far the connection is read ahead.
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// How much is read from the socket at a time. Frames of DATA have 16 KiB: to read each by itself takes a
/// system call, and sends an acknowledgement, for each.
const READ_BYTES: usize = 128 * 1024;

/// How long a client without a request in flight may take to close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves requests until the client closes, or has none in flight for too long.
pub(crate) async fn serve<S>(
    server: &HttpServer,
    stream: TimedStream<S>,
    connection: Arc<Connection>,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let requests = RequestTasks {
        server: server.clone(),
        connection: Arc::clone(&connection),
    };
    let ahead = ReadAhead::new(server.read_ahead.share());
    let stream = ahead.of(stream);
    let mut http = http2::Builder::new(requests)
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(LARGEST_WINDOW)
        .initial_connection_window_size(LARGEST_WINDOW)
        .serve_connection(
            TokioIo::new(BufReader::with_capacity(READ_BYTES, stream)),
            server.service(Arc::clone(&connection), Some(ahead)),
        );

    tokio::select! {
        served = &mut http => return served,
        () = connection.fell_silent(server.head) => (),
        () = server.stop.cancelled() => (),
    }
    Pin::new(&mut http).graceful_shutdown();
    tokio::select! {
        served = http => served,
        () = connection.fell_silent(CLOSE_TIMEOUT) => Ok(()),
    }
}

/// Spawns hyper's tasks for single requests, so that they end with the connection and the server.
#[derive(Clone)]
struct RequestTasks {
    server: HttpServer,
    connection: Arc<Connection>,
}

impl<F> Executor<F> for RequestTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, request: F) {
        let Self { server, connection } = self.clone();
        self.server.tasks.spawn(async move {
            tokio::select! {
                in_time = AnswerProgress::watch(request, server.idle) => {
                    if !in_time {
                        debug!(cookie = %connection.cookie, "the client does not take an answer");
                    }
                }
                () = server.abandoned(&connection) => (),
            }
        });
    }
}
