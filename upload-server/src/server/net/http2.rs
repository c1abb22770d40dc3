//! HTTP/2 on one connection: concurrent requests, each in a task of its own.

use std::{pin::Pin, sync::Arc, time::Duration};

use hyper::{rt::Executor, server::conn::http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::{
    answer_progress::AnswerProgress,
    connection::Connection,
    http::HttpServer,
    read_ahead::ReadAhead,
    shared_budget::{Allotment, SharedBudget},
    timed_stream::TimedStream,
};

/// Concurrent requests of all connections, beyond the fewest of each. A request takes up to 20 KiB, whatever it is:
/// its fields, its task, its stream, and a small answer that the client does not take.
const STREAMS: usize = 4_096;

/// Concurrent requests on one connection: as many as RFC 9113, 6.5.2, recommends, where there are few
/// connections, and fewer where there are many.
const STREAMS_OF_ONE: Allotment = Allotment {
    part: 16,
    least: 4,
    most: 100,
};

/// The largest window (RFC 9113, 6.9.1). What bounds the memory is how far the connection is read ahead.
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// How many bytes of an answer may wait for the socket, which has a buffer of its own. hyper's default of 400 KiB is
/// no less with one connection or with many.
const SEND_BYTES: usize = 128 * 1024;

/// How long a client without a request in flight may take to close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The concurrent requests of a server.
pub(crate) fn stream_budget() -> SharedBudget {
    SharedBudget::new(STREAMS, STREAMS_OF_ONE)
}

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
    let streams = server.streams.share();
    let mut http = http2::Builder::new(requests)
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams.amount.try_into().unwrap_or(u32::MAX))
        .initial_stream_window_size(LARGEST_WINDOW)
        .initial_connection_window_size(LARGEST_WINDOW)
        .max_send_buf_size(SEND_BYTES)
        .serve_connection(
            TokioIo::new(stream),
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
