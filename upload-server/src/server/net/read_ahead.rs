//! How much of a connection of HTTP/2 is in memory. HTTP/2 mixes the bodies of several requests, so that
//! hyper reads whatever comes and keeps it for the bodies' readers. Where the disk is slower than the
//! network, that would be all that the windows allow (RFC 9113, 5.2); and small windows make a long path
//! slow, for no more than a window is sent in a round trip. So the windows are as large as can be, and
//! the connection is not read while enough is there: TCP then holds the client back, as in HTTP/1.1.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::read_ahead_budget::Share;

/// While so many bytes are there and no reader waits, no more are read.
const ENOUGH: usize = 256 * 1024;

/// A frame's header (RFC 9113, 4.1).
const FRAME_HEADER: usize = 9;

/// The bytes of one connection that no reader has taken yet. Clones share the count.
#[derive(Clone)]
pub(super) struct ReadAhead(Arc<Mutex<State>>);

struct State {
    /// No more than these are there, even if a reader waits.
    share: Share,
    /// About as many as there are; more where a client sends frames other than DATA. Zero without bodies.
    unread: usize,
    bodies: usize,
    /// Bodies whose readers wait for bytes.
    hungry: usize,
    /// Something was read since the readers last had a turn.
    has_read: bool,
    /// The connection, while it is not read.
    paused: Option<Waker>,
}

/// A connection that is read only as far ahead as allowed.
pub(super) struct ReadAheadStream<S> {
    stream: S,
    ahead: ReadAhead,
}

/// One body on the connection.
pub(super) struct BodyShare {
    ahead: ReadAhead,
    is_hungry: bool,
}

impl ReadAhead {
    pub(super) fn new(share: Share) -> Self {
        Self(Arc::new(Mutex::new(State {
            share,
            unread: 0,
            bodies: 0,
            hungry: 0,
            has_read: false,
            paused: None,
        })))
    }

    pub(super) fn of<S>(&self, stream: S) -> ReadAheadStream<S> {
        ReadAheadStream {
            stream,
            ahead: self.clone(),
        }
    }

    /// A body that begins.
    pub(super) fn body(&self) -> BodyShare {
        self.0.lock().bodies += 1;
        BodyShare {
            ahead: self.clone(),
            is_hungry: false,
        }
    }
}

impl State {
    fn is_enough(&self) -> bool {
        self.unread >= ENOUGH && self.bodies > 0
    }

    fn is_paused(&self) -> bool {
        let some_hungry = self.hungry > 0 && self.unread < self.share.bytes;
        self.is_enough() && !some_hungry && !self.are_all_hungry()
    }

    /// Then nothing is there but what was read since they had a turn, whatever was counted: padding, and frames
    /// other than DATA, belong to no body.
    fn are_all_hungry(&self) -> bool {
        self.hungry == self.bodies
    }

    fn wake_reader(&mut self) {
        if !self.is_paused()
            && let Some(paused) = self.paused.take()
        {
            paused.wake();
        }
    }
}

impl BodyShare {
    /// The reader waits for bytes.
    pub(super) fn waiting(&mut self) {
        if self.is_hungry {
            return;
        }
        self.is_hungry = true;
        let mut state = self.ahead.0.lock();
        state.hungry += 1;
        state.wake_reader();
    }

    /// The reader took the bytes of a frame.
    pub(super) fn took(&mut self, bytes: usize) {
        let mut state = self.ahead.0.lock();
        state.unread = state.unread.saturating_sub(bytes + FRAME_HEADER);
        state.hungry -= usize::from(std::mem::take(&mut self.is_hungry));
        state.wake_reader();
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        let mut state = self.ahead.0.lock();
        // What nobody read of this body is gone. How much it was is unknown: too little left would hold
        // the others back, too much costs memory.
        state.unread -= state.unread / state.bodies;
        state.bodies -= 1;
        state.hungry -= usize::from(self.is_hungry);
        state.wake_reader();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAheadStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        {
            let mut state = self.ahead.0.lock();
            if state.is_paused() {
                state.paused = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if state.is_enough() {
                // The reader that waits may have its bytes, and had no turn to take them yet.
                if std::mem::take(&mut state.has_read) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                if state.are_all_hungry() {
                    state.unread = 0;
                }
            }
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let read = buffer.filled().len() - before;
        if read > 0 {
            let mut state = self.ahead.0.lock();
            if state.bodies > 0 {
                state.unread += read;
                state.has_read = true;
            }
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAheadStream<S> {
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
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        task::{unconstrained, yield_now},
    };

    use super::{super::read_ahead_budget::ReadAheadBudget, *};

    /// A connection on which `sent` bytes are there.
    async fn connection(sent: usize) -> (ReadAhead, ReadAheadStream<DuplexStream>, DuplexStream) {
        let (mut client, server) = duplex(sent);
        client.write_all(&vec![0; sent]).await.unwrap();
        let ahead = ReadAhead::new(ReadAheadBudget::new().share());
        let stream = ahead.of(server);
        (ahead, stream, client)
    }

    /// Reads as much as may be read while the readers of bodies do nothing.
    async fn read(stream: &mut ReadAheadStream<DuplexStream>) -> usize {
        let mut buffer = vec![0; ENOUGH / 4];
        let mut all = 0;
        let mut pending = 0;
        while pending < 2 {
            let read = poll_fn(|cx| {
                let mut into = ReadBuf::new(&mut buffer);
                let polled = Pin::new(&mut *stream).poll_read(cx, &mut into);
                Poll::Ready(polled.map(|_| into.filled().len()))
            });
            match unconstrained(read).await {
                Poll::Ready(read) => (all, pending) = (all + read, 0),
                Poll::Pending => pending += 1,
            }
        }
        all
    }

    #[tokio::test]
    async fn reads_on_for_a_reader_that_waits_or_took() {
        let (ahead, mut stream, _client) = connection(32 * 1024 * 1024).await;
        let most = ahead.0.lock().share.bytes;
        let mut body = ahead.body();
        assert_eq!(read(&mut stream).await, ENOUGH);
        assert_eq!(read(&mut stream).await, 0);
        body.took(ENOUGH / 4 - FRAME_HEADER);
        assert_eq!(read(&mut stream).await, ENOUGH / 4);

        // Whatever the other bodies hold, one that waits may get its bytes, up to a limit.
        let mut other = ahead.body();
        other.waiting();
        assert_eq!(read(&mut stream).await, most - ENOUGH);
        other.took(ENOUGH - FRAME_HEADER);
        assert_eq!(read(&mut stream).await, 0);

        // Without a body, nothing is kept for one.
        drop(body);
        drop(other);
        assert_eq!(ahead.0.lock().unread, 0);
        assert!(read(&mut stream).await > ENOUGH);
    }

    /// A client may pad its frames: more is read than any reader takes.
    #[tokio::test]
    async fn what_belongs_to_no_body_holds_none_back() {
        let (ahead, mut stream, _client) = connection(32 * 1024 * 1024).await;
        let mut body = ahead.body();
        body.waiting();
        // Never more than enough without a turn of the readers.
        let mut cx = Context::from_waker(Waker::noop());
        let mut buffer = vec![0; ENOUGH / 4];
        let mut at_once = 0;
        loop {
            let mut into = ReadBuf::new(&mut buffer);
            if Pin::new(&mut stream)
                .poll_read(&mut cx, &mut into)
                .is_pending()
            {
                break;
            }
            at_once += into.filled().len();
        }
        assert_eq!(at_once, ENOUGH);
        assert!(read(&mut stream).await > 30 * 1024 * 1024);
        body.took(1);
        assert_eq!(read(&mut stream).await, 0);
    }

    #[tokio::test]
    async fn a_paused_connection_is_woken() {
        for wake in [BodyShare::waiting, |body: &mut BodyShare| body.took(ENOUGH)] {
            let (ahead, mut stream, _client) = connection(2 * ENOUGH).await;
            let mut body = ahead.body();
            assert_eq!(read(&mut stream).await, ENOUGH);
            let reading = tokio::spawn(async move { stream.read(&mut [0; 10]).await });
            yield_now().await;
            assert!(!reading.is_finished());
            wake(&mut body);
            assert_eq!(reading.await.unwrap().unwrap(), 10);
        }
    }
}
