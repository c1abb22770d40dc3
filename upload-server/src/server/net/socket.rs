//! The accepted TCP socket itself, below TLS. It reports a reset by the peer to the connection.

use std::{
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

use super::connection::Connection;

/// A TCP stream that reports to its connection.
pub(crate) struct Socket {
    // The first field is dropped first: the socket is closed before the connection's end is published.
    stream: TcpStream,
    connection: Arc<Connection>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, connection: Arc<Connection>) -> Self {
        Self { stream, connection }
    }

    /// Peeks at the first byte that the client sends. None where it closes without sending any.
    pub(crate) async fn first_byte(&self) -> io::Result<Option<u8>> {
        let mut first = [0];
        let peeked = self.record_reset(self.stream.peek(&mut first).await)?;
        Ok((peeked > 0).then_some(first[0]))
    }

    /// Reports the end of the client's side, which nobody reads while a response is prepared, to the connection.
    fn look_for_end(&self, cx: &mut Context<'_>) {
        // Also wakes this task when something arrives.
        if self.stream.poll_read_ready(cx).is_pending() {
            return;
        }
        let ready = pin!(self.stream.ready(Interest::READABLE));
        if let Poll::Ready(Ok(ready)) = ready.poll(cx)
            && ready.is_read_closed()
        {
            self.connection.set_finished();
        }
    }

    fn record_reset<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            )
        {
            self.connection.set_reset();
        }
        result
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        Poll::Ready(self.record_reset(result))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(self.record_reset(result))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices));
        Poll::Ready(self.record_reset(result))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.awaits_end() {
            self.look_for_end(cx);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
