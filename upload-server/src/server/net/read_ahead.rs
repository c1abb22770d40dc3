//! How much of a connection of HTTP/2 is in memory. HTTP/2 mixes the bodies of several requests, so that
//! hyper reads whatever comes and keeps it for the bodies' readers. Where the disk is slower than the
//! network, that would be all that the windows allow (RFC 9113, 5.2); and small windows make a long path
//! slow, for no more than a window is sent in a round trip. So the windows are as large as can be, and
//! the connection is not read while enough is there: TCP then holds the client back, as in HTTP/1.1.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    frames::{Frames, HEADER},
    shared_budget::{Allotment, Share, SharedBudget},
};

/// While so many bytes are there and no reader waits, no more are read.
const ENOUGH: usize = 256 * 1024;

/// What a frame of DATA takes besides its bytes, until a reader takes it: h2 keeps each by itself. So bodies
/// in frames of one byte are no cheaper for the client than others.
const FRAME: usize = 2048;

/// How much is read from the socket at a time: more once a read is filled. Frames of DATA have 16 KiB: to read
/// each by itself takes a system call, and sends an acknowledgement, for each. Most connections need less.
const LEAST_READ: usize = 16 * 1024;
const MOST_READ: usize = 128 * 1024;

/// How many frames of DATA are read at a time at most.
const FRAMES_AT_ONCE: usize = 32;

/// What the shares of all connections are together, beyond the least of each.
const BUDGET: usize = 128 * 1024 * 1024;

/// How much a connection may hold in memory at most, even if some of its bodies are not read while the
/// readers of others wait.
const OF_ONE: Allotment = Allotment {
    part: 8,
    least: 384 * 1024,
    most: BUDGET,
};

/// The bytes that the connections of a server may hold.
pub(crate) fn budget() -> SharedBudget {
    SharedBudget::new(BUDGET, OF_ONE)
}

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
    /// What was read from the stream, from the one place to the other.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    frames: Frames,
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
            buffer: Vec::new(),
            start: 0,
            end: 0,
            frames: Frames::default(),
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
        let some_hungry = self.hungry > 0 && self.unread < self.share.amount;
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
        state.unread = state.unread.saturating_sub(bytes + HEADER + FRAME);
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

impl<S: AsyncRead + Unpin> ReadAheadStream<S> {
    /// Reads from the stream, if everything from before is taken.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.start < self.end {
            return Poll::Ready(Ok(()));
        }
        let mut length = self.buffer.len();
        if self.end == length {
            // The last read filled it.
            length = (2 * length).clamp(LEAST_READ, MOST_READ);
            self.buffer.resize(length, 0);
        }
        let mut into = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into))?;
        (self.start, self.end) = (0, into.filled().len());
        Poll::Ready(Ok(()))
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
        let this = &mut *self;
        ready!(this.poll_fill(cx))?;
        let there = this.buffer.get(this.start..this.end).unwrap_or_default();
        let fits = there.get(..buffer.remaining()).unwrap_or(there);
        let (read, frames) = this.frames.pass(fits, FRAMES_AT_ONCE);
        buffer.put_slice(fits.get(..read).unwrap_or_default());
        this.start += read;
        if read > 0 {
            let mut state = this.ahead.0.lock();
            if state.bodies > 0 {
                state.unread += read + frames * FRAME;
                state.has_read = true;
            }
        }
        Poll::Ready(Ok(()))
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
mod tests;
