//! What a server passed on to Unix sockets after it had read from this connection.

use std::{collections::VecDeque, sync::Arc};

use super::Task;
use crate::core::event::UnixRelay;

/// A connection may carry any number of requests. Of more than these, the oldest are put together.
const MAX_PASSED_ON: usize = 256;

/// What was passed on, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedOn(VecDeque<OnUnix>);

/// What was sent on one Unix socket until this connection was answered, or another one was sent on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnUnix {
    /// When the first of it was sent, CLOCK_MONOTONIC.
    pub mono_ns: u64,
    /// The Unix socket's cookie.
    pub socket: u64,
    /// Where its peer is bound.
    pub path: Arc<str>,
    /// The process that made the peer listen, where it is known.
    pub listener: Option<Arc<Task>>,
    /// As far as it is known.
    pub bytes: u64,
    /// Whether that is all.
    pub is_all: bool,
}

impl PassedOn {
    pub(super) const NONE: Self = Self(VecDeque::new());

    pub(super) fn record(&mut self, mono_ns: u64, relay: &UnixRelay, listener: Option<Arc<Task>>) {
        if relay.path.is_empty() {
            return;
        }
        if self.0.len() >= MAX_PASSED_ON {
            self.put_together();
        }
        let mut known = self.0.iter().rev().take(2);
        let path = known.find(|known| *known.path == *relay.path);
        let path = path.map_or_else(
            || relay.path.as_str().into(),
            |known| Arc::clone(&known.path),
        );
        self.0.push_back(OnUnix {
            mono_ns,
            socket: relay.socket,
            path,
            listener,
            bytes: relay.bytes,
            is_all: false,
        });
    }

    pub(super) fn record_more(&mut self, socket: u64, bytes: u64) {
        let latest = self.0.iter_mut().rev().find(|one| one.socket == socket);
        if let Some(latest) = latest {
            latest.bytes = latest.bytes.saturating_add(bytes);
            latest.is_all = true;
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What began from `from_ns` to `to_ns`, CLOCK_MONOTONIC.
    pub fn between(&self, from_ns: u64, to_ns: u64) -> impl Iterator<Item = &OnUnix> {
        let all = self.0.iter();
        all.filter(move |one| (from_ns..=to_ns).contains(&one.mono_ns))
    }

    /// The two oldest, if they went the same way; else the oldest is forgotten.
    fn put_together(&mut self) {
        let oldest = self.0.pop_front();
        if let Some((oldest, next)) = oldest.zip(self.0.front_mut())
            && oldest.path == next.path
        {
            next.mono_ns = oldest.mono_ns;
            next.bytes = next.bytes.saturating_add(oldest.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_PASSED_ON, PassedOn};
    use crate::core::event::UnixRelay;

    fn relay(socket: u64, path: &str) -> UnixRelay {
        UnixRelay {
            socket,
            bytes: 1,
            path: path.to_owned(),
            listener: None,
        }
    }

    #[test]
    fn more_is_of_the_latest_on_that_socket() {
        let mut passed = PassedOn::default();
        for (at, socket) in [(1, 7), (2, 8), (3, 7)] {
            passed.record(at, &relay(socket, "/a"), None);
        }
        passed.record_more(7, 10);
        passed.record_more(9, 10);
        let found: Vec<_> = passed
            .between(1, 3)
            .map(|one| (one.bytes, one.is_all))
            .collect();
        assert_eq!(found, [(1, false), (1, false), (11, true)]);
    }

    /// A client sends requests without end: what is kept does not grow, and nothing of one way is lost.
    #[test]
    fn the_oldest_are_put_together() {
        let mut passed = PassedOn::default();
        let all = 10 * MAX_PASSED_ON as u64;
        for at in 1..=all {
            passed.record(at, &relay(at, "/a"), None);
        }
        let found: Vec<_> = passed.between(0, u64::MAX).collect();
        assert_eq!(found.len(), MAX_PASSED_ON);
        assert_eq!(found.iter().map(|one| one.bytes).sum::<u64>(), all);
        assert_eq!(found[0].mono_ns, 1);
    }
}
