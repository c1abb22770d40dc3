//! The minimum rate at which a client takes what waits for it. Without it, a client that takes a byte a minute would
//! hold a download, its file and its place for ever: the timeout for a client that takes nothing begins anew with each.
//!
//! A client may pause: for how long is up to that timeout. Once it goes on, it must take enough within the time over
//! which the rate is measured.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};
use tracing::debug;

use super::{connection::Connection, send_queue::send_queue};

/// How often the rate's time is looked at.
const PARTS: u32 = 10;

/// The rule of all connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MinRate {
    /// In bytes per second. 0 for no limit.
    pub(crate) rate: u64,
    /// The rate is measured over this much time.
    pub(crate) window: Duration,
}

/// A socket that takes no more bytes of an answer.
pub(super) struct Blocked {
    rule: MinRate,
    next: Pin<Box<Sleep>>,
    progress: Option<Progress>,
}

/// What the client has taken of the bytes that wait in the kernel.
struct Progress {
    /// How many were left when they were last looked at.
    left: u32,
    /// Since when the client goes on, and how many were left then.
    since: Option<(Instant, u32)>,
}

impl Blocked {
    /// None where there is no minimum.
    pub(super) fn new(rule: MinRate) -> Option<Self> {
        (rule.rate > 0).then(|| Self {
            rule,
            next: Box::pin(sleep(rule.window / PARTS)),
            progress: None,
        })
    }

    /// Completes when the client takes too little.
    pub(super) fn poll_too_slow(
        &mut self,
        connection: &Connection,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            ready!(self.next.as_mut().poll(cx));
            let now = Instant::now();
            self.next.as_mut().reset(now + self.rule.window / PARTS);
            match send_queue(connection) {
                Ok(left) if self.is_too_slow(now, left) => {
                    debug!(cookie = %connection.cookie, "the client takes an answer too slowly");
                    return Poll::Ready(());
                }
                Ok(_) => {}
                Err(error) => debug!(%error, "it is unknown what the client takes of an answer"),
            }
        }
    }

    /// Call when it does again. The timer is left as it is: fast clients block often.
    pub(super) fn ended(&mut self) {
        self.progress = None;
    }

    fn is_too_slow(&mut self, now: Instant, left: u32) -> bool {
        let progress = self.progress.get_or_insert(Progress { left, since: None });
        let before = progress.left;
        progress.left = left;
        let Some((since, at_first)) = progress.since else {
            progress.since = (left < before).then_some((now - self.rule.window / PARTS, before));
            return false;
        };
        let took = now - since;
        if took < self.rule.window {
            return false;
        }
        progress.since = None;
        let taken = u64::from(at_first.saturating_sub(left));
        u128::from(taken) * 1_000 < u128::from(self.rule.rate) * took.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a client is too slow of which so many bytes are left, every two seconds.
    fn check(left: &[u32], expected: bool) {
        let rule = MinRate {
            rate: 500,
            window: Duration::from_secs(20),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let _entered = runtime.enter();
        let mut blocked = Blocked::new(rule).unwrap();
        let begun = Instant::now() + Duration::from_secs(100);
        let too_slow = (0..).zip(left).any(|(number, &left)| {
            blocked.is_too_slow(begun + number * Duration::from_secs(2), left)
        });
        assert_eq!(too_slow, expected, "{left:?}");
    }

    #[test]
    fn a_client_must_take_enough_once_it_goes_on() {
        // A byte a minute.
        let mut dribble = vec![1_000_000; 30];
        dribble.extend([999_999; 30]);
        check(&dribble, true);
        // The minimum, and a little less.
        let steady = |each: u32| -> Vec<u32> { (0..100).map(|n| 1_000_000 - n * each).collect() };
        check(&steady(1_000), false);
        check(&steady(980), true);
        // A pause of any length, and then enough.
        let mut paused = vec![1_000_000; 500];
        paused.extend([990_000; 500]);
        paused.extend([980_000; 500]);
        check(&paused, false);
        check(&[1_000_000; 500], false);
    }
}
