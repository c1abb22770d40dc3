//! A connection's bytes as HTTP sees them, above TLS. It reports to the connection when bytes arrive,
//! and when everything written has been handed to the kernel.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::connection::Connection;

/// A stream that reports to its connection.
pub(crate) struct TimedStream<S> {
    // The first field is dropped first: the stream is closed before the connection's end is published.
    stream: S,
    /// Bytes that were peeked at, and are read before the stream's.
    ahead: Bytes,
    connection: Arc<Connection>,
}

impl<S: AsyncRead + Unpin> TimedStream<S> {
    pub(crate) fn new(stream: S, connection: Arc<Connection>) -> Self {
        Self {
            stream,
            ahead: Bytes::new(),
            connection,
        }
    }

    /// Whether the stream begins with `prefix`. Waits for no more bytes than needed to decide, and
    /// leaves them to be read.
    pub(crate) async fn begins_with(&mut self, prefix: &[u8]) -> io::Result<bool> {
        let mut ahead = BytesMut::zeroed(prefix.len());
        let mut length = 0;
        while length < prefix.len() && prefix.starts_with(&ahead[..length]) {
            match self.read(&mut ahead[length..]).await? {
                0 => break,
                read => length += read,
            }
        }
        ahead.truncate(length);
        self.ahead = ahead.freeze();
        Ok(*self.ahead == *prefix)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let length = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead[..length]);
            self.ahead.advance(length);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        if buffer.filled().len() > before {
            self.connection.bytes_read();
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes once it has written everything it has, and TLS then passes all its records on.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.connection.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
