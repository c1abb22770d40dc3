//! A body as it arrives, cut off where it comes too slowly or fills the disk.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use super::{Limits, free_space::FreeSpace};

/// How many bytes may come until the disk is looked at again.
const CHECK_EVERY: u64 = 8 * 1024 * 1024;

/// Why a body was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cut {
    #[error("the body comes slower than the {0} bytes per second that are asked for")]
    TooSlow(u64),
    #[error("the rest of the disk is kept free")]
    NoSpace,
}

/// A request's body within its limits.
pub(crate) struct LimitedBody {
    body: Body,
    pace: Pace,
    space: FreeSpace,
    since_check: u64,
}

/// Bytes that came while the server waited for nothing but them.
struct Pace {
    min_rate: u64,
    window: Duration,
    waiting_since: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl LimitedBody {
    pub(crate) fn new(body: Body, limits: &Limits, space: FreeSpace) -> Self {
        Self {
            body,
            pace: Pace {
                min_rate: limits.min_rate,
                window: limits.rate_window,
                waiting_since: None,
                waited: Duration::ZERO,
                bytes: 0,
            },
            space,
            since_check: 0,
        }
    }

    fn check(&mut self, bytes: u64) -> Result<(), Cut> {
        self.pace.arrived(bytes)?;
        self.since_check += bytes;
        if self.since_check >= CHECK_EVERY {
            self.since_check = 0;
            if !self.space.has_room_for(0) {
                return Err(Cut::NoSpace);
            }
        }
        Ok(())
    }
}

impl Pace {
    fn waits(&mut self) {
        self.waiting_since.get_or_insert_with(Instant::now);
    }

    /// Silence wakes nobody here: that is the idle timeout's to end.
    fn arrived(&mut self, bytes: u64) -> Result<(), Cut> {
        self.bytes += bytes;
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        if self.waited < self.window {
            return Ok(());
        }
        let asked_for = u128::from(self.min_rate) * self.waited.as_millis() / 1_000;
        if u128::from(self.bytes) < asked_for {
            return Err(Cut::TooSlow(self.min_rate));
        }
        self.waited = Duration::ZERO;
        self.bytes = 0;
        Ok(())
    }
}

impl HttpBody for LimitedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending() {
            self.pace.waits();
        }
        let frame = ready!(polled);
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(cut) = self.check(data.len() as u64)
        {
            return Poll::Ready(Some(Err(axum::Error::new(cut))));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn the_disk_is_looked_at_on_the_way() {
        check(CHECK_EVERY - 1, true).await;
        check(CHECK_EVERY, false).await;

        async fn check(length: u64, passes: bool) {
            let body = Body::from(vec![0; usize::try_from(length).unwrap()]);
            let full = FreeSpace::new(std::env::temp_dir(), u64::MAX);
            let body = LimitedBody::new(body, &Limits::default(), full);
            let arrived = to_bytes(Body::new(body), usize::MAX).await;
            assert_eq!(arrived.is_ok(), passes, "{length}");
        }
    }
}
