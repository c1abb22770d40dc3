//! The accepted TCP socket itself, below TLS. It reports a reset by the peer to the connection, and gives up a
//! client that takes answers too slowly.

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

use super::{
    answer_pace::{Blocked, MinRate},
    connection::Connection,
};

/// A TCP stream that reports to its connection.
pub(crate) struct Socket {
    // The first field is dropped first: the socket is closed before the connection's end is published.
    stream: TcpStream,
    min_rate: MinRate,
    /// Absent until bytes wait for the client.
    blocked: Option<Blocked>,
    /// The client takes too little: nothing more is sent.
    given_up: bool,
    connection: Arc<Connection>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, min_rate: MinRate, connection: Arc<Connection>) -> Self {
        Self {
            stream,
            min_rate,
            blocked: None,
            given_up: false,
            connection,
        }
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

    /// The result of a write, or an error where it waits for a client that takes too little.
    fn poll_taken(
        &mut self,
        result: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = result {
            if let Some(blocked) = &mut self.blocked {
                blocked.ended();
            }
            return Poll::Ready(self.record_reset(result));
        }
        if self.blocked.is_none() {
            self.blocked = Blocked::new(self.min_rate);
        }
        if let Some(blocked) = &mut self.blocked {
            ready!(blocked.poll_too_slow(&self.connection, cx));
            // What waits in the kernel goes, too.
            self.stream.set_zero_linger()?;
            self.given_up = true;
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
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
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.poll_taken(result, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.poll_taken(result, cx)
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
        if self.given_up {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
