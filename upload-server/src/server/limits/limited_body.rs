//! A request's body within its limits: cut off where it comes too slowly or fills the disk. What has arrived is no
//! longer to come.

use std::time::{Duration, Instant};

use axum::{BoxError, body::Body};

use super::{Limits, announced::ToCome, free_space::FreeSpace};
use crate::server::{
    error::Error,
    observed_body::{ObservedBody, Observer},
};

/// How many bytes may arrive before the free space is checked again: of all uploads that are in flight together,
/// this many may pass the limit.
const CHECK_EVERY: u64 = 1024 * 1024;

/// The body, which ends with an error where it exceeds its limits.
pub(super) fn limited_body(body: Body, limits: &Limits, space: FreeSpace, to_come: ToCome) -> Body {
    let limits = BodyLimits::new(limits, space, to_come);
    Body::new(ObservedBody::new(body, limits))
}

struct BodyLimits {
    pace: Pace,
    space: FreeSpace,
    to_come: ToCome,
    since_check: u64,
}

/// The rate of a body, measured over the time that the server spends waiting for its next bytes. Time
/// that the server takes itself, to write to the disk for example, does not count.
struct Pace {
    min_rate: u64,
    window: Duration,
    waiting_since: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl BodyLimits {
    fn new(limits: &Limits, space: FreeSpace, to_come: ToCome) -> Self {
        Self {
            pace: Pace {
                min_rate: limits.min_rate,
                window: limits.rate_window,
                waiting_since: None,
                waited: Duration::ZERO,
                bytes: 0,
            },
            space,
            to_come,
            since_check: 0,
        }
    }

    fn check(&mut self, bytes: u64) -> Result<(), Error> {
        self.pace.arrived(bytes)?;
        self.since_check += bytes;
        if self.since_check >= CHECK_EVERY {
            self.to_come.arrived(self.since_check);
            self.since_check = 0;
            self.space.check(0)?;
        }
        Ok(())
    }
}

impl Observer for BodyLimits {
    fn waiting(&mut self) {
        self.pace.waiting_since.get_or_insert_with(Instant::now);
    }

    fn passed(&mut self, bytes: u64) -> Result<(), BoxError> {
        Ok(self.check(bytes)?)
    }
}

impl Pace {
    // Called when bytes arrive: a client that sends none at all is ended by the idle timeout.
    fn arrived(&mut self, bytes: u64) -> Result<(), Error> {
        self.bytes += bytes;
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        if self.waited < self.window {
            return Ok(());
        }
        let required = u128::from(self.min_rate) * self.waited.as_millis() / 1_000;
        if u128::from(self.bytes) < required {
            return Err(Error::TooSlow(self.min_rate));
        }
        self.waited = Duration::ZERO;
        self.bytes = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::{super::free_space::tests::space, *};

    #[tokio::test]
    async fn the_free_space_is_checked_on_the_way() {
        check(CHECK_EVERY - 1, true).await;
        check(CHECK_EVERY, false).await;

        async fn check(length: u64, passes: bool) {
            let body = Body::from(vec![0; usize::try_from(length).unwrap()]);
            let full = space(u64::MAX, 0);
            let to_come = full.announce("192.0.2.1".parse().unwrap(), length);
            let body = limited_body(body, &Limits::default(), full, to_come);
            let arrived = to_bytes(body, usize::MAX).await;
            match arrived.map_err(Error::from) {
                Ok(_) => assert!(passes, "{length}"),
                Err(error) => assert!(!passes && matches!(error, Error::NoFreeSpace(_)), "{error}"),
            }
        }
    }
}
